"""The engine's end of a shard's process: calls over a socket, and a new process when the old one dies."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec

from arke.background import Background, Pause, retry
from arke.errors import ArkeError, ShardDown
from arke.log import get_logger, log_level
from arke.shard.protocol import AskStatus, Prepare, Submit, Switch
from arke.transport.frames import call_frame, decode_answer, read_frame, reader_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from arke.settings import Settings
    from arke.shard.commands import Command, Result
    from arke.shard.protocol import Question, ShardPort

A = TypeVar("A")

STREAM_LIMIT_BYTES = 1 << 20
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0
RESTART = Pause(0.2, 5.0)
"""Between two starts of a process that does not stay."""
_BEFORE_UP = (Prepare, Switch, AskStatus)
"""What a process may be asked before it has its catalog."""


class CatchUp(Protocol):
    """Who knows the catalog in force."""

    async def bring(self, shard: ShardPort) -> None:
        """Have a shard that has just started go by it. Raises what `ShardPort.call` raises."""
        ...


class _Pending(msgspec.Struct, frozen=True):
    """A call in flight. `frame` is kept of what the next process is to be given again: the log."""

    kind: type[Question[Any]]
    future: asyncio.Future[Any]
    frame: bytes | None


class RemoteShard:
    """A shard in a process of its own, which is restarted whenever it goes away.

    The log of the shard is in memory, as long as it is not answered: a new process reads it again from where the
    store says that it was taken. If no process comes up, nobody knows what became of it (ShardDown).
    """

    logged = False

    def __init__(self, store: Path, settings: Settings, catch_up: CatchUp) -> None:
        self._store = store
        self._settings = settings
        self._catch_up = catch_up
        self._log = get_logger("engine", shard=store.stem)
        self._process: subprocess.Popen[bytes] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._pending: dict[int, _Pending] = {}
        self._number = 0
        self._log_end = 0
        self._stopping = False
        self._up = False
        self._background = Background()
        self.restarts = 0

    async def start(self) -> None:
        """Start the process and wait until it answers. Raises ShardDown."""
        reading = await self._spawn()
        self._background.spawn(self._supervise(reading), f"keep-{self._store.stem}")

    async def _spawn(self) -> asyncio.Task[None]:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = self._popen(theirs.fileno())
        reader, self._writer = await asyncio.open_connection(sock=ours, limit=STREAM_LIMIT_BYTES)
        reading = asyncio.create_task(self._read(reader, self._writer))
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                taken = (await self.call(AskStatus())).taken
                await self._catch_up.bring(self)
        except (TimeoutError, ArkeError) as error:
            raise ShardDown(f"{self._store.name}: the shard's process does not start: {error}") from error
        self._log_end = max(self._log_end, taken)
        for pending in self._pending.values():
            if pending.frame is not None and not pending.future.done():
                self._writer.write(pending.frame)
        self._up = True  # only now: what is appended from here on comes after that
        return reading

    def _popen(self, descriptor: int) -> subprocess.Popen[bytes]:
        command = [
            *(sys.executable, "-m", "arke.worker"),
            *("--socket", str(descriptor)),
            *("--store", str(self._store)),
            *("--settings", msgspec.json.encode(self._settings).decode()),
            *("--log-level", str(log_level())),
        ]
        return subprocess.Popen(command, pass_fds=[descriptor], stdin=subprocess.DEVNULL)  # noqa: S603 - our own

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                answer = decode_answer(await read_frame(reader))
                pending = self._pending.pop(answer.number, None)
                if pending is None or pending.future.done():
                    continue
                if answer.refusal is not None:
                    pending.future.set_exception(answer.refusal.error())
                else:
                    pending.future.set_result(reader_of(pending.kind)(answer.body))
        except (asyncio.IncompleteReadError, ConnectionError, msgspec.MsgspecError):
            return
        finally:
            self._up = False
            writer.close()  # at once: nobody would settle what is asked of this process from here on
            self._give_up(log=self._stopping)

    def _give_up(self, *, log: bool) -> None:
        """Questions are asked again by whoever asked; the `log` is given up only if nobody will read it."""
        for number, pending in tuple(self._pending.items()):
            if log or pending.frame is None:
                del self._pending[number]
                if not pending.future.done():
                    pending.future.set_exception(
                        ShardDown(f"{self._store.stem} went away; it is being restarted")
                    )

    async def _supervise(self, reading: asyncio.Task[None]) -> None:
        """Restart the process whenever it goes away."""
        while True:
            await asyncio.wait({reading})
            reading = await retry(self._restart, RESTART, on=(ShardDown, OSError))

    async def _restart(self) -> asyncio.Task[None]:
        await self._reap()
        self.restarts += 1
        self._log.warning("shard_restarting", restarts=self.restarts)
        try:
            return await self._spawn()
        except (ShardDown, OSError) as error:
            self._log.error("shard_start_failed", message=str(error))
            self._give_up(log=True)
            raise

    async def append(self, commands: Sequence[Command], *, evaluated: bool = True) -> list[Result]:  # noqa: ARG002
        submit = Submit([*commands], self._log_end + 1)
        answered = self._ask(submit, log=True)
        self._log_end += len(commands)
        return await answered

    async def call(self, question: Question[A]) -> A:
        return await self._ask(question)

    async def _ask(self, question: Question[A], *, log: bool = False) -> A:
        if self._writer is None or self._stopping:
            raise ShardDown(f"{self._store.stem} is not running")
        if self._writer.is_closing() or not (self._up or isinstance(question, _BEFORE_UP)):
            # Before its catalog is there a process would acknowledge events and make nothing of them.
            raise ShardDown(f"{self._store.stem} went away; it is being restarted")
        self._number += 1
        frame = call_frame(self._number, question)
        future: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._pending[self._number] = _Pending(type(question), future, frame if log else None)
        with contextlib.suppress(
            ConnectionError
        ):  # whoever reads from it sees that too, and settles the future
            self._writer.write(frame)
            await self._writer.drain()
        return await future

    async def _reap(self) -> None:
        if self._writer is not None:
            self._writer.close()
        process = self._process
        if process is None:
            return
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(None, lambda: process.wait(STOP_TIMEOUT_S))
        except subprocess.TimeoutExpired:
            process.kill()
            await loop.run_in_executor(None, process.wait)

    async def stop(self) -> None:
        """Close our end: the process commits, finishes what is in flight, and ends."""
        if self._stopping:
            return
        self._stopping = True
        await self._background.stop()
        await self._reap()
        self._give_up(log=True)
