"""The engine's end of a shard's process: calls over a socket, and a new process when the old one dies."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import msgspec

from arke.background import Background, Pause, retry
from arke.data_directory import check_shard_files
from arke.errors import ArkeError, InvalidInput, ShardDown, StoreUnavailable
from arke.log import get_logger, log_level
from arke.shard.protocol import AskStatus, Prepare, Submit, Switch
from arke.transport.frames import FrameConnection, call_frame, decode_answer, reader_of
from arke.transport.starting import Start

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from arke.settings import Settings
    from arke.shard.commands import Command, Result
    from arke.shard.protocol import Question, ShardPort
    from arke.transport.starting import Process, Starter

A = TypeVar("A")

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0
RESTART = Pause(0.2, 5.0)
"""Between two starts of a process that does not stay."""
STAYS_S: Final = 5.0
"""A process that is up for so long has stayed."""
MOST_STARTING = 8
"""Processes that start at a time, where the machine has as many cores: each has START_TIMEOUT_S."""
MAX_DEATHS: Final = 3
"""Processes that die with the same commands in flight, until these are taken for the cause."""
_BEFORE_UP = (Prepare, Switch, AskStatus)
"""What a process may be asked before it has its catalog."""


class CatchUp(Protocol):
    """Who knows the catalog in force."""

    async def bring(self, shard: ShardPort) -> None:
        """Have a shard that has just started go by it. Raises what `ShardPort.call` raises."""
        ...


class _Pending(msgspec.Struct):
    """A call in flight. `frame` is kept of what the next process is to be given again: the log. `deaths`: how many
    have died since it came.
    """

    kind: type[Question[Any]]
    future: asyncio.Future[Any]
    frame: bytes | None
    deaths: int = 0


class _Connection(FrameConnection):
    """Our end of a process's socket. `lost` is done once nothing comes over it any more."""

    def __init__(self, answered: Callable[[bytes], None], gone: Callable[[], None]) -> None:
        super().__init__()
        self._answered = answered
        self._gone = gone
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def took(self, body: bytes) -> None:
        self._answered(body)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - however it came about
        self.lost.set_result(None)
        self._gone()


