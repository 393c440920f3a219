"""The way of events from a log that many write into a shard: message by message, in order, each once.

A message's position is the place in the log behind it: what a shard has committed says up to where whole messages
are in the store. A group that fails is tried again as it is; nothing behind it is committed before.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final, Protocol

from arke.background import POSTPONED, Pause
from arke.errors import Fenced, ShardDown, Unavailable
from arke.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from arke.shard.commands import Command, Result, Sight

GROUP: Final = 512
"""Events submitted together, unless a single message has more."""
MOST_AHEAD: Final = 4_096
"""Events read ahead of the shard; beyond them the log is not read on."""
RETRY: Final = Pause(0.1, 2.0)
ANSWERS_KEPT: Final = 4_096
"""Messages whose answers are kept for those who ask what became of an event."""

log = get_logger("shard")


class Message(Protocol):
    """Events that one message of the log carries, and the position behind it."""

    @property
    def position(self) -> int: ...

    @property
    def sights(self) -> Sequence[Sight]: ...


class Taker(Protocol):
    """Applies commands: see `Shard.submit`."""

    async def submit(self, commands: list[Command], seen_to: int = 0) -> list[Result]: ...


class Answers:
    """What became of the newest events of a log, by the positions of their messages."""

    def __init__(self, position: int, *, kept: int = ANSWERS_KEPT) -> None:
        """`position`: up to where events were taken before; what became of those is not known here."""
        self._kept = kept
        self._before = position
        self._found: OrderedDict[int, dict[str, Result]] = OrderedDict()
        self._awaited: dict[int, asyncio.Future[dict[str, Result]]] = {}

    def note(self, message: Message, results: Sequence[Result]) -> None:
        """Of several events of one device the last one counts."""
        found = {sight.event.uuid: result for sight, result in zip(message.sights, results, strict=True)}
        self._found[message.position] = found
        awaited = self._awaited.pop(message.position, None)
        if awaited is not None and not awaited.done():
            awaited.set_result(found)
        while len(self._found) > self._kept:
            self._before, _ = self._found.popitem(last=False)

    async def of(self, position: int, timeout_s: float) -> dict[str, Result] | None:
        """What became of a message's events, by UUID, as soon as it is known; None if it is not within `timeout_s`,
        or was too long ago.
        """
        found = self._found.get(position)
        if found is not None or position <= self._before:
            return found
        future = self._awaited.get(position)
        if future is None:
            future = self._awaited[position] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.shield(future)
        except TimeoutError:
            return None

    def close(self) -> None:
        """Nobody will be told any more. Whoever waits asks the next owner."""
        for future in self._awaited.values():
            if not future.done():
                future.set_exception(ShardDown("the shard has gone to another worker"))
                future.exception()
        self._awaited.clear()


class Feed:
    """Submits what the log brings, one group at a time. Of an event that cannot be applied the shard logs why."""

    def __init__(self, name: str, taker: Taker, answers: Answers, drained: Callable[[], None]) -> None:
        """`drained` is called whenever the feed was `full` and is not any more."""
        self._name = name
        self._taker = taker
        self._answers = answers
        self._drained = drained
        self._waiting: deque[Message] = deque()
        self._ahead = 0
        self._wake = asyncio.Event()
        self._closing = False
        self.held = False
        """Whether what is at hand could not be stored, and is to be tried again."""

    @property
    def full(self) -> bool:
        """Whether the log should not be read on."""
        return self._ahead >= MOST_AHEAD

    def offer(self, messages: Sequence[Message]) -> None:
        """The next messages of the log."""
        self._waiting.extend(messages)
        self._ahead += sum(len(message.sights) for message in messages)
        self._wake.set()

    def close(self) -> None:
        """Submit nothing more after the group that is being submitted."""
        self._closing = True
        self._waiting.clear()
        self._wake.set()

    async def run(self) -> None:
        """Until `close`. Raises Fenced as soon as the shard has another owner."""
        while not self._closing:
            if not self._waiting:
                self._wake.clear()
                await self._wake.wait()
                continue
            await self._submit(self._group())

    def _group(self) -> list[Message]:
        group = [self._waiting.popleft()]
        events = len(group[0].sights)
        while self._waiting and (events := events + len(self._waiting[0].sights)) <= GROUP:
            group.append(self._waiting.popleft())
        return group

    async def _submit(self, group: list[Message]) -> None:
        commands: list[Command] = [sight for message in group for sight in message.sights]
        pauses = iter(RETRY)
        while True:
            try:
                results = await self._taker.submit(commands, group[-1].position)
            except Fenced:
                raise
            except POSTPONED as error:
                if self._closing:
                    return
                self.held = isinstance(error, Unavailable)
                log.warning("group_postponed", shard=self._name, code=error.code)
                await asyncio.sleep(next(pauses))
            else:
                break
        self.held = False
        self._note(group, results)
        was_full = self.full
        self._ahead -= len(commands)
        if was_full and not self.full:
            self._drained()

    def _note(self, group: list[Message], results: list[Result]) -> None:
        start = 0
        for message in group:
            end = start + len(message.sights)
            self._answers.note(message, results[start:end])
            start = end
