"""The destination and the load generator, as the driver has them: processes that answer a line with a line."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import msgspec

from arke.bench.end_to_end import ended, stream
from arke.bench.sinks import BenchFailed
from peers.wire import Ask, Listening, Load, Loaded, Seen, Signature, SinkJob
from peers.wire import Sink as SinkFacts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

T = TypeVar("T")


class Helper:
    """A process that was started."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def ask(self, question: msgspec.Struct, answer: type[T]) -> T:
        """Raises BenchFailed when it has ended."""
        stream(self._process.stdin).write(msgspec.json.encode(question) + b"\n")
        stream(self._process.stdin).flush()
        line = stream(self._process.stdout).readline()
        if not line:
            raise BenchFailed("a process of the benchmark ended early; its error is above")
        return msgspec.json.decode(line, type=answer)


@contextmanager
def _helper(module: str) -> Iterator[Helper]:
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", module]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ)
    with ended(process):
        yield Helper(process)


class Destination:
    """Counts users; see `peers.sink`."""

    def __init__(self, helper: Helper, facts: SinkFacts) -> None:
        self._helper = helper
        self.facts = facts

    def seen(self, *, latencies: bool = False) -> Seen:
        """Latencies are left out unless asked for: they are sorted each time."""
        return self._helper.ask(Ask("latencies" if latencies else "seen"), Seen)

    def begin(self, first: int) -> None:
        self._helper.ask(Ask("begin", first), Seen)

    def close(self) -> None:
        self._helper.ask(Ask("close"), Seen)

    def open(self) -> Seen:
        return self._helper.ask(Ask("open"), Seen)


class Generator:
    """Posts events; see `peers.load`."""

    def __init__(self, helper: Helper) -> None:
        self._helper = helper

    def post(self, load: Load) -> Loaded:
        return self._helper.ask(load, Loaded)


@contextmanager
def destination(directory: Path, signature: Signature) -> Iterator[Destination]:
    with _helper("peers.sink") as helper:
        told = helper.ask(SinkJob(str(directory), signature), Listening)
        yield Destination(helper, SinkFacts(told.port, directory / "ca.pem"))


@contextmanager
def generator() -> Iterator[Generator]:
    with _helper("peers.load") as helper:
        yield Generator(helper)