class RemoteShard:
    """A shard in a process of its own, which is restarted whenever it goes away.

    The log of the shard is in memory, as long as it is not answered: a new process reads it again from where the
    store says that it was taken. If no process comes up, or one after the other dies of it, nobody knows what
    became of it (ShardDown).
    """

    logged = False

    def __init__(self, store: Path, settings: Settings, catch_up: CatchUp, starter: Starter) -> None:
        self._starter = starter
        self._store = store
        self._settings = settings
        self._catch_up = catch_up
        self._log = get_logger("engine", shard=store.stem)
        self._process: Process | None = None
        self._connection: _Connection | None = None
        self._pending: dict[int, _Pending] = {}
        self._number = 0
        self._log_end = 0
        self._stopping = False
        self._up = False
        self._supervised = False
        self._background = Background()
        self.restarts = 0

    async def start(self) -> None:
        """Start the process and wait until it answers. Raises ShardDown."""
        lost = await self._spawn()
        self._supervised = True
        self._background.spawn(self._supervise(lost), f"keep-{self._store.stem}")

    async def _spawn(self) -> asyncio.Future[None]:
        """Returns what is done once the process has gone away."""
        ours, theirs = socket.socketpair()
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                with theirs:
                    process = self._process = await self._begin(theirs.fileno())
                await process.started()
                _, connection = await asyncio.get_running_loop().create_connection(
                    lambda: _Connection(self._answered, self._gone), sock=ours
                )
        except TimeoutError as error:
            ours.close()
            self._starter.close()  # it hangs: the next start has another one
            raise self._not_started(error) from error
        except ConnectionError as error:
            ours.close()
            raise self._not_started(error) from error
        except BaseException:
            ours.close()
            raise
        self._connection = connection
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                taken = (await self.call(AskStatus())).taken
                await self._catch_up.bring(self)
        except (TimeoutError, ArkeError) as error:
            raise self._not_started(error) from error
        self._log_end = max(self._log_end, taken)
        for pending in self._pending.values():
            if pending.frame is not None and not pending.future.done():
                connection.send(pending.frame)
        self._up = True  # only now: what is appended from here on comes after that
        return connection.lost

    async def _begin(self, descriptor: int) -> Process:
        return await self._starter.begin(Start(str(self._store), self._settings, log_level()), descriptor)

    def _not_started(self, error: Exception) -> ShardDown:
        return ShardDown(f"{self._store.name}: the shard's process does not start: {error}")

    def _answered(self, body: bytes) -> None:
        answer = decode_answer(body)
        pending = self._pending.get(answer.number)
        if pending is None:
            return
        result = reader_of(pending.kind)(answer.body) if answer.refusal is None else None
        del self._pending[answer.number]
        if pending.future.done():
            return
        if answer.refusal is not None:
            pending.future.set_exception(answer.refusal.error())
        else:
            pending.future.set_result(result)

    def _gone(self) -> None:
        self._up = False
        self._give_up(log=self._stopping)
        for number, pending in tuple(self._pending.items()):
            pending.deaths += 1
            if pending.deaths == MAX_DEATHS:  # else it would be read again, and nothing else any more
                self._log.error("shard_died_again", deaths=MAX_DEATHS)
                del self._pending[number]
                if not pending.future.done():
                    pending.future.set_exception(self._went_away())

    def _give_up(self, *, log: bool) -> None:
        """Questions are asked again by whoever asked; the `log` is given up only if nobody will read it."""
        for number, pending in tuple(self._pending.items()):
            if log or pending.frame is None:
                del self._pending[number]
                if not pending.future.done():
                    pending.future.set_exception(self._went_away())

    def _went_away(self) -> ShardDown:
        """A process that never came up is nobody's to restart: the engine does not start without it."""
        again = "; it is being restarted" if self._supervised and not self._stopping else ""
        return ShardDown(f"{self._store.stem} went away{again}")

    async def _supervise(self, lost: asyncio.Future[None]) -> None:
        """Restart the process whenever it goes away: at once, unless it had just come up, so that what passes soon
        is not taken for something that the commands in flight do.
        """
        loop = asyncio.get_running_loop()
        pauses = iter(RESTART)
        while True:
            came_up_at = loop.time()
            await asyncio.wait({lost})
            if loop.time() - came_up_at < STAYS_S:
                await asyncio.sleep(next(pauses))
            else:
                pauses = iter(RESTART)
            lost = await retry(self._restart, RESTART, on=(ShardDown, StoreUnavailable, OSError))

    async def _restart(self) -> asyncio.Future[None]:
        await self._reap()
        self.restarts += 1
        ended = None if self._process is None else self._process.returncode
        self._log.warning("shard_restarting", restarts=self.restarts, ended=ended)
        try:
            check_shard_files([self._store])
            return await self._spawn()
        except (ShardDown, StoreUnavailable, OSError) as error:
            self._log.error("shard_start_failed", message=str(error))
            self._give_up(log=True)
            raise

    async def append(self, commands: Sequence[Command], *, evaluated: bool = True) -> list[Result]:  # noqa: ARG002
        try:
            answer = self._ask(Submit([*commands], self._log_end + 1), log=True)
        except (OverflowError, TypeError, ValueError) as error:
            raise InvalidInput(f"no frame holds it: {type(error).__name__}") from error
        self._log_end += len(commands)
        return await answer

    async def call(self, question: Question[A]) -> A:
        return await self._ask(question)

    def _ask(self, question: Question[A], *, log: bool = False) -> asyncio.Future[A]:
        connection = self._connection
        if connection is None or self._stopping:
            raise ShardDown(f"{self._store.stem} is not running")
        if connection.transport.is_closing() or not (self._up or isinstance(question, _BEFORE_UP)):
            # Before its catalog is there a process would acknowledge events and make nothing of them.
            raise self._went_away()
        self._number += 1
        frame = call_frame(self._number, question)
        future: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._pending[self._number] = _Pending(type(question), future, frame if log else None)
        connection.send(frame)
        return future

    async def _reap(self) -> None:
        if self._connection is not None:
            self._connection.transport.close()
        process = self._process
        if process is None:
            return
        if not await process.ended(STOP_TIMEOUT_S):
            process.kill()
            if not await process.ended(STOP_TIMEOUT_S):
                self._starter.close()  # what hangs is the starter, or not even the kernel can end it

    async def stop(self) -> None:
        """Close our end: the process commits, finishes what is in flight, and ends."""
        if self._stopping:
            return
        self._stopping = True
        await self._background.stop()
        await self._reap()
        self._give_up(log=True)


async def start_together(shards: Sequence[RemoteShard]) -> None:
    """Start them, as many at a time as there are cores. Raises what the first one met, once no start is under way;
    no other is begun then.
    """
    turns = asyncio.Semaphore(min(MOST_STARTING, os.cpu_count() or 1))
    met: list[Exception] = []

    async def start(shard: RemoteShard) -> None:
        async with turns:
            if met:
                return
            try:
                await shard.start()
            except Exception as error:  # noqa: BLE001 - raised below
                met.append(error)

    await asyncio.gather(*map(start, shards))
    if met:
        raise met[0]
