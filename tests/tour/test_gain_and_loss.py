"""Triggers 1 and 2: a device that gains or loses a segment is told of at once; nothing else sends."""

from __future__ import annotations

import pytest

from tour.stage import COOKIES, OTHER, Stage, destination, segment, tellings, trait

TRAITS = [trait(1), trait(2), trait(3), trait(9)]
SEGMENTS = [segment(10, "1T"), segment(20, "2T"), segment(30, "3T AND NOT 9T"), segment(40, "9T")]


def test_a_gain_sends_all_mapped_segments_at_once(stage: Stage) -> None:
    """Not the gained one alone: every mapped segment the device is in, after the linger of 100 ms."""
    stage.catalog(destination(10, 20), traits=TRAITS, segments=SEGMENTS)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    stage.see("05-01 13:00:00", signals={"c_trait": "2"})
    assert tellings(stage.play()) == [
        ("05-01 12:00:00.100", {"10": "1"}),
        ("05-01 13:00:00.100", {"10": "1", "20": "1"}),
    ]


def test_a_loss_sends_the_ones_and_the_zeros(stage: Stage) -> None:
    """What is left with 1, and what was lost with 0."""
    stage.catalog(destination(10, 20, 30), traits=TRAITS, segments=SEGMENTS)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": ["1", "2", "3"]})
    stage.see("05-01 13:00:00", signals={"c_trait": "9"})
    assert tellings(stage.play()) == [
        ("05-01 12:00:00.100", {"10": "1", "20": "1", "30": "1"}),
        ("05-01 13:00:00.100", {"10": "1", "20": "1", "30": "0"}),
    ]


def test_a_zero_is_told_once(stage: Stage) -> None:
    """Acknowledged as lost, it is not in later messages."""
    stage.catalog(destination(10, 20, 30), traits=TRAITS, segments=SEGMENTS)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "3"})
    stage.see("05-01 13:00:00", signals={"c_trait": "9"})
    stage.see("05-01 14:00:00", signals={"c_trait": "1"})
    assert [told for _, told in tellings(stage.play())] == [{"30": "1"}, {"30": "0"}, {"10": "1"}]


def test_what_was_never_told_1_gets_no_zero(stage: Stage) -> None:
    """A segment gained and lost before the device had a partner id is not mentioned."""
    stage.catalog(destination(10, 30), traits=TRAITS, segments=SEGMENTS)
    stage.see("05-01 12:00:00", signals={"c_trait": "3"})
    stage.see("05-01 12:01:00", signals={"c_trait": "9"})
    stage.see("05-01 12:02:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    assert tellings(stage.play()) == [("05-01 12:02:00.100", {"10": "1"})]


def test_only_destinations_mapped_to_the_segment_hear_of_it(stage: Stage) -> None:
    """Each destination gets the segments mapped to it, and only when one of those changes."""
    stage.catalog(destination(10, number=1), destination(20, number=2), traits=TRAITS, segments=SEGMENTS)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    stage.see("05-01 13:00:00", signals={"c_trait": "2"})
    stage.see("05-01 14:00:00", signals={"c_trait": "9"})
    assert [(request.destination, request.told) for request in stage.play()] == [
        (1, {"10": "1"}),
        (2, {"20": "1"}),
    ]


@pytest.mark.parametrize(
    "event",
    [
        {"signals": {"c_trait": "1"}},
        {"signals": {"c_other": "1"}},
        {"ids": [{"dpid": COOKIES, "id": "a"}]},
        {"ids": [{"dpid": COOKIES, "id": "a", "state": 1}]},
        {"region": 3},
        {},
    ],
    ids=["same trait again", "foreign signal", "known id", "known id logs in", "new region", "mere sighting"],
)
def test_nothing_else_sends(stage: Stage, event: dict[str, object]) -> None:
    """An event that changes no membership, id or mapping is silent."""
    stage.catalog(destination(10), traits=TRAITS, segments=SEGMENTS)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    stage.line("05-01 13:00:00", event={"uuid": "00000000000000000000000000000000000001"} | event)
    assert len(stage.play()) == 1


def test_time_alone_sends_nothing(stage: Stage) -> None:
    """A time-to-live that ends waits until the device is seen; only then the 0 goes out in real time."""
    stage.catalog(destination(10, batch=False), traits=[trait(1, ttl_days=2)], segments=[segment(10, "1T")])
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    stage.see("05-09 12:00:00", OTHER)
    stage.see("05-10 08:00:00")
    assert tellings(stage.play()) == [
        ("05-01 12:00:00.100", {"10": "1"}),
        ("05-10 08:00:00.100", {"10": "0"}),
    ]


def test_a_destination_without_unsegment_gets_no_zeros(stage: Stage) -> None:
    """`supports_unsegment: false`: a loss sends the remaining 1s, and nothing where none remain."""
    stage.catalog(destination(10, 30, supports_unsegment=False), traits=TRAITS, segments=SEGMENTS)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": ["1", "3"]})
    stage.see("05-01 12:00:00", OTHER, ids=[(COOKIES, "b")], signals={"c_trait": "3"})
    stage.see("05-01 13:00:00", signals={"c_trait": "9"})
    stage.see("05-01 13:00:00", OTHER, signals={"c_trait": "9"})
    first, second = stage.play()
    assert first.users == {"a": {"10": "1", "30": "1"}, "b": {"30": "1"}}
    assert second.users == {"a": {"10": "1"}}


def test_a_destination_may_be_batch_only(stage: Stage) -> None:
    """`realtime: false` and `enabled: false` send nothing in real time."""
    stage.catalog(
        destination(10, number=1, realtime=False),
        destination(10, number=2, enabled=False),
        destination(10, number=3),
        traits=TRAITS,
        segments=SEGMENTS,
    )
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    stage.advance("05-01 12:01:00")
    assert [request.destination for request in stage.play() if request.kind == "realtime"] == [3]


def test_the_outbound_sample_is_stable(stage: Stage) -> None:
    """`sample_rate_denominator: 4`: about a quarter of the devices, and always the same ones."""
    stage.catalog(destination(10, 20, sample_rate_denominator=4), traits=TRAITS, segments=SEGMENTS)
    devices = [f"{number:038d}" for number in range(200)]
    for device in devices:
        stage.see("05-01 12:00:00", device, ids=[(COOKIES, device)], signals={"c_trait": "1"})
    for device in devices:
        stage.see("05-01 13:00:00", device, signals={"c_trait": "2"})
    requests = stage.play()
    in_first = {user for request in requests if request.clock < "05-01 13" for user in request.users}
    in_second = {user for request in requests if request.clock > "05-01 13" for user in request.users}
    assert in_first == in_second
    assert 25 <= len(in_first) <= 80
