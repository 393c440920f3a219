"""The engine's end of a shard's process: calls over a socket, and a new process when the old one dies."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Protocol

import msgspec

from arke.background import Background, Pause, retry
from arke.errors import ArkeError, ShardDown, rebuild
from arke.log import get_logger
from arke.shard.protocol import AskStatus, Prepare, Refusal, Switch
from arke.transport.frames import Answer, Call, decode_answer, frame, read_frame

if TYPE_CHECKING:
    from pathlib import Path

    from arke.settings import Settings
    from arke.shard.protocol import Request, Response, ShardPort

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


class RemoteShard:
    """A shard in a process of its own, which is restarted whenever it goes away."""

    def __init__(self, store: Path, settings: Settings, catch_up: CatchUp) -> None:
        self._store = store
        self._settings = settings
        self._catch_up = catch_up
        self._log = get_logger("engine", shard=store.stem)
        self._process: subprocess.Popen[bytes] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._waiting: dict[int, asyncio.Future[Response]] = {}
        self._number = 0
        self._stopping = False
        self._up = False
        self._background = Background()
        self.restarts = 0

    async def start(self) -> None:
        """Start the process and wait until it answers. Raises ShardDown."""
        reading = await self._spawn()
        self._background.spawn(self._keep(reading), f"keep-{self._store.stem}")

    async def _spawn(self) -> asyncio.Task[None]:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = self._popen(theirs.fileno())
        reader, self._writer = await asyncio.open_connection(sock=ours, limit=STREAM_LIMIT_BYTES)
        reading = asyncio.create_task(self._read(reader))
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await self._catch_up.bring(self)
        except (TimeoutError, ArkeError) as error:
            raise ShardDown(f"{self._store.name}: the shard's process does not start: {error}") from error
        self._up = True
        return reading

    def _popen(self, descriptor: int) -> subprocess.Popen[bytes]:
        command = [
            *(sys.executable, "-m", "arke.worker"),
            *("--socket", str(descriptor)),
            *("--store", str(self._store)),
            *("--settings", msgspec.json.encode(self._settings).decode()),
        ]
        return subprocess.Popen(command, pass_fds=[descriptor], stdin=subprocess.DEVNULL)  # noqa: S603 - our own

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                answer: Answer = decode_answer(await read_frame(reader))
                future = self._waiting.pop(answer.number, None)
                if future is not None and not future.done():
                    future.set_result(answer.response)
        except (asyncio.IncompleteReadError, ConnectionError, msgspec.MsgspecError):
            return
        finally:
            self._up = False
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(ShardDown(f"{self._store.stem} went away; it is being restarted"))
            self._waiting.clear()

    async def _keep(self, reading: asyncio.Task[None]) -> None:
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
            raise

    async def call(self, request: Request) -> Response:
        if self._writer is None or self._stopping:
            raise ShardDown(f"{self._store.stem} is not running")
        if self._writer.is_closing() or not (self._up or isinstance(request, _BEFORE_UP)):
            # Before its catalog is there a process would acknowledge events and make nothing of them.
            raise ShardDown(f"{self._store.stem} went away; it is being restarted")
        self._number += 1
        future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._waiting[self._number] = future
        try:
            self._writer.write(frame(Call(self._number, request)))
            await self._writer.drain()
        except ConnectionError:
            self._waiting.pop(self._number, None)
            raise ShardDown(f"{self._store.stem} went away; it is being restarted") from None
        response = await future
        if isinstance(response, Refusal):
            raise rebuild(response.code, response.message, response.details)
        return response

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
        """Close our end: the process commits, finishes what is under way, and ends."""
        if self._stopping:
            return
        self._stopping = True
        await self._background.stop()
        await self._reap()
