"""What a contender is, and what those have in common that are programs of others."""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from arke.bench.sinks import BenchFailed
from arke.demo.processes import spawn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from peers.wire import Posting, Signature, Sink

STARTS_WITHIN_S: Final = 90.0
ENDS_WITHIN_S: Final = 20.0
LOOK_AGAIN_S: Final = 0.05


class Running(msgspec.Struct, frozen=True):
    """A contender that takes events. What it costs are these processes, and all that they have started."""

    posting: Posting
    pids: tuple[int, ...]


class Contender(Protocol):
    """One row of the tables. `keeps` is false for one that answers only when the destination has."""

    name: str
    users_a_request: int
    signature: Signature
    durability: str
    unlike: str
    keeps: bool

    def missing(self) -> str:
        """What is not here and would be needed to run it; empty when it can be run."""
        ...

    def version(self) -> str: ...

    def running(self, directory: Path, sink: Sink) -> AbstractContextManager[Running]:
        """Started in an empty directory, with nothing in it, and ended with the block. Raises BenchFailed."""
        ...


def find(variable: str, *names: str) -> str:
    """A program by the environment variable that names it, else the first of these on PATH; empty without."""
    if given := os.environ.get(variable):
        return given
    return next(filter(None, map(shutil.which, names)), "")


def said(command: Sequence[str], **options: Any) -> str:
    """What a program prints. Raises BenchFailed when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise BenchFailed(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()[-600:]}")
    told: str = done.stdout
    return told


@contextmanager
def program(
    directory: Path, name: str, command: Sequence[str | Path], environ: Mapping[str, str], **options: Any
) -> Iterator[Started]:
    """A program that writes a log in this directory, and ends with the block."""
    log = directory / f"{name}.log"
    with log.open("ab") as out:
        process = spawn(
            command,
            stdout=out,
            stderr=out,
            cwd=directory,
            env=dict(environ),
            start_new_session=True,
            **options,
        )
    try:
        yield Started(name, process, log)
    finally:
        process.terminate()
        try:
            process.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Started:
    """A program that was started."""

    def __init__(self, name: str, process: subprocess.Popen[Any], log: Path) -> None:
        self._name = name
        self._process = process
        self.log = log

    @property
    def pid(self) -> int:
        return self._process.pid

    def until(self, ready: Callable[[], bool]) -> None:
        """Raises BenchFailed when it ends before, or takes too long."""
        deadline = time.monotonic() + STARTS_WITHIN_S
        while not ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                text = self.log.read_text(errors="replace")[-800:]
                raise BenchFailed(f"{self._name} did not start: {text}")
            time.sleep(LOOK_AGAIN_S)


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def answers(port: int, path: str) -> bool:
    """Whether a GET is answered with a 2xx."""
    try:
        status, _ = call(port, "GET", path)
    except (OSError, http.client.HTTPException):
        return False
    return 200 <= status < 300


def call(
    port: int, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    """One request with JSON to 127.0.0.1: status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        sent = None if body is None else msgspec.json.encode(body)
        connection.request(method, path, sent, {"Content-Type": "application/json", **(headers or {})})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def must(answer: tuple[int, bytes], what: str) -> Any:
    """The JSON of an answer of 2xx. Raises BenchFailed."""
    status, body = answer
    if not 200 <= status < 300:
        raise BenchFailed(f"{what}: answered {status}: {body[:400].decode(errors='replace')}")
    return msgspec.json.decode(body) if body else None
