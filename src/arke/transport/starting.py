"""The engine's end of the starter, the process that its shards' processes are forked from.

Requests go over one socket, each with the shard's end of its own and with an end of a line, over which the starter
says what became of it: the process's id or why there is none, and in the end that it has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING, Final, Self

import msgspec

from arke.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

CONTROL: Final = 3
"""The starter's end of the socket, where it is a program of its own."""
COMMAND: Final = (sys.executable, "-m", "arke.starter")
KILL: Final = b"kill"
STOPPING: Final = (signal.SIGINT, signal.SIGTERM)
"""What the starter and its processes ignore, as the engine decides when to stop: a Ctrl-C, or a service manager's
SIGTERM, reaches the whole process group.
"""


class Start(msgspec.Struct, frozen=True):
    """What is asked of the starter: a process for the shard of this file."""

    store: str
    settings: Settings
    log_level: int


class Said(msgspec.Struct, frozen=True):
    """What it says over the line of a process: its `pid`, or the number of the error that there is none for; later
    the code that it `ended` with, less than 0 for a signal.
    """

    pid: int | None = None
    failed: int | None = None
    ended: int | None = None


MAX_SAID: Final = 256
NO_ROOM_S: Final = 0.01
"""How long who asks waits while the starter has not read what others ask of it."""
_said = msgspec.msgpack.Decoder(Said)


class Process:
    """A process that the starter was asked for."""

    def __init__(self, line: socket.socket) -> None:
        line.setblocking(False)
        self._line = line
        self.pid: int | None = None
        self.returncode: int | None = None
        self._over = False

    async def started(self) -> None:
        """Raises OSError where there is none."""
        said = await self._hear()
        if said is None:
            raise ConnectionResetError("the process that starts others went away")
        if said.failed is not None:
            self._end()
            raise OSError(said.failed, os.strerror(said.failed))

    async def ended(self, timeout_s: float) -> bool:
        """Whether it has within this time, or nobody knows any more whether it has: its starter was killed."""
        try:
            async with asyncio.timeout(timeout_s):
                while not self._over:
                    await self._hear()
        except TimeoutError:
            return False
        return True

    def kill(self) -> None:
        if not self._over:
            try:
                self._line.send(KILL)
            except OSError:  # the starter is gone, and nobody knows who has the number now
                self._end()

    async def _hear(self) -> Said | None:
        loop = asyncio.get_running_loop()
        try:
            body = await loop.sock_recv(self._line, MAX_SAID)
        except ConnectionResetError:  # it did not read what it was told; what it had said is still there
            body = await loop.sock_recv(self._line, MAX_SAID)
        if not body:
            self._end()
            return None
        said = _said.decode(body)
        self.pid = self.pid or said.pid
        if said.ended is not None:
            self.returncode = said.ended
            self._end()
        return said

    def _end(self) -> None:
        self._over = True
        self._line.close()


class Starter:
    """Starts processes of shards: forked from one that has imported all that they need, which is started when it is
    first asked and again whenever it is gone, or was closed. Processes that were started go on without it.
    """

    def __init__(self, command: Sequence[str] = COMMAND) -> None:
        self._command = tuple(command)
        self._pid: int | None = None
        self._control: socket.socket | None = None

    @classmethod
    def over(cls, pid: int, control: socket.socket) -> Self:
        """Of a child of this process that is one already."""
        starter = cls()
        starter._own(pid, control)
        return starter

    async def begin(self, start: Start, descriptor: int) -> Process:
        """Ask for a process that has this file, once there is room for the request: `Process.started` says whether
        there is one. Raises OSError.
        """
        line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                await self._send(msgspec.msgpack.encode(start), [descriptor, theirs.fileno()])
        except BaseException:
            line.close()
            raise
        return Process(line)

    async def _send(self, body: bytes, descriptors: list[int]) -> None:
        found_gone = False
        while True:
            control = self._control if self._control is not None else self._spawn()
            try:
                socket.send_fds(control, [body], descriptors)
            except BlockingIOError:  # many ask at once
                await asyncio.sleep(NO_ROOM_S)
            except (BrokenPipeError, ConnectionResetError):
                self.close()
                if found_gone:
                    raise
                found_gone = True
            else:
                return

    def _spawn(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                pid = os.posix_spawn(
                    self._command[0],
                    self._command,
                    os.environ,
                    file_actions=[(os.POSIX_SPAWN_DUP2, theirs.fileno(), CONTROL)],
                    setsigmask=STOPPING,  # until it ignores them
                )
        except BaseException:
            ours.close()
            raise
        return self._own(pid, ours)

    def _own(self, pid: int, control: socket.socket) -> socket.socket:
        control.setblocking(False)
        self._pid, self._control = pid, control
        return control

    def close(self) -> None:
        """End the starter, which holds nothing. Safe twice."""
        if self._control is not None:
            self._control.close()
            self._control = None
        pid, self._pid = self._pid, None
        if pid is not None:
            # A process that was told to ignore the end of its children has nobody to wait for.
            with contextlib.suppress(ChildProcessError, ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
