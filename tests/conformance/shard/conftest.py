"""The stores that every suite of a shard's facets runs over. Tests are coroutines, as a store is awaited."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING

import pytest

from conformance.shard.stores import STORES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from arke.storage.ports.shard import ShardStore


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as running:
        yield running


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, runner: asyncio.Runner, tmp_path: Path) -> Iterator[ShardStore]:
    opened = runner.run(request.param(tmp_path))
    yield opened
    runner.run(opened.close())


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """A test that is a coroutine runs on the loop that its store was opened on."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    running = pyfuncitem.funcargs["runner"]
    assert isinstance(running, asyncio.Runner)
    running.run(pyfuncitem.obj(**arguments))
    return True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
            item.fixturenames.insert(0, "runner")
