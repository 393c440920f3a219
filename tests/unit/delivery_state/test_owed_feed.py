"""What is owed and sent again by itself: whose turn it is, by given times and pages of a store."""

from __future__ import annotations

import asyncio
from math import inf

from arke.delivery import owed_feed
from arke.delivery.owed_feed import OwedFeed
from arke.domain.ledger import Owed

DESTINATION = 423


class Rows:
    """An `OwedReader` over a list. `reads` counts pages."""

    def __init__(self, *rows: Owed) -> None:
        self.rows = list(rows)
        self.reads = 0
        self.in_hand: list[int] = []

    async def owed_due(self, destination: int, until: int, after: tuple[int, int], limit: int) -> list[Owed]:
        self.reads += 1
        found = sorted(self.rows, key=lambda one: (one.due, one.uid))
        return [one for one in found if one.due <= until and (one.due, one.uid) > after][:limit]

    async def owed_tried(
        self, destination: int, until: float, after: tuple[float, int], limit: int
    ) -> list[Owed]:
        self.reads += 1
        found = sorted(self.rows, key=lambda one: (one.tried, one.uid))
        return [one for one in found if one.tried <= until and (one.tried, one.uid) > after][:limit]

    async def next_owed(self, destination: int) -> int | None:
        return min((one.due for one in self.rows), default=None)

    async def owed_in_hand(self, destination: int) -> list[int]:
        raise NotImplementedError

    async def record_in_hand(self, uids: list[int]) -> bool:
        self.in_hand += uids
        return True

    async def owed_page(self, destination: int | None, after: tuple[int, int], limit: int) -> list[Owed]:
        raise NotImplementedError

    async def owed_counts(self) -> dict[int, int]:
        raise NotImplementedError


def feed_of(rows: Rows) -> OwedFeed:
    return OwedFeed(DESTINATION, rows, rows)


def row(uid: int, tried: float, due: int, *, share: int = 0) -> Owed:
    return Owed(DESTINATION, uid, 0, 1, "500", 1, tried, due, share)


def taken(feed: OwedFeed, now: float) -> list[int]:
    """Read whatever the feed wants to read at a moment, and take all of it."""
    found: list[int] = []
    while feed.wants_page(now):
        asyncio.run(feed.read_page(now))
        found += [owed.uid for owed in feed.take(10_000, (), ())]
    return found


def test_nobody_goes_before_the_endpoint_has_acknowledged_something_since() -> None:
    feed = feed_of(Rows(row(1, 100.0, 160), row(2, 50.0, 110)))
    assert taken(feed, 1_000) == []
    assert feed.waits_until() == inf, (
        "until the endpoint acknowledges something, there is nothing to wait for"
    )
    feed.acknowledged(1_000)
    assert taken(feed, 1_000) == [2, 1]


def test_an_acknowledgement_from_before_does_not_count() -> None:
    feed = feed_of(Rows(row(1, 100.0, 160), row(2, 50.0, 110)))
    feed.acknowledged(75.0)
    assert taken(feed, 200) == [2]


def test_one_that_another_shard_heard_counts() -> None:
    """But it does not say since when the endpoint failed here."""
    rows = Rows(row(1, 100.0, 160), row(2, 120.0, 5_000))
    feed = feed_of(rows)
    assert taken(feed, 200) == []
    assert feed.acknowledged_elsewhere(150.0, 200)
    assert not feed.acknowledged_elsewhere(149.0, 200), "that is older"
    assert feed.acknowledged_at is None
    assert taken(feed, 200) == [1]
    feed.done(1)
    feed.is_back(210)
    assert taken(feed, 210) == [1, 2]


def test_those_that_are_not_due_wait_for_their_moment() -> None:
    feed = feed_of(Rows(row(1, 100.0, 160), row(2, 100.0, 400)))
    feed.acknowledged(150.0)
    assert taken(feed, 155) == []
    assert feed.waits_until() == 160
    assert taken(feed, 160) == [1]


def test_the_return_of_an_endpoint_releases_what_failed_since() -> None:
    """Whatever step they are on, but not those whose message was refused, nor those that failed before."""
    rows = Rows(
        row(1, 90.0, 5_000), row(2, 110.0, 5_000), row(3, 120.0, 9_000), row(4, 120.0, 5_000, share=1)
    )
    feed = feed_of(rows)
    feed.acknowledged(100.0)
    feed.is_back(130.0)
    feed.acknowledged(130.0)
    assert taken(feed, 130) == [2, 3]


