"""Which devices a batch brings, in what order, and up to where everything is done."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from arke.delivery.batch_feed import MOST_PAGES, PAGE, BatchFeed
from arke.domain.batch import OWED, WALK, BatchRun
from arke.domain.change import JournalRecord
from arke.domain.ledger import Owed
from arke.domain.profile import Profile
from arke.storage.committer import InlineCommitter
from arke.storage.ports.shard import GroupWrites
from arke.storage.sqlite.connection import MEMORY
from arke.storage.sqlite.store import SqliteShardStore

if TYPE_CHECKING:
    from collections.abc import Iterable

    from arke.domain.batch import BatchProgress, Mode

D = 423


class Bench:
    """A feed over a store in memory, with what it made durable."""

    def __init__(self, store: SqliteShardStore, run: BatchRun) -> None:
        self.kept: list[BatchProgress] = []
        self.feed = BatchFeed(run, store, self)

    async def record_progress(self, progress: BatchProgress) -> bool:
        self.kept.append(progress)
        return True

    def page(self) -> list[int]:
        """Read one page; the devices it brings."""
        asyncio.run(self.feed.read_page())
        return self.feed.take(10_000, (), ())


def run_of(
    mode: Mode = "changes",
    *,
    upto: int = 0,
    position: tuple[int, int] = (OWED, -1),
    read_to: tuple[int, int] | None = None,
) -> BatchRun:
    return BatchRun(D, 1, 0, mode, 0, upto, 0, position, read_to or position)


def stored(*, records: Iterable[int] = (), owed: Iterable[int] = (), profiles: int = 0) -> SqliteShardStore:
    store = SqliteShardStore(MEMORY, committer=InlineCommitter(), key=b"k")
    journal = [JournalRecord(seq, 0, uid, (), ()) for seq, uid in enumerate(records, 1)]
    writes = GroupWrites(
        profiles={uid: Profile(f"{uid:038d}") for uid in range(profiles)},
        journal=journal,
        owed=[Owed(D, uid, 0, 0, "500") for uid in owed],
    )
    asyncio.run(store.commit(writes))
    return store


def test_the_owed_come_first_and_then_the_journal() -> None:
    bench = Bench(stored(records=[5, 6, 5, 7], owed=[9, 6]), run_of(upto=3))
    assert bench.page() == [6, 9]
    assert bench.feed.position == (OWED, 5)
    assert bench.page() == [5]  # 6 is in hand, its second place in the journal too; 7 came after the start
    for uid in (9, 6):
        bench.feed.done(uid)
    assert bench.feed.position == (WALK, 0)
    bench.feed.done(5)
    assert bench.feed.over
    assert bench.feed.finished(99).position == (WALK, 3)


def test_how_far_a_page_reaches_is_durable_before_it_is_told() -> None:
    bench = Bench(stored(profiles=PAGE + 10), run_of("full", position=(WALK, -1)))
    assert len(bench.page()) == PAGE
    assert [(one.position, one.read_to) for one in bench.kept] == [((WALK, -1), (WALK, PAGE - 1))]
    assert len(bench.page()) == 10
    assert bench.kept[-1].read_to == (WALK, PAGE + 9)


def test_one_slow_device_holds_up_a_few_pages_at_most() -> None:
    """So memory, and what a crash repeats, are bounded; everything read is flushed, unless it may yet be filled."""
    bench = Bench(stored(profiles=PAGE * (MOST_PAGES + 2)), run_of("full", position=(WALK, -1)))
    while bench.feed.wants_page:
        for uid in bench.page():
            if uid:  # device 0 does not come back
                bench.feed.done(uid)
    assert bench.kept[-1].read_to == (WALK, PAGE * MOST_PAGES - 1)
    assert bench.feed.flushing(under_way=False)
    assert not bench.feed.flushing(under_way=True)
    bench.feed.done(0)
    assert bench.feed.wants_page


def test_the_last_messages_wait_for_no_others() -> None:
    bench = Bench(stored(profiles=10), run_of("full", position=(WALK, -1)))
    assert len(bench.page()) == 10
    assert bench.feed.flushing(under_way=True)


def test_a_device_in_the_window_or_held_still_comes_later() -> None:
    bench = Bench(stored(records=[1, 2, 3]), run_of(upto=3))
    asyncio.run(bench.feed.read_page())
    assert bench.feed.take(10, {1}, {2}) == [3]
    bench.feed.done(3)
    assert bench.feed.position == (WALK, 0)
    bench.feed.released(1)
    bench.feed.retry_postponed(())
    assert bench.feed.take(10, (), ()) == [1, 2]


def test_what_a_crash_left_open_is_told_in_full() -> None:
    """Between the place that was done and the read_to; after it the run is as ever."""
    run = run_of(upto=4, position=(WALK, 1), read_to=(WALK, 3))
    bench = Bench(stored(records=[1, 2, 3, 4]), run)
    assert bench.page() == [2, 3, 4]
    assert [bench.feed.asked(uid) for uid in (2, 3, 4)] == [("resync", True)] * 2 + [("batch", False)]
    recovering = []
    for uid in (2, 3):
        bench.feed.done(uid)
        recovering.append((bench.feed.recovering, bench.feed.paused().read_to))
    assert recovering == [(True, (WALK, 3)), (False, (WALK, 3))]


def test_a_run_is_full_where_the_journal_does_not_tell_all() -> None:
    def mode(before: BatchRun | None, *, mark: int = 0, first_seq: int = 1, everything: bool = False) -> str:
        run = BatchRun.after(
            before,
            destination=D,
            number=2,
            at=0,
            scope="resync" if everything else "changes",
            last_seq=20,
            first_seq=first_seq,
            mark=mark,
        )
        return run.mode

    finished = run_of(upto=10)
    assert mode(None) == "full"
    assert mode(finished) == "changes"
    assert mode(finished, first_seq=11) == "changes"
    assert mode(finished, first_seq=12) == "full"
    assert mode(finished, mark=1) == "full"
    assert mode(finished, everything=True) == "resync"


def test_a_run_is_not_over_while_its_last_page_is_made_durable() -> None:
    """Everything before is done, and the candidates of that page are not in hand yet."""
    over: list[bool] = []

    class Recorder:
        async def record_progress(self, _: BatchProgress) -> bool:
            over.append(feed.over)
            return True

    feed = BatchFeed(run_of(upto=3), stored(records=[1, 2, 3]), Recorder())
    asyncio.run(feed.read_page())
    assert over == [False]
    taken = feed.take(10, (), ())
    assert taken == [1, 2, 3]
    for uid in taken:
        feed.done(uid)
    assert feed.position == (WALK, 3)


def test_the_journal_leaves_alone_who_failed_since_the_run_began() -> None:
    """The owed came before; one that failed before the run is among them, and one that failed since waits."""
    bench = Bench(stored(records=[5, 6, 7], owed=[9]), run_of(upto=3))
    assert bench.page() == [9]
    assert bench.page() == [5, 6, 7]
    assert bench.feed.tried(5, Owed(D, 5, 0, 3, "500"))
    assert not bench.feed.tried(5, Owed(D, 5, 0, 2, "500"))
    assert not bench.feed.tried(9, Owed(D, 9, 0, 3, "500"))
