"""A `LogWriter` over anything that carries messages: packs what many callers append, and bounds what waits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from arke.errors import ArkeError, InvalidInput, Overloaded, ShardDown, StoreUnavailable
from arke.transport.message import encode_sight, packed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.shard.commands import Sight

MAX_SIGHT_BYTES: Final = 900_000
"""Kafka's brokers refuse messages of more than 1 MB."""
MESSAGE_BYTES: Final = 256 * 1024
"""Of events that are packed together."""

CHECKED_WITHIN_S: Final = 3.0


class Bounds(msgspec.Struct, frozen=True):
    """How much is packed together, and how much may wait. A message holds up to `message_events` and about
    `message_bytes`, of what came within `linger_s`; `waiting_messages` and `waiting_bytes` may wait for the log.

    A caller waits for `answer_s`. A log that has left a message unanswered for `stalled_s` is asked nothing more
    until it answers: longer than it takes brokers to replace one of them (9 s unless they are set otherwise).
    """

    linger_s: float = 0.003
    message_events: int = 100
    message_bytes: int = MESSAGE_BYTES
    waiting_messages: int = 10_000
    waiting_bytes: int = 64 * 1024 * 1024
    answer_s: float = 20.0
    stalled_s: float = 15.0


class Packed:
    """A message on its way. `answer` becomes its position, or why it has none."""

    __slots__ = ("answer", "bytes", "pieces", "shard", "since")

    def __init__(self, shard: int, since: float) -> None:
        self.shard = shard
        self.since = since
        self.pieces: list[bytes] = []
        self.bytes = 0
        self.answer: asyncio.Future[int | ArkeError] = asyncio.get_running_loop().create_future()

    def body(self) -> bytes:
        return packed(self.pieces)

    def answered(self, answer: int | ArkeError) -> None:
        """On the event loop; the first answer counts."""
        if not self.answer.done():
            self.answer.set_result(answer)


class Carrier(Protocol):
    """Brings messages into a log, those of a shard in the order in which they were sent."""

    def send(self, message: Packed) -> None:
        """Take it along. It is answered later, by its position, Overloaded or StoreUnavailable (it is not in the
        log), or ShardDown (nobody knows).
        """
        ...

    async def check(self) -> None:
        """Returns if the log answers. Raises StoreUnavailable."""
        ...

    async def close(self, timeout_s: float) -> None:
        """Bring what was sent to its end, for at most so long, and let go of the log."""
        ...


class PackedWriter:
    """Packs per shard, sends when a message is full or has lingered, answers everybody who is in it."""

    def __init__(self, carrier: Carrier, bounds: Bounds | None = None) -> None:
        self._carrier = carrier
        self._bounds = bounds or Bounds()
        self._open: dict[int, Packed] = {}
        self._in_flight: dict[Packed, None] = {}
        """In the order in which they were begun, the open ones among them."""
        self._bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def waiting(self) -> tuple[int, int]:
        """Messages and bytes that the log has not answered."""
        return len(self._in_flight), self._bytes

    async def append(self, shard: int, sights: Sequence[Sight]) -> int:
        try:
            pieces = [encode_sight(sight) for sight in sights]
        except (OverflowError, TypeError, ValueError) as error:
            raise InvalidInput(f"no message holds it: {type(error).__name__}") from error
        self._let_in(pieces)
        messages = self._pack(shard, pieces)
        answers = {message.answer for message in messages}
        _, late = await asyncio.wait(answers, timeout=self._bounds.answer_s)
        if late:
            raise ShardDown(
                f"the log has not answered for {self._bounds.answer_s:g} s: nobody knows whether it has the events"
            )
        return _position(messages)

    def _let_in(self, pieces: list[bytes]) -> None:
        """Raises InvalidInput, StoreUnavailable, Overloaded."""
        if not pieces:
            raise InvalidInput("there is nothing to append")
        largest = max(map(len, pieces))
        if largest > MAX_SIGHT_BYTES:
            raise InvalidInput(
                f"an event of {largest} bytes is more than the log carries ({MAX_SIGHT_BYTES})"
            )
        if self._closed:
            raise StoreUnavailable("the log is being closed")
        oldest = next(iter(self._in_flight), None)
        if oldest is not None and _now() - oldest.since > self._bounds.stalled_s:
            raise StoreUnavailable(f"the log has not answered for {_now() - oldest.since:.0f} s")
        size = sum(map(len, pieces))
        messages, waiting = self.waiting
        if messages and (
            messages >= self._bounds.waiting_messages or waiting + size > self._bounds.waiting_bytes
        ):
            raise Overloaded(f"{messages} messages, {waiting >> 20} MB, wait for the log: try again shortly")

    def _pack(self, shard: int, pieces: list[bytes]) -> list[Packed]:
        bounds = self._bounds
        messages: list[Packed] = []
        for piece in pieces:
            message = self._open.get(shard)
            if message is not None and message.bytes + len(piece) > bounds.message_bytes:
                self._send(message)
                message = None
            if message is None:
                message = self._begin(shard)
            if not messages or messages[-1] is not message:
                messages.append(message)
            message.pieces.append(piece)
            message.bytes += len(piece)
            self._bytes += len(piece)
            if len(message.pieces) >= bounds.message_events or message.bytes >= bounds.message_bytes:
                self._send(message)
        return messages

    def _begin(self, shard: int) -> Packed:
        message = self._open[shard] = Packed(shard, _now())
        self._in_flight[message] = None
        message.answer.add_done_callback(lambda _: self._out(message))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._bounds.linger_s, self._flush)
        return message

    def _flush(self) -> None:
        self._timer = None
        for message in tuple(self._open.values()):
            self._send(message)

    def _send(self, message: Packed) -> None:
        del self._open[message.shard]
        self._carrier.send(message)

    def _out(self, message: Packed) -> None:
        self._in_flight.pop(message, None)
        self._bytes -= message.bytes

    async def check(self) -> None:
        try:
            async with asyncio.timeout(CHECKED_WITHIN_S):
                await self._carrier.check()
        except TimeoutError:
            raise StoreUnavailable(f"the log has not answered for {CHECKED_WITHIN_S:g} s") from None

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._flush()
        await self._carrier.close(self._bounds.answer_s)
        for message in tuple(self._in_flight):
            message.answered(ShardDown("the log was closed: nobody knows whether it has the events"))


def _now() -> float:
    return asyncio.get_running_loop().time()


def _position(messages: list[Packed]) -> int:
    """That of the last; raises what became of the first that failed, and that nobody knows if others did not."""
    answers = [message.answer.result() for message in messages]
    failed = [answer for answer in answers if isinstance(answer, ArkeError)]
    if not failed:
        position = answers[-1]
        assert isinstance(position, int)  # noqa: S101 - for mypy: nothing failed
        return position
    if len(failed) < len(answers):
        raise ShardDown(f"some of the events are in the log, and some are not: {failed[0]}")
    raise failed[0]
