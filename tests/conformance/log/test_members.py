"""Workers come, go, die, and are stopped and woken under load: shards go on elsewhere, and every acknowledged event
counts once, in order.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from conformance.log.logs import SHARDS, Kept, opened
from conformance.log.test_log import sight
from conformance.log.worker import Store, Worker
from patience import eventually, wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from arke.transport.ports import LogWriter
    from conformance.log.logs import AnyLog
    from conformance.log.places import KafkaPlace, Place

TESTS = Path(__file__).parents[2]
TAKEN_OVER_S = 10.0
LOAD_PAUSE_S = 0.01


class Member:
    """A worker in a process of its own."""

    def __init__(self, log: AnyLog, store: Path, name: str) -> None:
        self.name = name
        command = [sys.executable, str(Path(__file__).with_name("worker.py"))]
        paths = os.pathsep.join([str(TESTS.parent / "src"), str(TESTS)])
        self.process = subprocess.Popen(
            [*command, msgspec.json.encode(log).decode(), str(store), name],
            env={**os.environ, "PYTHONPATH": paths},
        )

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def is_stopped(self) -> bool:
        return Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(") ")[2].startswith("T")

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


class Load:
    """One event after the other to every shard, and which of them were acknowledged."""

    def __init__(self, writer: LogWriter) -> None:
        self._writer = writer
        self._stopping = False
        self.acknowledged: dict[int, list[str]] = {shard: [] for shard in range(SHARDS)}

    async def run(self) -> None:
        await asyncio.gather(*map(self._write, self.acknowledged))

    async def _write(self, shard: int) -> None:
        for number in itertools.count():
            if self._stopping:
                return
            await self._writer.append(shard, [sight(f"{shard}-{number}")])
            self.acknowledged[shard].append(f"{shard}-{number}")
            await asyncio.sleep(LOAD_PAUSE_S)

    def stop(self) -> None:
        self._stopping = True


class Scene:
    """Load on a log, and what has become of it."""

    def __init__(self, log: AnyLog, load: Load, store: Store, path: Path) -> None:
        self._log = log
        self.load = load
        self.store = store
        self._path = path
        self.members: dict[str, Member] = {}

    def begin(self, name: str) -> Member:
        member = self.members[name] = Member(self._log, self._path, name)
        return member

    def stop(self, member: Member) -> None:
        """Not while it writes: the file would stay locked."""
        with self.store.transaction():
            member.send(signal.SIGSTOP)
            wait_until(member.is_stopped, "a process to stop")

    async def owned_by(self, *names: str) -> None:
        """Every shard is owned by one of these, each of whom has one, and goes on from here."""
        await eventually(lambda: self._are_owners(names), f"shards to be owned by {names}")
        sent = {shard: events[-1] for shard, events in self.load.acknowledged.items() if events}
        await eventually(lambda: self._applied(sent), f"{names} to go on")

    def _are_owners(self, names: tuple[str, ...]) -> bool:
        owners = self.store.owners()
        return len(owners) == SHARDS and set(owners.values()) == set(names)

    def _applied(self, sent: dict[int, str]) -> bool:
        applied = self.store.applied()
        return all(event in applied.get(shard, ()) for shard, event in sent.items())


class Named:
    """An owner that only knows which shards it has."""

    def __init__(self) -> None:
        self.shards: frozenset[int] = frozenset()

    def assigned(self, shards: frozenset[int]) -> None:
        self.shards |= shards

    async def revoked(self, shards: frozenset[int]) -> None:
        self.shards -= shards

    def lost(self, shards: frozenset[int]) -> None:
        self.shards -= shards


@asynccontextmanager
async def under_load(place: Place, folder: Path) -> AsyncIterator[Scene]:
    """At the end everything that was acknowledged has been applied once, in order."""
    log = await place.fresh()
    store = Store(folder / "store.db")
    async with opened(log, Kept()) as ends:
        load = Load(ends.writer)
        scene = Scene(log, load, store, folder / "store.db")
        running = asyncio.create_task(load.run())
        try:
            yield scene
            load.stop()
            await running
            total = sum(map(len, load.acknowledged.values()))
            await eventually(lambda: store.count() >= total, f"all of {total} events")
            assert store.applied() == load.acknowledged
        finally:
            running.cancel()
            for member in scene.members.values():
                member.end()
            store.close()


async def test_members_that_come_and_leave_hand_over_what_they_own(each_log: Place, tmp_path: Path) -> None:
    log = await each_log.fresh()
    store = Store(tmp_path / "store.db")
    async with opened(log, Kept()) as ends, opened(log, Kept()) as others:
        one, other = Worker("one", ends.reader, store), Worker("other", others.reader, store)
        await ends.assignment.start(one)
        await eventually(lambda: len(one.shards) == SHARDS, "one to own all")
        await others.assignment.start(other)
        await eventually(lambda: len(one.shards) == len(other.shards) == SHARDS // 2, "each to own its half")
        assert not one.shards & other.shards
        await ends.assignment.stop()
        assert not one.shards
        await eventually(lambda: len(other.shards) == SHARDS, "the other to own all")
    assert not other.shards
    store.close()


async def test_a_shard_that_was_opened_before_it_was_assigned_is_read_once_it_is(each_log: Place) -> None:
    """Its assignment was taken back while the store was asked, and came again."""
    log = await each_log.fresh()
    async with opened(log, Kept()) as ends, opened(log, Kept()) as others:
        quiet, other = Named(), Named()
        await others.assignment.start(other)
        await eventually(lambda: len(other.shards) == SHARDS, "the other to own all")
        await ends.writer.append(0, [sight("a")])
        await ends.assignment.start(quiet)
        stream = ends.reader.open(0, 0)
        await eventually(lambda: quiet.shards, "a share")
        await others.assignment.stop()
        await eventually(lambda: len(quiet.shards) == SHARDS, "all shards")
        assert [one.sights for one in await stream.read()] == [(sight("a"),)]


async def test_partitions_that_somebody_added_are_no_shards(kafka: KafkaPlace) -> None:
    log = await kafka.fresh()
    async with opened(log, Kept(), shards=SHARDS - 2) as ends:
        owner = Named()
        await ends.assignment.start(owner)
        await eventually(lambda: owner.shards, "shards")
        assert owner.shards == frozenset(range(SHARDS - 2))


async def test_a_member_killed_one_stopped_and_woken_and_one_that_leaves_cost_nothing(
    each_log: Place, tmp_path: Path
) -> None:
    async with under_load(each_log, tmp_path) as scene:
        killed, woken, leaving = (scene.begin(name) for name in ("killed", "woken", "leaving"))
        await scene.owned_by("killed", "woken", "leaving")
        killed.send(signal.SIGKILL)
        await scene.owned_by("woken", "leaving")
        scene.stop(woken)
        await scene.owned_by("leaving")
        woken.send(signal.SIGCONT)
        await scene.owned_by("woken", "leaving")
        leaving.send(signal.SIGTERM)
        await scene.owned_by("woken")
        assert leaving.process.wait() == 0


@pytest.mark.soak
async def test_shards_of_a_dead_member_go_on_elsewhere_within_ten_seconds(
    each_log: Place, tmp_path: Path
) -> None:
    async with under_load(each_log, tmp_path) as scene:
        scene.begin("stays")
        for number in range(10):
            dies = scene.begin(f"dies{number}")
            await scene.owned_by("stays", dies.name)
            died = time.monotonic()
            if number % 2:
                dies.send(signal.SIGKILL)
            else:
                scene.stop(dies)
            await scene.owned_by("stays")
            assert time.monotonic() - died < TAKEN_OVER_S
            dies.end()
