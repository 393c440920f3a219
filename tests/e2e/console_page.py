"""A page of the documents as somebody types it in: commands in one shell, servers in terminals of their own, and
what is printed compared with what the page shows.

Only ports are exchanged for free ones. Times and message ids may differ, and `...` stands for anything, as in a
doctest.
"""

from __future__ import annotations

import doctest
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Self

import msgspec

from patience import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

RECEIVER, INTAKE, ADMIN = "8443", "8080", "8081"
"""The ports that pages name."""
SERVERS = ("arke receiver", "arke up", "python endpoint.py", "nginx ")
WATCHES = (
    "ls ",
    "tail ",
    "arke cluster status",
    "arke explain",
    "arke undelivered list",
    "arke batch status",
)
"""Looks at what others do meanwhile: typed again until it shows what the page shows."""

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEREDOC = re.compile(r"<<'(\w+)'")
_DIFFERS = (
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\dZ?"), "TIME"),
    (re.compile(r"\bmessage [0-9a-f]{24}\b"), "message ID"),
)
_END = "-- end of the command --"


class Step(msgspec.Struct, frozen=True):
    """One command, and what it shows."""

    command: str
    shows: str


def steps(page: str) -> Iterator[Step]:
    """The commands of a page's console blocks."""
    for block in _BLOCK.findall(page):
        lines = iter(block.splitlines(keepends=True))
        command, shown = "", ""
        for line in lines:
            if not line.startswith("$ "):
                shown += line
                continue
            if command:
                yield Step(command, shown)
            command, shown = line.removeprefix("$ "), ""
            if heredoc := _HEREDOC.search(command):
                for inner in lines:
                    command += inner
                    if inner.rstrip("\n") == heredoc[1]:
                        break
        yield Step(command, shown)


class Desk:
    """A folder, a shell in it, and the servers that were started from it."""

    def __init__(
        self,
        folder: Path,
        *,
        ports: Mapping[str, str] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """`ports` are further ones that the page names, and what they are here; `environ` what it takes as set."""
        self._folder = folder
        self._ports = dict(zip((RECEIVER, INTAKE, ADMIN), _free_ports(3), strict=True)) | dict(ports or {})
        own = {name: value for name, value in os.environ.items() if not name.startswith("ARKE_")}
        self._environ = {
            **own,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "ARKE_SERVER_INTAKE": f"127.0.0.1:{self._ports[INTAKE]}",
            "ARKE_SERVER_ADMIN": f"127.0.0.1:{self._ports[ADMIN]}",
            **(environ or {}),
        }
        self._servers: dict[str, subprocess.Popen[str]] = {}
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        self._shell = self._closing.enter_context(self._start(["bash"], errors=subprocess.STDOUT))
        return self

    def __exit__(self, *_: object) -> None:
        with self._closing:
            for process in (self._shell, *reversed(self._servers.values())):
                process.terminate()

    def stop(self, command: str) -> None:
        """End the server whose command begins so, as Ctrl-C does."""
        (found,) = (typed for typed in self._servers if typed.startswith(command))
        server = self._servers.pop(found)
        server.send_signal(signal.SIGINT)
        assert server.wait(PATIENCE_S) == 0

    def type(self, step: Step) -> None:
        """Run one command, and see what the page shows."""
        step = Step(self._with_ports(step.command), self._with_ports(step.shows))
        if step.command.startswith(SERVERS) and not step.command.startswith("nginx -t"):
            if step.command in self._servers:  # the page has it stopped by Ctrl-C, and started again
                self.stop(step.command)
            _check(step, self._serve(step))
        elif step.command.startswith(WATCHES):
            wait_until(lambda: _is_shown(step, self._run(step.command)), f"{step.command}{step.shows}")
        else:
            _check(step, self._run(step.command))

    def _with_ports(self, text: str) -> str:
        named = "|".join(self._ports)
        return re.sub(rf":({named})\b", lambda found: f":{self._ports[found[1]]}", text)

    def _start(self, command: list[str], errors: int | None = None) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=self._folder,
            env=self._environ,
        )

    def _run(self, command: str) -> str:
        assert self._shell.stdin is not None
        self._shell.stdin.write(f"{command}echo '{_END}'\n")
        self._shell.stdin.flush()
        lines = []
        for line in _lines(self._shell):
            if line == f"{_END}\n":
                break
            lines.append(line)
        return "".join(lines)

    def _serve(self, step: Step) -> str:
        """Start a server; what it prints until it has printed as much as the page shows."""
        command = step.command
        if command.startswith("arke receiver"):
            command = f"{command.rstrip()} --port {self._ports[RECEIVER]}"
        server = self._closing.enter_context(self._start(["bash", "-c", f"exec {command}"]))
        self._servers[step.command] = server
        return "".join(islice(_lines(server), step.shows.count("\n")))


def _lines(process: subprocess.Popen[str]) -> Iterator[str]:
    """What a process prints; it is ended when that takes for ever."""
    assert process.stdout is not None
    watchdog = threading.Timer(PATIENCE_S, process.kill)
    watchdog.start()
    try:
        yield from iter(process.stdout.readline, "")  # the generator may end before the pipe
    finally:
        watchdog.cancel()


def _free_ports(many: int) -> list[str]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(many)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [str(one.getsockname()[1]) for one in sockets]


def _is_shown(step: Step, printed: str) -> bool:
    return doctest.OutputChecker().check_output(_alike(step.shows), _alike(printed), doctest.ELLIPSIS)


def _check(step: Step, printed: str) -> None:
    assert _is_shown(step, printed), f"$ {step.command}\nThe page shows:\n{step.shows}\nIt prints:\n{printed}"


def _alike(text: str) -> str:
    for differs, name in _DIFFERS:
        text = differs.sub(name, text)
    return text
