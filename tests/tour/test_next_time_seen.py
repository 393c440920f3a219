"""Triggers 3, 4 and 5: mappings, partner ids and three days wait until the device is seen."""

from __future__ import annotations

from tour.stage import COOKIES, OTHER, Stage, clocks, destination, segment, tellings, trait

TRAITS = [trait(1), trait(2)]
SEGMENTS = [segment(10, "1T"), segment(20, "1T"), segment(30, "2T")]


def test_a_new_mapping_is_told_when_the_device_is_seen(stage: Stage) -> None:
    """Trigger 3: applying the catalog sends nothing; the next sighting sends everything, once."""
    stage.catalog(destination(10), traits=TRAITS, segments=SEGMENTS)
    wider = stage.catalog(destination(10, 20), traits=TRAITS, segments=SEGMENTS)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    stage.apply("05-01 13:00:00", wider)
    stage.see("05-01 14:00:00")
    stage.see("05-01 15:00:00")
    assert tellings(stage.play()) == [
        ("05-01 12:00:00.100", {"10": "1"}),
        ("05-01 14:00:00.100", {"10": "1", "20": "1"}),
    ]


def test_an_edit_that_leaves_the_mappings_alone_sends_nothing(stage: Stage) -> None:
    """Trigger 3 is about mappings: another linger, a name, a segment nobody mapped do not set it off."""
    stage.catalog(destination(10), traits=TRAITS, segments=SEGMENTS)
    same = stage.catalog(
        destination(10, name="Acme", linger="50ms"), traits=TRAITS, segments=[*SEGMENTS, segment(40, "2T")]
    )
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    stage.apply("05-01 13:00:00", same)
    stage.see("05-01 14:00:00")
    assert len(stage.play()) == 1


def test_another_alias_ends_the_old_one(stage: Stage) -> None:
    """The segment goes on under its new name, the old name gets the 0."""
    stage.catalog(destination({"segment": 10, "alias": "old"}), traits=TRAITS, segments=SEGMENTS)
    renamed = stage.catalog(destination({"segment": 10, "alias": "new"}), traits=TRAITS, segments=SEGMENTS)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    stage.apply("05-01 13:00:00", renamed)
    stage.see("05-01 14:00:00")
    assert tellings(stage.play())[1:] == [("05-01 14:00:00.100", {"new": "1", "old": "0"})]


def test_a_new_destination_hears_of_known_devices_as_they_are_seen(stage: Stage) -> None:
    """Only those in a segment mapped to it."""
    stage.catalog(destination(10, number=1), traits=TRAITS, segments=SEGMENTS)
    two = stage.catalog(
        destination(10, number=1), destination(20, number=2), traits=TRAITS, segments=SEGMENTS
    )
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    stage.see("05-01 12:00:00", OTHER, ids=[(COOKIES, "b")])
    stage.apply("05-01 13:00:00", two)
    stage.see("05-01 14:00:00")
    stage.see("05-01 14:00:00", OTHER)
    assert [(request.destination, request.users) for request in stage.play()] == [
        (1, {"a": {"10": "1"}}),
        (2, {"a": {"20": "1"}}),
    ]


def test_an_added_partner_id_is_told(stage: Stage) -> None:
    """Trigger 4: the event that brings the id is the sighting; every id is told."""
    stage.catalog(destination(10), traits=TRAITS, segments=SEGMENTS)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    stage.see("05-01 13:00:00", ids=[(COOKIES, "b")])
    _, second = stage.play()
    assert (second.clock, second.users) == ("05-01 13:00:00.100", {"a": {"10": "1"}, "b": {"10": "1"}})


def test_an_id_the_destination_does_not_take_sends_nothing(stage: Stage) -> None:
    """Trigger 4 counts the ids of the destination's own DPIDs."""
    stage.catalog(destination(10), traits=TRAITS, segments=SEGMENTS, sources=[{"id": 777}])
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    stage.see("05-01 13:00:00", ids=[(777, "x")])
    assert len(stage.play()) == 1


def test_a_removed_partner_id_is_noticed_when_the_device_is_seen(stage: Stage) -> None:
    """Trigger 4: the id went to another device; this one is sent again at its next sighting, without it."""
    stage.catalog(destination(10), traits=TRAITS, segments=SEGMENTS)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a"), (COOKIES, "b")], signals={"c_trait": "1"})
    stage.see("05-01 13:00:00", OTHER, ids=[(COOKIES, "b")], signals={"c_trait": "1"})
    stage.see("05-01 14:00:00")
    stage.see("05-01 15:00:00")
    requests = stage.play()
    assert [(request.clock, request.users) for request in requests] == [
        ("05-01 12:00:00.100", {"a": {"10": "1"}, "b": {"10": "1"}}),
        ("05-01 13:00:00.100", {"b": {"10": "1"}}),
        ("05-01 14:00:00.100", {"a": {"10": "1"}}),
    ]


def test_three_days_after_the_last_send_a_sighting_sends(stage: Stage) -> None:
    """Trigger 5: not a second before, and counted from the last send."""
    stage.catalog(destination(10), traits=TRAITS, segments=SEGMENTS)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    stage.see("05-04 11:59:59")
    stage.see("05-04 12:00:00")
    stage.see("05-07 11:59:59")
    stage.see("05-09 00:00:00")
    assert tellings(stage.play()) == [
        ("05-01 12:00:00.100", {"10": "1"}),
        ("05-04 12:00:00.100", {"10": "1"}),
        ("05-09 00:00:00.100", {"10": "1"}),
    ]


