"""The buffer between a thread that fetches from a log and the shard that reads it: bounded, and without a gap."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

from arke.errors import LogGap
from arke.log import get_logger
from arke.transport.message import unpacked

if TYPE_CHECKING:
    from arke.errors import ArkeError
    from arke.transport.ports import LogMessage, RefusedMessages

FULL_BYTES: Final = 4 * 1024 * 1024
"""Of a stream that is not read, no more is fetched than this and what was under way."""
FULL_MESSAGES: Final = 4_096
READ_BYTES: Final = 1024 * 1024
"""Of what has arrived, so much is decoded at a time; the event loop waits meanwhile."""

log = get_logger("log")

Fetched = tuple[int, bytes]
"""A position, and the message there."""


class Feed(Protocol):
    """Who fetches for a stream, in any thread: `fetched`, then `put` on the event loop; not while it is `full`."""

    def closed(self, stream: BufferedStream) -> None:
        """Fetch no more. On the event loop; does not wait."""
        ...


class BufferedStream:
    """A `ShardStream` that a feed puts messages into."""

    def __init__(self, source: str, shard: int, position: int, feed: Feed, refused: RefusedMessages) -> None:
        self.shard = shard
        self.next = position + 1
        """What the feed puts next."""
        self.stored = position
        self.end = position
        self._source = source
        self._feed = feed
        self._refused = refused
        self._arrived: deque[Fetched] = deque()
        self._fetched = self._fetched_bytes = self._read = self._read_bytes = 0
        """Each is changed by one thread only, so that their differences can be looked at from another."""
        self._wake = asyncio.Event()
        self._failure: ArkeError | None = None
        self._is_closed = False

    # --- the feed's side --------------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        """Whether what was fetched and not read is as much as a stream may hold."""
        messages, size = self.unread
        return messages >= FULL_MESSAGES or size >= FULL_BYTES

    @property
    def has_room(self) -> bool:
        """Whether a feed that stopped at `full` should begin again: not for a message or two, since to begin costs
        it what it had fetched beforehand.
        """
        messages, size = self.unread
        return messages <= FULL_MESSAGES // 2 and size <= FULL_BYTES // 2

    @property
    def unread(self) -> tuple[int, int]:
        """Messages and bytes."""
        return self._fetched - self._read, self._fetched_bytes - self._read_bytes

    @property
    def failed(self) -> bool:
        return self._failure is not None

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    def fetched(self, messages: list[Fetched]) -> None:
        """These will be put."""
        self._fetched += len(messages)
        self._fetched_bytes += sum(len(body) for _, body in messages)

    def put(self, fetched: list[Fetched]) -> None:
        """On the event loop. What is there already is passed over: a log may bring it again after a pause. What
        comes after a gap, or after the end, is dropped.
        """
        for position, body in fetched:
            if self._failure is not None or self._is_closed:
                return None
            if position < self.next:
                self._passed_over(body)
                continue
            if position > self.next:
                return self.fail(self._gap(position))
            self.next += 1
            self.end = max(self.end, position)
            self._arrived.append((position, body))
        self._wake.set()
        return None

    def _passed_over(self, body: bytes) -> None:
        self._read += 1
        self._read_bytes += len(body)

    def fail(self, error: ArkeError) -> None:
        """After what has arrived, whoever reads gets this."""
        if not (self.failed or self._is_closed):
            log.warning(
                "log_stopped", shard=self.shard, position=self.next - 1, code=error.code, message=str(error)
            )
            self._failure = error
            self._wake.set()

    def _gap(self, found: int) -> LogGap:
        return LogGap(
            f"{self._source}, shard {self.shard}: the message after position {self.next - 1} is {found}: what lies "
            "between is gone or was never there, so the shard stops"
        )

    # --- the shard's side -------------------------------------------------------------------------------

    async def read(self) -> list[LogMessage]:
        if not await self._something():
            return []
        return await self._decoded()

    async def _something(self) -> bool:
        """Wait for a message; False once the stream is closed. Raises what it failed with."""
        while not (self._arrived or self._failure or self._is_closed):
            self._wake.clear()
            await self._wake.wait()
        if self._is_closed:
            return False
        if not self._arrived:
            assert self._failure is not None  # noqa: S101 - for mypy: nothing else ends the loop
            raise self._failure
        return True

    async def _decoded(self) -> list[LogMessage]:
        """Nothing leaves the buffer before what is refused of it is kept."""
        messages, bad, size = [], [], 0
        for position, body in self._arrived:
            message, unreadable = unpacked(self._source, self.shard, position, body)
            messages.append(message)
            bad += unreadable
            size += len(body)
            if size >= READ_BYTES:
                break
        if bad:
            await self._refused.refuse(bad)
            log.error("log_unreadable", shard=self.shard, position=bad[0].position, items=len(bad))
        for _ in messages:
            self._arrived.popleft()
        self._read += len(messages)
        self._read_bytes += size
        return messages

    def taken(self, position: int) -> None:
        self.stored = max(self.stored, position)

    def forget(self) -> None:
        """What was taken has to be said again."""
        self.stored = 0

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._arrived.clear()
            self._wake.set()
            self._feed.closed(self)
