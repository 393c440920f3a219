"""Streams from the log in PostgreSQL: one question for all shards that are read, again after a short pause."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from arke.background import Background, Pause
from arke.errors import LogGap, StoreUnavailable
from arke.log import get_logger
from arke.storage.sql_files import statements
from arke.transport.stream import BufferedStream

if TYPE_CHECKING:
    from arke.storage.postgres.connection import Connection, Session
    from arke.transport.ports import RefusedMessages
    from arke.transport.stream import Fetched

SQL: Final = statements(Path(__file__).parent / "queries" / "log.sql")
SOURCE: Final = "postgresql"
LOOK_AGAIN: Final = Pause(0.005, 0.05)
"""While nothing comes."""
OF_EACH: Final = 16
TOGETHER: Final = 128
"""Messages fetched at a time, of one shard and of all; each has up to 256 KB, or one event."""
TRIM_S: Final = 2.0
UNREACHABLE_S: Final = 2.0

log = get_logger("log")

Row = tuple[int, int, int | None, bytes | None]


class PostgresReader:
    """A `LogReader` over the table. What its streams have taken is deleted a moment later."""

    def __init__(self, session: Session, refused: RefusedMessages) -> None:
        self._session = session
        self._refused = refused
        self._streams: dict[int, BufferedStream] = {}
        self._trimmed: dict[int, int] = {}
        self._connection: Connection | None = None
        self._background = Background()
        self._opened = asyncio.Event()

    def open(self, shard: int, position: int) -> BufferedStream:
        before = self._streams.get(shard)
        if before is not None:
            before.close()
        stream = self._streams[shard] = BufferedStream(SOURCE, shard, position, self, self._refused)
        if not self._background.running:
            self._background.spawn(self._fetch(), "log-fetch")
        self._opened.set()
        return stream

    def closed(self, stream: BufferedStream) -> None:
        if self._streams.get(stream.shard) is stream:
            del self._streams[stream.shard]

    async def stop(self) -> None:
        """Safe twice."""
        await self._background.stop()
        await self._session.close()

    async def _fetch(self) -> None:
        """For ever. An unreachable server is asked again: who reads waits, as for an event."""
        pauses = iter(LOOK_AGAIN)
        trim_at = 0.0
        while True:
            try:
                found = await self._look()
                if (now := asyncio.get_running_loop().time()) >= trim_at:
                    trim_at = now + TRIM_S
                    await self._trim()
            except StoreUnavailable as error:
                log.warning("log_unreachable", message=str(error))
                await self._pause(UNREACHABLE_S)
                continue
            if found:
                pauses = iter(LOOK_AGAIN)
            else:
                await self._pause(next(pauses))

    async def _pause(self, seconds: float) -> None:
        """Until then, or until another stream is opened."""
        self._opened.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._opened.wait()

    async def _look(self) -> bool:
        """Whether anything came."""
        asked = [stream for stream in self._streams.values() if not stream.full and not stream.failed]
        if not asked:
            return False
        where = [stream.shard for stream in asked], [stream.next - 1 for stream in asked]
        rows: list[Row] = await self._session.run(
            lambda connection: self._fetched(connection, (*where, OF_EACH, TOGETHER))
        )
        by_shard: dict[int, list[Row]] = {}
        for row in rows:
            by_shard.setdefault(row[0], []).append(row)
        for stream in asked:
            if stream.shard in by_shard:
                self._put(stream, by_shard[stream.shard])
        return bool(by_shard)

    def _put(self, stream: BufferedStream, rows: list[Row]) -> None:
        end = rows[0][1]
        fetched: list[Fetched] = [
            (number, body) for _, _, number, body in rows if number is not None and body is not None
        ]
        if not fetched:
            stream.fail(
                LogGap(
                    f"the log of shard {stream.shard} ends at {end}, and has nothing after {stream.next - 1}"
                )
            )
        stream.fetched(fetched)
        stream.put(fetched)
        stream.end = max(stream.end, end)
        # Next time the others come first, if not all of them find room.
        if self._streams.get(stream.shard) is stream:
            self._streams[stream.shard] = self._streams.pop(stream.shard)

    async def _trim(self) -> None:
        """Nothing is deleted that a store might still ask for."""
        stored = {shard: stream.stored for shard, stream in self._streams.items() if not stream.failed}
        new = {shard: at for shard, at in stored.items() if at > self._trimmed.get(shard, 0)}
        if new:
            self._trimmed.update(await self._session.run(lambda connection: self._deleted(connection, new)))

    def _fetched(self, connection: Connection, asked: tuple[Any, ...]) -> list[Row]:
        """In the session's thread. Another connection may lead to a standby with an older state, where numbers are
        given again, to other messages: what was stored before it says nothing, until owners prove it anew.
        """
        if connection is not self._connection:
            for stream in tuple(self._streams.values()):
                stream.forget()
            self._trimmed.clear()
            self._connection = connection
        return connection.execute(SQL["fetch"], asked, binary=True).fetchall()

    def _deleted(self, connection: Connection, positions: dict[int, int]) -> dict[int, int]:
        """In the session's thread: what was deleted."""
        if connection is not self._connection:
            return {}
        connection.execute(SQL["trim"], ([*positions], [*positions.values()]), binary=True)
        return positions