def test_the_refresh_moves_the_stamp(stage: Stage) -> None:
    """DateTime is when the membership was last verified: now, without a new realisation."""
    stage.catalog(destination(10), traits=TRAITS, segments=SEGMENTS)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    stage.see("05-04 12:00:00")
    stamps = [request.message["Users"][0]["Segments"][0]["DateTime"] for request in stage.play()]
    assert stamps == ["Fri May 01 12:00:00 UTC 2026", "Mon May 04 12:00:00 UTC 2026"]


def test_a_loss_that_no_0_may_tell_does_not_put_off_the_refresh(stage: Stage) -> None:
    """Time takes a segment from a destination without 0s; the sighting after it says nothing, and is no send."""
    stage.catalog(
        destination(10, 30, supports_unsegment=False),
        traits=[trait(1), trait(2, ttl_days=1)],
        segments=SEGMENTS,
    )
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": ["1", "2"]})
    stage.see("05-03 12:00:00")
    stage.see("05-04 12:00:00")
    assert tellings(stage.play()) == [
        ("05-01 12:00:00.100", {"10": "1", "30": "1"}),
        ("05-04 12:00:00.100", {"10": "1"}),
    ]


def test_what_a_batch_has_told_does_not_put_off_the_refresh(stage: Stage) -> None:
    """Time takes a segment and a batch tells it; the sighting after it has nothing to say, and is no send."""
    stage.catalog(destination(10, 30), traits=[trait(1), trait(2, ttl_days=1)], segments=SEGMENTS)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": ["1", "2"]})
    stage.batch("05-03 01:00:00")
    stage.see("05-03 12:00:00")
    stage.see("05-04 11:59:59")
    stage.see("05-04 12:00:00")
    assert tellings(stage.play()) == [
        ("05-01 12:00:00.100", {"10": "1", "30": "1"}),
        ("05-03 01:00:00.000", {"10": "1", "30": "0"}),
        ("05-04 12:00:00.100", {"10": "1"}),
    ]


def test_what_changed_unseen_and_is_told_at_the_sighting_is_a_send(stage: Stage) -> None:
    """Three days are counted from it, whether the endpoint took it at once or at the second attempt."""
    stage.catalog(destination(10, 30), traits=[trait(1), trait(2, ttl_days=1)], segments=SEGMENTS)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": ["1", "2"]})
    stage.respond("05-03 11:00:00", 500, 1)
    stage.see("05-03 12:00:00")
    stage.see("05-04 12:00:00")
    stage.see("05-06 11:59:59")
    stage.see("05-06 12:00:01")
    assert clocks(stage.play()) == [
        "05-01 12:00:00.100",
        "05-03 12:00:00.100",
        "05-03 12:00:00.200",
        "05-06 12:00:01.100",
    ]


def test_three_days_are_counted_per_destination(stage: Stage) -> None:
    """A send to one destination does not put off the other's."""
    stage.catalog(destination(10, number=1), destination(30, number=2), traits=TRAITS, segments=SEGMENTS)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    stage.see("05-03 12:00:00", signals={"c_trait": "2"})
    stage.see("05-04 12:00:00")
    assert [(request.clock[:5], request.destination) for request in stage.play()] == [
        ("05-01", 1),
        ("05-03", 2),
        ("05-04", 1),
    ]


def test_three_days_without_a_sighting_send_nothing(stage: Stage) -> None:
    """No timer sends in real time."""
    stage.catalog(destination(10, batch=False), traits=TRAITS, segments=SEGMENTS)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    stage.advance("05-20 12:00:00")
    assert len(stage.play()) == 1


def test_what_a_batch_told_is_taken_back_when_its_mapping_goes(stage: Stage) -> None:
    """Trigger 3 is about what the destination was told, also where real time has never told it anything."""
    stage.catalog(destination(30), traits=TRAITS, segments=SEGMENTS)
    wider = stage.catalog(destination(10, 30), traits=TRAITS, segments=SEGMENTS)
    narrow = stage.catalog(destination(30), traits=TRAITS, segments=SEGMENTS)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    stage.apply("05-01 13:00:00", wider)
    stage.batch("05-01 14:00:00")
    stage.apply("05-01 15:00:00", narrow)
    stage.see("05-01 16:00:00")
    stage.see("05-01 17:00:00")
    assert tellings(stage.play()) == [
        ("05-01 14:00:00.000", {"10": "1"}),
        ("05-01 16:00:00.100", {"10": "0"}),
    ]


def test_what_a_batch_told_and_was_lost_before_real_time_was_switched_on(stage: Stage) -> None:
    """`realtime` counts as a change of the mappings: the next sighting tells what has changed meanwhile."""
    segments = [segment(10, "1T AND NOT 2T")]
    stage.catalog(destination(10, realtime=False), traits=TRAITS, segments=segments)
    live = stage.catalog(destination(10, batch=False), traits=TRAITS, segments=segments)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    stage.batch("05-01 13:00:00")
    stage.see("05-01 14:00:00", signals={"c_trait": "2"})
    stage.apply("05-01 15:00:00", live)
    stage.see("05-01 16:00:00")
    stage.see("05-01 17:00:00")
    assert tellings(stage.play()) == [
        ("05-01 13:00:00.000", {"10": "1"}),
        ("05-01 16:00:00.100", {"10": "0"}),
    ]
