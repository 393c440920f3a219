"""What lanes have ahead is read once, however far ahead it is, and little of it is kept."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from arke.domain.change import JournalRecord
from arke.domain.profile import Profile, SendMark
from arke.shard import backlog
from arke.shard.backlog import PAGE, Backlog

if TYPE_CHECKING:
    from arke.delivery.lane import Lane
    from arke.storage.ports.shard import JournalReader
    from arke.telling.records import Route

MOST = 2 * PAGE


class Journal:
    """A device a record, each named for every destination."""

    def __init__(self, end: int) -> None:
        self.end = end
        self.pages = 0

    async def journal(self, after: int, limit: int) -> list[JournalRecord]:
        self.pages += 1
        return [
            JournalRecord(seq, 1, seq, (), tuple(range(10)), "realtime")
            for seq in range(after + 1, min(after + limit, self.end) + 1)
        ]


@pytest.fixture(autouse=True)
def bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "MOST_DEVICES", MOST)
    monkeypatch.setattr(backlog, "MOST_OF_ALL", 2 * MOST)


def lane_at(read_until: int, end: int, number: int = 1) -> Any:
    route = SimpleNamespace(destination=SimpleNamespace(id=number, realtime=True))
    return SimpleNamespace(route=route, read_until=read_until, journal_end=end)


async def ask(known: Backlog, lane: Any) -> backlog.Ahead:
    return await known.of(cast("Lane", lane))


async def test_a_journal_that_is_very_far_ahead_is_not_read_for_every_question() -> None:
    journal = Journal(10 * MOST)
    known = Backlog(cast("JournalReader", journal))
    lane = lane_at(0, journal.end)
    ahead = await ask(known, lane)
    assert (ahead.whole, journal.pages) == (False, MOST // PAGE)
    for position in range(0, MOST // 2 + 1, 10):
        lane.read_until = position
        assert await ask(known, lane) is ahead
    assert journal.pages == MOST // PAGE
    lane.read_until = MOST // 2 + 1
    again = await ask(known, lane)
    assert (again.start, again.read_to, journal.pages) == (
        MOST // 2 + 1,
        MOST // 2 + 1 + MOST,
        2 * MOST // PAGE,
    )
    route = cast("Route", lane.route)
    marked = Profile("1", sends={1: SendMark(1, 1)})
    assert again.has(again.read_to, Profile("1"), route, lane.read_until)
    assert not again.has(again.read_to + 1, Profile("1"), route, lane.read_until)
    assert again.has(again.read_to + 1, marked, route, lane.read_until), (
        "behind what was read its mark counts"
    )


async def test_what_is_known_of_all_lanes_is_bounded() -> None:
    journal = Journal(10 * MOST)
    known = Backlog(cast("JournalReader", journal))
    for number in range(6):
        await ask(known, lane_at(0, journal.end, number))
    pages = journal.pages
    await ask(known, lane_at(0, journal.end, 5))
    assert journal.pages == pages
    assert list(known._known) == [4, 5]


async def test_one_device_is_looked_for_in_one_reading_for_all_lanes() -> None:
    journal = Journal(MOST)
    known = Backlog(cast("JournalReader", journal))
    lanes = {number: lane_at(100 * number, journal.end, number) for number in range(5)}
    lanes[5] = lane_at(journal.end, journal.end, 5)
    found = await known.of_one(250, cast("dict[int, Lane]", lanes))
    route = cast("Route", lanes[0].route)
    ahead = {
        number: one.has(250, Profile("1"), route, lanes[number].read_until) for number, one in found.items()
    }
    assert ahead == {0: True, 1: True, 2: True, 3: False, 4: False}
    assert all(one.whole and len(one) <= 1 for one in found.values())
    assert (journal.pages, len(known._known)) == (MOST // PAGE, 0)


async def test_it_is_not_looked_for_without_end() -> None:
    journal = Journal(10 * MOST)
    known = Backlog(cast("JournalReader", journal))
    lane = lane_at(0, journal.end)
    found = await known.of_one(journal.end, {1: cast("Lane", lane)})
    assert journal.pages == MOST // PAGE
    marked = Profile("1", sends={1: SendMark(1, 1)})
    assert found[1].has(journal.end, marked, cast("Route", lane.route), 0)
    assert not found[1].has(journal.end, Profile("1"), cast("Route", lane.route), 0)
