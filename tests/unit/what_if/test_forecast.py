"""What a forecast says: lines for people, estimates for all profiles from a sample, and what is alarming."""

from __future__ import annotations

from arke.domain.catalog import Catalog, Segment
from arke.engine.what_if import EMPTIED_LISTED, Forecast, forecast_from
from arke.shard.protocol import Flow, Forecasted, Sample

OLD = Catalog(segments=(Segment(id=5, name="Five", rule="1T"), Segment(id=6, name="Six", rule="1T")))
NEW = Catalog(segments=(Segment(id=5, name="V", rule="2T"), Segment(id=7, rule="1T")))


def forecast(moved: int, stored: int, flows: dict[int, Flow], looked: int | None = None) -> Forecast:
    sample = Sample(looked or stored, stored, exact=looked is None)
    return forecast_from([Forecasted(moved, moved, flows, sample)], OLD, NEW, edited=3)


def test_a_line_for_each_segment_that_somebody_enters_or_leaves() -> None:
    found = forecast(3, 1_000, {5: Flow(20, 40, 3), 6: Flow(7, 0, 7)})
    assert found.lines() == [
        "who would move:",
        "  5 V: 20 -> 57 members (40 enter, 3 leave)",
        "  6 Six (removed): 7 -> 0 members (0 enter, 7 leave)",
        "  1 more: nobody enters or leaves",
    ]
    assert found.alarms() == []
    assert forecast(0, 1_000, {5: Flow(20)}).lines() == ["nobody would enter or leave a segment"]


def test_shards_are_scaled_each_by_its_own_sample() -> None:
    parts = [
        Forecasted(12, 10, {5: Flow(4, 1, 2)}, Sample(100, 1_000, exact=False)),
        Forecasted(1, 1, {5: Flow(1, 0, 1)}, Sample(10, 10, exact=True)),
    ]
    found = forecast_from(parts, OLD, NEW, edited=1)
    (five,) = found.segments
    assert (five.members, five.enter, five.leave) == (41, 10, 21)
    assert (found.concerned, found.moved, found.stored, found.looked_at) == (121, 101, 1_010, 110)
    assert found.lines()[0] == "who would move (estimated from 110 of 1,010 profiles):"


def test_more_than_half_is_alarming_and_half_is_not() -> None:
    assert forecast(500, 1_000, {5: Flow(0, 500, 0)}).alarms() == []
    (alarm,) = forecast(501, 1_000, {5: Flow(0, 501, 0)}).alarms()
    assert alarm == "this edit moves 501 of 1,000 stored profiles into or out of segments: more than 50%"


def test_an_emptied_segment_is_alarming_unless_it_is_removed() -> None:
    """Whoever removes a segment has said so; a segment that loses all and gains some is not empty."""
    found = forecast(2, 1_000, {5: Flow(2, 0, 2), 6: Flow(2, 0, 2)}, looked=100)
    assert found.alarms() == [
        "segment 5 V is left empty: all about 20 members leave (estimated from 100 of 1,000 profiles)"
    ]
    assert forecast(2, 1_000, {5: Flow(2, 1, 2)}).alarms() == []


def test_many_emptied_segments_are_counted() -> None:
    names = tuple(Segment(id=number, rule="1T") for number in range(1, EMPTIED_LISTED + 4))
    catalog = Catalog(segments=names)
    flows = {segment.id: Flow(1, 0, 1) for segment in names}
    parts = [Forecasted(1, 1, flows, Sample(100, 100, exact=True))]
    alarms = forecast_from(parts, catalog, catalog, len(names)).alarms()
    assert (len(alarms), alarms[-1]) == (EMPTIED_LISTED + 1, "3 more segments are left empty")


def test_nothing_is_said_where_nothing_is_stored() -> None:
    assert forecast(0, 0, {}).lines() == []
    assert Forecast.nothing(10).lines() == []
    assert Forecast.nothing(10).alarms() == []
