"""A worker as small as it can be: takes the shards that it is assigned, and stores what it reads under the
compare-and-set of (epoch, position). As a process: `python worker.py LOG STORE NAME`, until SIGTERM.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sqlite3
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[2])

from conformance.log.logs import AnyLog, Kept, opened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arke.transport.ports import LogMessage, LogReader, ShardStream

SCHEMA = """
CREATE TABLE IF NOT EXISTS shard (shard INTEGER PRIMARY KEY, epoch INTEGER, position INTEGER, owner TEXT);
CREATE TABLE IF NOT EXISTS applied (shard INTEGER, position INTEGER, event TEXT, owner TEXT);
CREATE TABLE IF NOT EXISTS fenced (shard INTEGER, owner TEXT);
"""


class Fenced(Exception):
    """Somebody else took the shard."""


class Store:
    """What the workers share: every shard's epoch, position and applied events, in one file."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, timeout=60, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.executescript(SCHEMA)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Nobody else writes meanwhile."""
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    def _rows(self, query: str, *values: Any) -> list[Any]:
        return self._database.execute(query, values).fetchall()

    def take(self, shard: int, owner: str) -> tuple[int, int]:
        """The new epoch, and the position."""
        with self.transaction():
            self._rows("INSERT OR IGNORE INTO shard VALUES (?, 0, 0, '')", shard)
            query = "UPDATE shard SET epoch = epoch + 1, owner = ? WHERE shard = ? RETURNING epoch, position"
            epoch, position = self._rows(query, owner, shard)[0]
            return epoch, position

    def apply(self, owner: str, epoch: int, position: int, messages: list[LogMessage]) -> int:
        shard, last = messages[0].shard, messages[-1].position
        with self.transaction():
            query = "UPDATE shard SET position = ? WHERE shard = ? AND epoch = ? AND position = ? RETURNING 1"
            if not self._rows(query, last, shard, epoch, position):
                raise Fenced
            events = [
                (shard, message.position, sight.event.event_id, owner)
                for message in messages
                for sight in message.sights
            ]
            self._database.executemany("INSERT INTO applied VALUES (?, ?, ?, ?)", events)
        return last

    def was_fenced(self, shard: int, owner: str) -> None:
        self._rows("INSERT INTO fenced VALUES (?, ?)", shard, owner)

    def owners(self) -> dict[int, str]:
        return dict(self._rows("SELECT shard, owner FROM shard"))

    def applied(self) -> dict[int, list[str]]:
        """Events by shard, in the order in which they were applied."""
        found: dict[int, list[str]] = {}
        for shard, event in self._rows("SELECT shard, event FROM applied ORDER BY rowid"):
            found.setdefault(shard, []).append(event)
        return found

    def count(self) -> int:
        return int(self._rows("SELECT count(*) FROM applied")[0][0])

    def applied_by(self, owner: str) -> int:
        return int(self._rows("SELECT count(*) FROM applied WHERE owner = ?", owner)[0][0])

    def fenced(self, owner: str) -> int:
        return int(self._rows("SELECT count(*) FROM fenced WHERE owner = ?", owner)[0][0])

    def close(self) -> None:
        self._database.close()


class Worker:
    """A `ShardOwner`."""

    def __init__(self, name: str, reader: LogReader, store: Store) -> None:
        self.name = name
        self._reader = reader
        self._store = store
        self._owned: dict[int, asyncio.Task[None]] = {}

    @property
    def shards(self) -> frozenset[int]:
        return frozenset(self._owned)

    def assigned(self, shards: frozenset[int]) -> None:
        for shard in shards:
            self._drop(shard)
            self._owned[shard] = asyncio.create_task(self._own(shard))

    async def revoked(self, shards: frozenset[int]) -> None:
        self.lost(shards)

    def lost(self, shards: frozenset[int]) -> None:
        for shard in shards:
            self._drop(shard)

    def _drop(self, shard: int) -> None:
        """Between two groups: storing one does not wait here."""
        task = self._owned.pop(shard, None)
        if task is not None:
            task.cancel()

    async def _own(self, shard: int) -> None:
        epoch, position = self._store.take(shard, self.name)
        stream = self._reader.open(shard, position)
        try:
            await self._apply(shard, epoch, position, stream)
        except Fenced:
            self._store.was_fenced(shard, self.name)
        finally:
            stream.close()

    async def _apply(self, shard: int, epoch: int, position: int, stream: ShardStream) -> None:
        while messages := await stream.read():
            position = self._store.apply(self.name, epoch, position, messages)
            stream.taken(position)


async def work(log: AnyLog, store: Path, name: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with opened(log, Kept()) as ends:
        await ends.assignment.start(Worker(name, ends.reader, Store(store)))
        await stop.wait()
        await ends.assignment.stop()


if __name__ == "__main__":
    asyncio.run(work(msgspec.json.decode(sys.argv[1], type=AnyLog), Path(sys.argv[2]), sys.argv[3]))
