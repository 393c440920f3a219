"""Which adapters the suites run over, and how: a test that is a coroutine runs on the loop of its fixtures.

An adapter joins by a line in `DIRECTORIES`.
"""

from __future__ import annotations

import asyncio
import inspect
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import pytest

from arke.storage.committer import InlineCommitter, ThreadCommitter
from arke.storage.postgres.connection import Server
from arke.storage.postgres.directory import PostgresDirectory
from arke.storage.postgres.schema import initialise
from arke.storage.sqlite.connection import MEMORY
from arke.storage.sqlite.directory import SqliteDirectory
from servers.postgres import KINDS, fresh_schema

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from arke.storage.ports.directory import Directory

    OpenDirectory = Callable[[Path], AbstractAsyncContextManager[Directory]]


@asynccontextmanager
async def sqlite_file(folder: Path) -> AsyncIterator[Directory]:
    """As a running engine has it: writes in a thread of their own."""
    path = folder / "directory.db"
    directory = SqliteDirectory(path, committer=ThreadCommitter("directory"), key=b"fixed")
    try:
        yield directory
    finally:
        await directory.close()


@asynccontextmanager
async def sqlite_memory(folder: Path) -> AsyncIterator[Directory]:
    """As `simulate` has it."""
    directory = SqliteDirectory(MEMORY, committer=InlineCommitter(), key=b"fixed")
    try:
        yield directory
    finally:
        await directory.close()


def postgres(kind: str) -> OpenDirectory:
    """A cluster in a schema that lasts as long as the test."""

    @asynccontextmanager
    async def opened(folder: Path) -> AsyncIterator[Directory]:
        directory = PostgresDirectory(cluster_of(kind, folder))
        try:
            yield directory
        finally:
            await directory.close()

    opened.__name__ = f"postgres_{kind}"
    return opened


def cluster_of(kind: str, folder: Path) -> Server:
    """Where the cluster of a test is, made when it is asked for first."""
    if folder not in SCHEMAS:
        schema = fresh_schema(kind)
        SCHEMAS[folder] = schema, Server(next(schema))
        server = SCHEMAS[folder][1]
        with server.connect() as connection:
            initialise(connection, 4, server.name)
    return SCHEMAS[folder][1]


SCHEMAS: Final[dict[Path, tuple[Iterator[str], Server]]] = {}
"""By the folder of their test."""


@pytest.fixture(autouse=True)
def no_schemas_are_left(tmp_path: Path) -> Iterator[None]:
    yield
    if tmp_path in SCHEMAS:
        next(SCHEMAS.pop(tmp_path)[0], None)


DIRECTORIES: Final[list[OpenDirectory]] = [sqlite_file, sqlite_memory, *map(postgres, KINDS)]
"""Each opens a fresh directory; where a folder is needed, in the one given, so that it can be opened again."""
LASTING: Final[list[OpenDirectory]] = [sqlite_file, *map(postgres, KINDS)]
"""Those that are there again when they are opened once more."""


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as running:
        yield running


@pytest.fixture(params=DIRECTORIES, ids=lambda adapter: adapter.__name__)
def directory(request: pytest.FixtureRequest, tmp_path: Path, runner: asyncio.Runner) -> Iterator[Directory]:
    opening = request.param(tmp_path)
    yield runner.run(opening.__aenter__())
    runner.run(opening.__aexit__(None, None, None))


@pytest.fixture(params=LASTING, ids=lambda adapter: adapter.__name__)
def lasting(request: pytest.FixtureRequest) -> OpenDirectory:
    adapter: OpenDirectory = request.param
    return adapter


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    running: asyncio.Runner = pyfuncitem._request.getfixturevalue("runner")
    running.run(pyfuncitem.obj(**arguments))
    return True
