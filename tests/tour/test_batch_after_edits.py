"""Catalog edits and the batch: after each, what every destination was told converges to what is true, unseen."""

from __future__ import annotations

import pytest

from tour.command_stage import NIGHTLY, CommandStage, batch_only, heard_live, nights, of_kind, with_batch
from tour.stage import COOKIES, OTHER, destination, segment, trait

TRAITS = [trait(1), trait(2)]
SEGMENTS = [segment(10, "1T"), segment(20, "1T"), segment(30, "2T")]
A10, A20, A30 = ("a", "10"), ("a", "20"), ("a", "30")


def begin(scene: CommandStage, *, at: str = "05-01 12:00:00") -> None:
    """Device `a` realises trait 1, device `b` trait 2, and a batch tells where they are."""
    scene.see(at, ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    scene.see(at, OTHER, ids=[(COOKIES, "b")], signals={"c_trait": "2"})
    scene.batch("05-01 13:00:00")


def test_a_mapping_that_is_added(scene: CommandStage) -> None:
    """Members of the segment are told by the next batch; what they were told before is not repeated."""
    scene.catalog(with_batch(10), traits=TRAITS, segments=SEGMENTS)
    wider = scene.catalog(with_batch(10, 20), traits=TRAITS, segments=SEGMENTS)
    begin(scene)
    scene.apply("05-01 14:00:00", wider)
    scene.batch("05-01 15:00:00")
    scene.batch("05-01 16:00:00")
    assert nights(scene.requests())[1:] == [("05-01 15:00", {A20: "1"})]


@pytest.mark.parametrize(("on_unmap", "told"), [("unsegment", [("05-01 15:00", {A20: "0"})]), ("silent", [])])
def test_a_mapping_that_is_removed(
    scene: CommandStage, on_unmap: str, told: list[tuple[str, dict[tuple[str, str], str]]]
) -> None:
    """`on_unmap: unsegment` takes it back; `silent` says nothing, as Audience Manager does."""
    scene.catalog(with_batch(10, 20, on_unmap=on_unmap), traits=TRAITS, segments=SEGMENTS)
    narrow = scene.catalog(with_batch(10, on_unmap=on_unmap), traits=TRAITS, segments=SEGMENTS)
    begin(scene)
    scene.apply("05-01 14:00:00", narrow)
    scene.batch("05-01 15:00:00")
    scene.batch("05-01 16:00:00")
    assert nights(scene.requests())[1:] == told


@pytest.mark.parametrize(("on_unmap", "told"), [("unsegment", [("05-01 15:00", {A20: "0"})]), ("silent", [])])
def test_a_segment_that_is_removed(
    scene: CommandStage, on_unmap: str, told: list[tuple[str, dict[tuple[str, str], str]]]
) -> None:
    """Gone from the catalog with its mapping: as unmapped."""
    scene.catalog(with_batch(10, 20, on_unmap=on_unmap), traits=TRAITS, segments=SEGMENTS)
    without = scene.catalog(
        with_batch(10, on_unmap=on_unmap), traits=TRAITS, segments=[SEGMENTS[0], SEGMENTS[2]]
    )
    begin(scene)
    scene.apply("05-01 14:00:00", without)
    scene.batch("05-01 15:00:00")
    assert nights(scene.requests())[1:] == told


def test_a_mapping_by_another_name(scene: CommandStage) -> None:
    """1 for the new alias, 0 for the old one."""
    scene.catalog(with_batch({"segment": 10, "alias": "old"}), traits=TRAITS, segments=SEGMENTS)
    renamed = scene.catalog(with_batch({"segment": 10, "alias": "new"}), traits=TRAITS, segments=SEGMENTS)
    begin(scene)
    scene.apply("05-01 14:00:00", renamed)
    scene.batch("05-01 15:00:00")
    assert nights(scene.requests())[1:] == [("05-01 15:00", {("a", "new"): "1", ("a", "old"): "0"})]


def test_a_mapping_with_dates(scene: CommandStage) -> None:
    """start <= now < end, midnight UTC: told from the first second of its first day, taken back at its end."""
    dated = {"segment": 20, "start": "2026-05-03", "end": "2026-05-05"}
    scene.catalog(with_batch(10, dated), traits=TRAITS, segments=SEGMENTS)
    begin(scene)
    for at in ("05-02 23:59:59", "05-03 00:00:00", "05-04 23:59:59", "05-05 00:00:00", "05-05 12:00:00"):
        scene.batch(at)
    requests = scene.requests()
    assert nights(requests) == [
        ("05-01 13:00", {A10: "1"}),
        ("05-03 00:00", {A20: "1"}),
        ("05-05 00:00", {A20: "0"}),
    ]
    assert len(heard_live(requests)) == 1


def test_a_mapping_that_ends_silently(scene: CommandStage) -> None:
    """`on_unmap: silent` holds for an end date too."""
    scene.catalog(
        with_batch(10, {"segment": 20, "end": "2026-05-03"}, on_unmap="silent"),
        traits=TRAITS,
        segments=SEGMENTS,
    )
    begin(scene)
    scene.batch("05-03 12:00:00")
    assert nights(scene.requests())[1:] == []


def test_a_new_segment_is_filled_from_stored_profiles(scene: CommandStage) -> None:
    """Nobody is seen: real time is silent, the next batch tells every member."""
    scene.catalog(with_batch(10), traits=TRAITS, segments=SEGMENTS)
    more = scene.catalog(
        with_batch(10, 40), traits=TRAITS, segments=[*SEGMENTS, segment(40, "FREQUENCY([1T,2T]) >= 1")]
    )
    begin(scene)
    scene.apply("05-01 14:00:00", more)
    scene.batch("05-01 15:00:00")
    requests = scene.requests()
    assert nights(requests)[1:] == [("05-01 15:00", {("a", "40"): "1", ("b", "40"): "1"})]
    assert [at for at, _ in heard_live(requests)] == ["05-01 12:00:00"]


def test_a_changed_rule_moves_stored_profiles(scene: CommandStage) -> None:
    """Segment 10 now wants trait 2: `a` leaves, `b` comes, both unseen; seen afterwards there is nothing to say."""
    scene.catalog(with_batch(10), traits=TRAITS, segments=[segment(10, "1T")])
    changed = scene.catalog(with_batch(10), traits=TRAITS, segments=[segment(10, "2T")])
    begin(scene)
    scene.apply("05-01 14:00:00", changed)
    scene.batch("05-01 15:00:00")
    scene.see("05-01 16:00:00")
    scene.see("05-01 16:00:00", OTHER)
    requests = scene.requests()
    assert nights(requests)[1:] == [("05-01 15:00", {("a", "10"): "0", ("b", "10"): "1"})]
    assert [at for at, _ in heard_live(requests)] == ["05-01 12:00:00"]


def test_a_changed_rule_and_a_device_that_is_seen_before_the_batch(scene: CommandStage) -> None:
    """Real time tells it at the sighting; the batch repeats it."""
    scene.catalog(with_batch(10), traits=TRAITS, segments=[segment(10, "1T")])
    changed = scene.catalog(with_batch(10), traits=TRAITS, segments=[segment(10, "2T")])
    begin(scene)
    scene.apply("05-01 14:00:00", changed)
    scene.see("05-01 14:30:00")
    scene.batch("05-01 15:00:00")
    requests = scene.requests()
    assert heard_live(requests)[1:] == [("05-01 14:30:00", {("a", "10"): "0"})]
    assert nights(requests)[1:] == [("05-01 15:00", {("a", "10"): "0", ("b", "10"): "1"})]


def test_a_rule_changed_there_and_back_is_nothing(scene: CommandStage) -> None:
    """Between two batches, for a batch-only destination."""
    scene.catalog(batch_only(10), traits=TRAITS, segments=[segment(10, "1T")])
    there = scene.catalog(batch_only(10), traits=TRAITS, segments=[segment(10, "2T")])
    back = scene.catalog(batch_only(10), traits=TRAITS, segments=[segment(10, "1T")])
    begin(scene)
    scene.apply("05-01 14:00:00", there)
    scene.apply("05-01 14:30:00", back)
    scene.batch("05-01 15:00:00")
    assert nights(scene.requests())[1:] == []


def test_a_trait_that_is_removed(scene: CommandStage) -> None:
    """It leaves all profiles: an OR with another trait ends for those who held only this one."""
    scene.catalog(with_batch(10), traits=TRAITS, segments=[segment(10, "1T OR 2T")])
    without = scene.catalog(with_batch(10), traits=[trait(2)], segments=[segment(10, "2T")])
    again = scene.catalog(with_batch(10), traits=TRAITS, segments=[segment(10, "1T OR 2T")])
    begin(scene)
    scene.apply("05-01 14:00:00", without)
    scene.batch("05-01 15:00:00")
    scene.apply("05-01 16:00:00", again)
    scene.batch("05-01 17:00:00")
    assert nights(scene.requests()) == [
        ("05-01 13:00", {("a", "10"): "1", ("b", "10"): "1"}),
        ("05-01 15:00", {("a", "10"): "0"}),
    ]


def test_a_shorter_time_to_live(scene: CommandStage) -> None:
    """120 days become two, and the realisation is three days old: out with the edit, told by the batch."""
    scene.catalog(with_batch(10), traits=[trait(1)], segments=[segment(10, "1T")])
    shorter = scene.catalog(with_batch(10), traits=[trait(1, ttl_days=2)], segments=[segment(10, "1T")])
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    scene.batch("05-01 13:00:00")
    scene.apply("05-04 12:00:00", shorter)
    scene.batch("05-04 13:00:00")
    assert nights(scene.requests())[1:] == [("05-04 13:00", {A10: "0"})]


def test_a_paused_segment_is_left_out(scene: CommandStage) -> None:
    """While paused neither its old members nor its new ones are in a batch; afterwards the truth of then is."""
    traits = [trait(1, ttl_days=2), trait(2)]
    live, paused = [segment(10, "1T")], [segment(10, "1T", paused=True)]
    scene.catalog(with_batch(10), traits=traits, segments=live)
    pause = scene.catalog(with_batch(10), traits=traits, segments=paused)
    resume = scene.catalog(with_batch(10), traits=traits, segments=live)
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    scene.batch("05-01 13:00:00")
    scene.apply("05-01 14:00:00", pause)
    scene.see("05-05 12:00:00", OTHER, ids=[(COOKIES, "b")], signals={"c_trait": "1"})
    scene.batch("05-05 13:00:00")
    scene.apply("05-05 14:00:00", resume)
    scene.batch("05-05 15:00:00")
    assert nights(scene.requests()) == [
        ("05-01 13:00", {A10: "1"}),
        ("05-05 15:00", {A10: "0", ("b", "10"): "1"}),
    ]


def test_a_destination_that_is_switched_off_and_on(scene: CommandStage) -> None:
    """While off nothing reaches it, on command neither. On again, a run tells what changed meanwhile, at once; the
    next batch does not repeat it.
    """
    scene.catalog(with_batch(10, 30), traits=TRAITS, segments=SEGMENTS)
    off = scene.catalog(with_batch(10, 30, enabled=False), traits=TRAITS, segments=SEGMENTS)
    on = scene.catalog(with_batch(10, 30), traits=TRAITS, segments=SEGMENTS)
    begin(scene)
    scene.apply("05-01 14:00:00", off)
    scene.see("05-01 15:00:00", signals={"c_trait": "2"})
    scene.advance("05-03 12:00:00")
    scene.apply("05-03 13:00:00", on)
    scene.advance("05-05 12:00:00")
    requests = [request for request in scene.requests(schedule=True) if request.clock > "05-01 14"]
    assert [request.kind for request in requests] == ["batch"]
    assert nights(requests) == [("05-03 13:00", {A30: "1"})]


@pytest.mark.parametrize("batch", [NIGHTLY, False], ids=["batches", "real time alone"])
@pytest.mark.parametrize("away", ["switched off", "out of the catalog"])
def test_what_changed_while_a_destination_was_away(scene: CommandStage, away: str, batch: object) -> None:
    """Gains and losses, by events and by time alone, of devices that nobody sees again. A second time off and on
    finds nothing left to tell.
    """
    options = {"batch": batch}
    traits = [trait(1, ttl_days=2), trait(2)]
    without = [with_batch(10, 30, enabled=False, **options)] if away == "switched off" else []
    scene.catalog(with_batch(10, 30, **options), traits=traits, segments=SEGMENTS)
    off = scene.catalog(*without, traits=traits, segments=SEGMENTS)
    on = scene.catalog(with_batch(10, 30, **options), traits=traits, segments=SEGMENTS)
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    scene.apply("05-01 14:00:00", off)
    scene.see("05-01 15:00:00", OTHER, ids=[(COOKIES, "b")], signals={"c_trait": "2"})
    scene.apply("05-09 13:00:00", on)
    scene.apply("05-10 13:00:00", off)
    scene.apply("05-11 13:00:00", on)
    scene.advance("05-13 12:00:00")
    requests = [request for request in scene.requests(schedule=True) if request.clock > "05-01 14"]
    assert nights(requests) == [("05-09 13:00", {A10: "0", ("b", "30"): "1"})]
    assert len(requests) == len(of_kind(requests, "batch"))


def test_what_a_run_could_not_tell_a_destination_that_is_back(scene: CommandStage) -> None:
    """It is owed, and the next night tells it."""
    scene.catalog(with_batch(10, 30), traits=TRAITS, segments=SEGMENTS)
    off = scene.catalog(with_batch(10, 30, enabled=False), traits=TRAITS, segments=SEGMENTS)
    on = scene.catalog(with_batch(10, 30), traits=TRAITS, segments=SEGMENTS)
    begin(scene)
    scene.apply("05-01 14:00:00", off)
    scene.see("05-01 15:00:00", signals={"c_trait": "2"})
    scene.respond("05-01 15:30:00", 500, 2)
    scene.apply("05-01 16:00:00", on)
    scene.advance("05-03 12:00:00")
    requests = [request for request in scene.requests(schedule=True) if request.clock > "05-01 14"]
    assert [(request.clock[:11], request.status) for request in requests] == [
        ("05-01 16:00", 500),
        ("05-01 16:00", 500),
        ("05-02 02:00", 200),
    ]


def test_a_destination_that_was_never_on_has_nothing_to_catch_up(scene: CommandStage) -> None:
    """New ones begin with who is seen, whether they were added switched off or not: nobody else is told."""
    scene.catalog(destination(10, batch=False, enabled=False), traits=TRAITS, segments=SEGMENTS)
    on = scene.catalog(destination(10, batch=False), traits=TRAITS, segments=SEGMENTS)
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    scene.apply("05-02 12:00:00", on)
    scene.advance("05-09 12:00:00")
    assert scene.requests(schedule=True) == []


def test_losses_while_a_destination_is_off(scene: CommandStage) -> None:
    """Told 1, then off; the trait ends; on again: the 0."""
    traits = [trait(1, ttl_days=1)]
    scene.catalog(with_batch(10), traits=traits, segments=[segment(10, "1T")])
    off = scene.catalog(with_batch(10, enabled=False), traits=traits, segments=[segment(10, "1T")])
    on = scene.catalog(with_batch(10), traits=traits, segments=[segment(10, "1T")])
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    scene.apply("05-01 14:00:00", off)
    scene.apply("05-20 13:00:00", on)
    scene.advance("05-22 12:00:00")
    assert nights(scene.requests(schedule=True))[-1:] == [("05-20 13:00", {A10: "0"})]


def test_real_time_off_and_on_again(scene: CommandStage) -> None:
    """`realtime: false` for a while: the batch goes on; with real time back nothing old is repeated by itself."""
    scene.catalog(with_batch(10, 30), traits=TRAITS, segments=SEGMENTS)
    off = scene.catalog(batch_only(10, 30), traits=TRAITS, segments=SEGMENTS)
    on = scene.catalog(with_batch(10, 30), traits=TRAITS, segments=SEGMENTS)
    begin(scene)
    scene.apply("05-01 14:00:00", off)
    scene.see("05-01 15:00:00", signals={"c_trait": "2"})
    scene.batch("05-01 16:00:00")
    scene.apply("05-01 17:00:00", on)
    scene.advance("05-01 18:00:00")
    requests = [request for request in scene.requests() if request.clock > "05-01 14"]
    assert [(request.kind, request.clock[:11]) for request in requests] == [("batch", "05-01 16:00")]
    assert nights(requests) == [("05-01 16:00", {A30: "1"})]


def test_the_batch_off_and_on_again(scene: CommandStage) -> None:
    """What changed while there was no batch is in the first one after it."""
    scene.catalog(with_batch(10), traits=[trait(1, ttl_days=1)], segments=[segment(10, "1T")])
    off = scene.catalog(
        with_batch(10, batch=False), traits=[trait(1, ttl_days=1)], segments=[segment(10, "1T")]
    )
    on = scene.catalog(with_batch(10), traits=[trait(1, ttl_days=1)], segments=[segment(10, "1T")])
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    scene.apply("05-02 12:00:00", off)
    scene.apply("05-05 12:00:00", on)
    scene.advance("05-07 12:00:00")
    assert nights(scene.requests(schedule=True)) == [
        ("05-02 02:00", {A10: "1"}),
        ("05-06 02:00", {A10: "0"}),
    ]


def test_another_id_type(scene: CommandStage) -> None:
    """`user_dpids` gains the UUID: members are told under it, and under the cookie nothing again."""
    scene.catalog(batch_only(10), traits=TRAITS, segments=SEGMENTS)
    both = scene.catalog(batch_only(10, user_dpids=[COOKIES, 0]), traits=TRAITS, segments=SEGMENTS)
    begin(scene)
    scene.apply("05-01 14:00:00", both)
    scene.batch("05-01 15:00:00")
    later = [request for request in scene.requests() if request.clock > "05-01 14"]
    assert [(request.message["User_DPID"], list(request.users.values())) for request in later] == [
        ("0", [{"10": "1"}])
    ]


def test_unsegment_comes_into_use(scene: CommandStage) -> None:
    """While the destination took no 0s a loss was left unsaid; once it takes them, the next batch says it."""
    traits = [trait(1), trait(2)]
    rule = [segment(10, "1T AND NOT 2T")]
    scene.catalog(with_batch(10, supports_unsegment=False), traits=traits, segments=rule)
    takes = scene.catalog(with_batch(10), traits=traits, segments=rule)
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    scene.batch("05-01 13:00:00")
    scene.see("05-01 13:30:00", signals={"c_trait": "2"})
    scene.batch("05-01 14:00:00")
    scene.apply("05-01 14:30:00", takes)
    scene.batch("05-01 15:00:00")
    assert nights(scene.requests()) == [("05-01 13:00", {A10: "1"}), ("05-01 15:00", {A10: "0"})]


def test_applying_a_catalog_sends_nothing_by_itself(scene: CommandStage) -> None:
    """Edits of every kind, days of quiet, real-time destinations: silence until somebody is seen."""
    scene.catalog(destination(10, 20, batch=False), traits=TRAITS, segments=SEGMENTS)
    edits = [
        scene.catalog(destination(10, batch=False), traits=TRAITS, segments=SEGMENTS),
        scene.catalog(
            destination(10, 30, batch=False), traits=TRAITS, segments=[*SEGMENTS[:2], segment(30, "1T")]
        ),
        scene.catalog(destination(10, 20, batch=False, enabled=False), traits=TRAITS, segments=SEGMENTS),
        scene.catalog(destination(10, 20, batch=False), traits=TRAITS, segments=SEGMENTS),
    ]
    scene.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    for day, edit in enumerate(edits, 2):
        scene.apply(f"05-0{day} 12:00:00", edit)
    scene.advance("05-20 12:00:00")
    requests = scene.requests(schedule=True)
    assert [request.clock[:14] for request in of_kind(requests, "realtime")] == ["05-01 12:00:00"]
    assert len(requests) == 1
