"""The starter: a process that has imported what a shard's process needs, and is forked for each that is to start.

`arke up` forks its own, before it has a thread, a loop, a lock or an open file; `python -m arke.starter` is the
same where there is none, with the engine's socket as file 3. It does nothing else, and ends when the engine's end
of the socket closes.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import selectors
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import msgspec
import uvloop  # noqa: F401 - for those that are forked

import arke.shard_app  # noqa: F401 - the same
from arke.garbage import collect_seldom
from arke.process import call_itself, close_all_but, raise_file_limit
from arke.transport.starting import CONTROL, KILL, STOPPING, Said, Start, Starter
from arke.worker import run

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_REQUEST: Final = 1 << 20

_start = msgspec.msgpack.Decoder(Start)


def main() -> None:
    """As a program of its own."""
    collect_seldom()
    gc.freeze()
    _serve(socket.socket(fileno=CONTROL))


def forked() -> Starter:
    """Fork this process, before it has done anything. Where it has threads the starter is a program of its own."""
    if len(os.listdir("/proc/self/task")) > 1:  # noqa: PTH208 - no folder of a directory
        return Starter()
    gc.freeze()  # what both have is in memory once, as long as nobody writes to it: looking for cycles does
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        try:
            pid = os.fork()
            if pid == 0:
                _end_with(lambda: _serve(theirs))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return Starter.over(pid, ours)


def _serve(control: socket.socket) -> None:
    """Start what is asked for until the engine's end is closed. `STOPPING` is blocked until here; that its
    processes end it has to hear, whatever whoever started the engine had blocked.
    """
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (*STOPPING, signal.SIGCHLD))
    close_all_but(control.fileno())
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    os.close(nowhere)
    raise_file_limit()
    call_itself("arke-starter", "arke.starter")
    _Nursery(control).run()


class _Nursery:
    """The processes that were started, each with its line, or None once nobody waits for it."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._lines: dict[int, socket.socket | None] = {}
        self._ends, self._ended = socket.socketpair()
        for end in (self._ends, self._ended):
            end.setblocking(False)
        signal.set_wakeup_fd(self._ended.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._selector = selectors.DefaultSelector()
        self._listen(control, self._asked)
        self._listen(self._ends, self._reap)

    def _listen(self, to: socket.socket, heard: Callable[[], None]) -> None:
        self._selector.register(to, selectors.EVENT_READ, heard)

    def run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                # One that was heard before may have ended another one's line.
                if key.fileobj in [one.fileobj for one in self._selector.get_map().values()]:
                    key.data()

    def _asked(self) -> None:
        body, descriptors, _, _ = socket.recv_fds(self._control, MAX_REQUEST, 2, socket.MSG_CMSG_CLOEXEC)
        if not body:
            sys.exit(0)
        theirs, line = (socket.socket(fileno=descriptor) for descriptor in descriptors)
        start = _start.decode(body)
        try:
            pid = os.fork()
        except OSError as error:
            with theirs, line:
                _say(line, Said(failed=error.errno))
            return
        if pid == 0:
            line.close()
            self._leave()
            _end_with(lambda: _become(start, theirs))
        theirs.close()
        self._lines[pid] = line
        self._listen(line, lambda: self._told(pid, line))
        _say(line, Said(pid=pid))

    def _told(self, pid: int, line: socket.socket) -> None:
        try:
            body = line.recv(len(KILL))
        except OSError:
            body = b""
        if body == KILL:
            os.kill(pid, signal.SIGKILL)  # ended or not, it has this number until it is reaped
            return
        self._lines[pid] = None
        self._close(line)

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._ends.recv(4096)
        while self._lines:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            line = self._lines.pop(pid)
            if line is not None:
                _say(line, Said(ended=os.waitstatus_to_exitcode(status)))
                self._close(line)

    def _close(self, line: socket.socket) -> None:
        self._selector.unregister(line)
        line.close()

    def _leave(self) -> None:
        """In a process that was forked: nothing of this is its own."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._selector.close()
        for one in (self._control, self._ends, self._ended, *self._lines.values()):
            if one is not None:
                one.close()


def _say(line: socket.socket, said: Said) -> None:
    with contextlib.suppress(OSError):  # the engine is gone, or hears of it no more
        line.send(msgspec.msgpack.encode(said))


def _become(start: Start, connection: socket.socket) -> None:
    """A shard's process."""
    store = Path(start.store)
    call_itself(f"arke-{store.stem}", "arke.worker", "--store", start.store)
    run(connection, store, start.settings, start.log_level)


def _end_with(work: Callable[[], None]) -> NoReturn:
    """Do it, and end as a program would. What this process was forked from goes on in another one."""
    code = 1
    try:
        work()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - as the interpreter does
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(BaseException):
            atexit._run_exitfuncs()  # noqa: SLF001 - the library of traces sends what is left in one
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
