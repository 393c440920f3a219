"""A committer of a thread: nothing else runs while a write does, whoever waits for it or does not."""

from __future__ import annotations

import asyncio
import threading

import pytest

from arke.errors import StoreUnavailable
from arke.storage.committer import QUICK_S, SLOW_FOR_S, WEIGHT, ThreadCommitter
from patience import PATIENCE_S


class Write:
    """One that begins, and goes on until the test lets it. `log` has what was done, in order."""

    def __init__(self, log: list[str]) -> None:
        self.begun = threading.Event()
        self.go = threading.Event()
        self._log = log

    def __call__(self) -> None:
        self._log.append("begins")
        self.begun.set()
        assert self.go.wait(PATIENCE_S)
        self._log.append("ends")

    async def has_begun(self) -> None:
        assert await asyncio.to_thread(self.begun.wait, PATIENCE_S)


@pytest.fixture
def log() -> list[str]:
    return []


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_write_is_alone_to_its_end(log: list[str], cancelled: bool) -> None:
    """Reads and writes wait, in the order in which they came."""
    committer, write = ThreadCommitter("test"), Write(log)
    writing = asyncio.create_task(committer.run(write))
    await write.has_begun()
    if cancelled:
        writing.cancel()
    others = [
        asyncio.create_task(committer.between(log.append, "read")),
        asyncio.create_task(committer.run(log.append, "written")),
        asyncio.create_task(committer.between(log.append, "read again")),
    ]
    done, _ = await asyncio.wait(others, timeout=0.05)
    assert not done
    write.go.set()
    await asyncio.gather(*others)
    assert log == ["begins", "ends", "read", "written", "read again"]
    assert writing.cancelled() == cancelled
    committer.close()


async def test_who_is_cancelled_before_it_has_begun_writes_nothing(log: list[str]) -> None:
    committer, write = ThreadCommitter("test"), Write(log)
    writing = asyncio.create_task(committer.run(write))
    await write.has_begun()
    waiting = asyncio.create_task(committer.run(log.append, "written"))
    await asyncio.sleep(0)
    waiting.cancel()
    write.go.set()
    await writing
    await committer.between(log.append, "read")
    assert log == ["begins", "ends", "read"]
    committer.close()


async def test_what_one_write_raises_is_its_own(log: list[str]) -> None:
    """Also where nobody hears of it."""

    def broken() -> None:
        write()
        raise StoreUnavailable("disk full")

    for cancelled in (False, True):
        committer, write = ThreadCommitter("test"), Write(log)
        writing = asyncio.create_task(committer.run(broken))
        await write.has_begun()
        if cancelled:
            writing.cancel()
        next_one = asyncio.create_task(committer.run(log.append, "written"))
        write.go.set()
        with pytest.raises(asyncio.CancelledError if cancelled else StoreUnavailable):
            await writing
        await next_one
        committer.close()
    assert log == 2 * ["begins", "ends", "written"]


async def test_closing_waits_for_the_write_that_runs(log: list[str]) -> None:
    """Those that wait are refused, each of them."""
    committer, write = ThreadCommitter("test"), Write(log)
    writing = asyncio.create_task(committer.run(write))
    await write.has_begun()
    waiting = [asyncio.create_task(committer.run(log.append, "written")) for _ in range(2)]
    await asyncio.sleep(0)
    threading.Timer(0.05, write.go.set).start()
    committer.close()
    assert log == ["begins", "ends"]
    await writing
    refused = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(one) for one in refused] == 2 * [StoreUnavailable]
    assert log == ["begins", "ends"]


class Disk:
    """A clock that a write puts on by how long it takes, and the threads in which writes were done."""

    def __init__(self) -> None:
        self.now = 0.0
        self.threads: list[int] = []

    def write(self, seconds: float) -> float:
        self.now += seconds
        self.threads.append(threading.get_ident())
        return seconds

    @property
    def in_the_loops_thread(self) -> list[bool]:
        return [thread == threading.get_ident() for thread in self.threads]


async def test_small_writes_are_done_at_once_as_long_as_the_disk_is_quick() -> None:
    """The loop waits for a slow disk a few times, and then the thread does, until it is asked again."""
    disk = Disk()
    committer = ThreadCommitter("test", lambda: disk.now)
    for seconds in (QUICK_S / 2, 100.0, QUICK_S / 2, QUICK_S / 2):
        assert await committer.run_small(disk.write, seconds) == seconds
    assert all(disk.in_the_loops_thread)
    while all(disk.in_the_loops_thread):
        await committer.run_small(disk.write, QUICK_S * 2)
    assert len(disk.threads) < 4 + 2 / WEIGHT
    disk.now += SLOW_FOR_S
    await committer.run_small(disk.write, QUICK_S / 2)
    assert disk.in_the_loops_thread[-2:] == [False, True]
    committer.close()


async def test_a_small_write_that_fails_is_as_slow_as_it_is() -> None:
    disk = Disk()
    committer = ThreadCommitter("test", lambda: disk.now)

    def broken() -> None:
        disk.write(QUICK_S * 2)
        raise StoreUnavailable("disk full")

    while all(disk.in_the_loops_thread):
        with pytest.raises(StoreUnavailable, match="disk full"):
            await committer.run_small(broken)
    committer.close()


async def test_a_small_write_waits_for_the_one_that_runs(log: list[str]) -> None:
    committer, write = ThreadCommitter("test"), Write(log)
    writing = asyncio.create_task(committer.run(write))
    await write.has_begun()
    small = asyncio.create_task(committer.run_small(log.append, "small"))
    done, _ = await asyncio.wait([small], timeout=0.05)
    assert not done
    write.go.set()
    await asyncio.gather(writing, small)
    assert log == ["begins", "ends", "small"]
    committer.close()
    with pytest.raises(StoreUnavailable):
        await committer.run_small(log.append, "too late")
