"""The order of the tests, a plain log, and examples that may take their time."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import sys
from itertools import zip_longest
from typing import TYPE_CHECKING, Final

import pytest
import structlog
from hypothesis import HealthCheck, settings

from members import watching
from process_state import process_restored

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

LONG_FIRST: Final = (
    "cluster/",
    "browser/",
    "conformance/log/",
    "sources/",
    "chaos/",
    "model/",
    "simulation/",
    "release/",
    "e2e/",
    "integration/bench/",
    "attacks/",
)
"""With several processes the last file to begin should be a short one."""

WAITING: Final = ("cluster/", "sources/", "conformance/log/")
"""Most of the time these wait, for leases to end and for servers: others use the machine meanwhile."""

# Images of containers often forbid Python to keep its bytecode. Each of the many hundred programs that tests start
# would compile all of ours anew, which takes a third of all that it does to start.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# The colours of structlog's own default cost more than what many a simulated engine has to say.
structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.processors.KeyValueRenderer(key_order=["event"]),
    ]
)


# How long an example takes, or a hundred to be made up, says how busy the machine is.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What was collected stays until the end: nobody looks for cycles in it, neither now nor later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def below(item: pytest.Item) -> str:
        return item.nodeid.removeprefix("tests/")

    def rank(item: pytest.Item) -> int:
        return next((n for n, at in enumerate(LONG_FIRST) if below(item).startswith(at)), len(LONG_FIRST))

    items.sort(key=rank)
    waiting = _files([item for item in items if below(item).startswith(WAITING)])
    computing = _files([item for item in items if not below(item).startswith(WAITING)])
    items[:] = [
        item for turn in zip_longest(waiting, computing) for file in turn if file is not None for item in file
    ]


def _files(items: list[pytest.Item]) -> list[list[pytest.Item]]:
    """In the order of their first tests."""
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    return list(files.values())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, bool | None, bool | None]:
    """Around fixtures of modules too: a command that is run within the tests closes what it makes to others, and
    logs its own way, and would do so for all after it.
    """
    with process_restored():
        return (yield)


@pytest.fixture(autouse=True)
def _sizes_of_segments() -> Iterator[None]:
    """Whatever a test does to a shard, it knows how many members each segment has."""
    with watching() as watched:
        yield
    assert not watched.wrong


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """A test that is a coroutine runs on a loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Packed bytes have the time in them: two processes that collect a second apart would have different tests."""
    return argname if isinstance(val, bytes) and not val.isascii() else None