def test_it_is_released_once() -> None:
    """Until something fails again: an endpoint that is reached, and answers nothing, is not met over and over."""
    rows = Rows(row(1, 110.0, 5_000, share=1))
    feed = feed_of(rows)
    feed.is_back(130.0)
    assert taken(feed, 130) == []
    reads = rows.reads
    feed.is_back(130.0)
    assert taken(feed, 130) == []
    assert rows.reads == reads


def test_few_are_held_however_many_there_are() -> None:
    rows = Rows(*(row(uid, 1.0, 10) for uid in range(10 * owed_feed.PAGE)))
    feed = feed_of(rows)
    feed.acknowledged(50.0)
    asyncio.run(feed.read_page(100))
    assert not feed.wants_page(100)
    (first, *rest) = feed.take(owed_feed.PAGE, (), ())
    assert not feed.wants_page(100), "they are still open"
    for owed in rest:
        feed.done(owed.uid)
    assert feed.wants_page(100)
    asyncio.run(feed.read_page(100))
    assert first.uid not in [owed.uid for owed in feed.take(owed_feed.PAGE, (), ())]


def test_whoever_is_in_the_window_or_held_is_left() -> None:
    feed = feed_of(Rows(*(row(uid, 1.0, 10) for uid in range(3))))
    feed.acknowledged(50.0)
    asyncio.run(feed.read_page(100))
    assert [owed.uid for owed in feed.take(10, {0}, {1})] == [2]
    assert feed.waits_until() == 100 + owed_feed.LEAST_PAUSE_S, "a later pass meets them again"


def test_who_is_to_be_sent_is_in_hand_first() -> None:
    """Durably, before anybody can take one."""
    rows = Rows(row(1, 1.0, 10), row(2, 1.0, 10), row(3, 1.0, 900))
    feed = feed_of(rows)
    feed.acknowledged(50.0)
    asyncio.run(feed.read_page(100))
    assert rows.in_hand == [1, 2]


# --- after a restart --------------------------------------------------------------------------------------


def started(rows: Rows, at: float) -> OwedFeed:
    return OwedFeed(DESTINATION, rows, rows, started=at)


def test_the_first_acknowledgement_releases_what_failed_before_the_lane_started() -> None:
    """It may have failed in an outage that nobody remembers; not what was refused, nor what failed since."""
    rows = Rows(row(1, 90.0, 5_000), row(2, 95.0, 9_000, share=1), row(3, 110.0, 170))
    feed = started(rows, 100.0)
    assert taken(feed, 120) == []
    feed.acknowledged(120.0)
    assert taken(feed, 120) == [1]
    feed.done(1)
    feed.acknowledged(130.0)
    assert taken(feed, 130) == [], "once"


def test_so_does_one_that_another_shard_heard_first() -> None:
    feed = started(Rows(row(1, 90.0, 5_000)), 100.0)
    assert taken(feed, 120) == []
    assert feed.acknowledged_elsewhere(120.0, 121)
    assert taken(feed, 121) == [1]


def test_a_return_while_those_from_before_the_start_are_read_forgets_none_of_them() -> None:
    rows = Rows(*(row(uid, 90.0, 5_000) for uid in range(2 * owed_feed.PAGE)), row(9_999, 125.0, 5_000))
    feed = started(rows, 100.0)
    feed.acknowledged(120.0)
    feed.failed(5_000)
    feed.is_back(130.0)
    found = taken_in_turn(feed, 130)
    assert sorted(found) == [*range(2 * owed_feed.PAGE), 9_999]


def taken_in_turn(feed: OwedFeed, now: float) -> list[int]:
    """As `taken`, and each is done with before the next page."""
    found: list[int] = []
    while feed.wants_page(now):
        asyncio.run(feed.read_page(now))
        page = [owed.uid for owed in feed.take(10_000, (), ())]
        for uid in page:
            feed.done(uid)
        found += page
    return found


def test_a_return_while_a_page_is_read_is_not_lost() -> None:
    """The page of those that are due, of which the endpoint's return knows better, is read while it comes back."""

    class Slow(Rows):
        async def owed_due(
            self, destination: int, until: int, after: tuple[int, int], limit: int
        ) -> list[Owed]:
            found = await super().owed_due(destination, until, after, limit)
            feed.is_back(until)
            return found

    feed = feed_of(Slow(row(1, 100.0, 160), row(2, 100.0, 5_000)))
    feed.acknowledged(50.0)
    assert taken(feed, 200) == [1, 2]
