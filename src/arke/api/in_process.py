"""An engine that a command opens itself: the same API, called in this process on a store that nobody has open."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from arke.api.app import api_app
from arke.api.asgi_call import AsgiCall
from arke.api.session import Session
from arke.api.table.catalog import CatalogFile
from arke.api.table.tokens import TokenWanted
from arke.app import catalog_checkers, file_loader, running_engine
from arke.catalog.load import parse_catalog
from arke.clock import SystemClock
from arke.data_directory import DIRECTORY_FILE
from arke.errors import InvalidInput
from arke.operations.subjects import Operations

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from starlette.types import ASGIApp

    from arke.api.session import Call, FileProgress, Reply
    from arke.onboarding.columns import Outgoing
    from arke.operations.engine import Engine
    from arke.operations.files import Receipt
    from arke.settings import Settings

DRAIN_S = 600.0


class InProcess:
    """Engines on one data directory, each for as long as a session."""

    def __init__(self, data: Path, settings: Settings) -> None:
        self._data = data
        self._settings = settings

    @contextmanager
    def session(self, *, delivering: bool = False) -> Iterator[Session]:
        """An engine from the first request on. Without `delivering` it sends nothing."""
        session = InProcessSession(self._data, self._settings, delivering=delivering)
        try:
            yield session
        finally:
            session.close()


class _Opened(NamedTuple):
    """An engine that runs."""

    engine: Engine
    operations: Operations
    app: ASGIApp


class InProcessSession(Session):
    """Requests to an engine in this process, which lives from the first of them until `close`. Between requests,
    pauses aside, it stands still.
    """

    def __init__(self, data: Path, settings: Settings, *, delivering: bool) -> None:
        self._data = data
        self._settings = settings
        self._delivering = delivering
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self._opened: _Opened | None = None

    def close(self) -> None:
        """Stop the engine."""
        with self._runner:
            self._runner.run(self._stack.aclose())

    @contextmanager
    def send(self, call: Call) -> Iterator[Reply]:
        reply = AsgiCall(self._runner, self._open(call).app, call)
        try:
            reply.begin()
            yield reply
        finally:
            reply.end()

    def pause(self, seconds: float) -> None:
        self._runner.run(asyncio.sleep(seconds))

    def finish(self, destination: int | None) -> int:
        opened = self._open()
        self._runner.run(opened.engine.drain(DRAIN_S))
        return self._runner.run(opened.operations.undelivered.count(destination))

    def load(self, sent: Sequence[Outgoing], progress: FileProgress) -> Iterator[Receipt]:
        """Load files from where they are. None is loaded unless every name is right."""
        engine = self._open().engine
        with closing(file_loader(engine)) as loader:
            for path, columns in sent:
                loader.check(path.name, columns)
            for path, columns in sent:
                told = partial(progress, path.name)
                yield self._runner.run(loader.load(path, path.name, columns, told))
        self._runner.run(engine.joins.until_idle(DRAIN_S))

    def _open(self, call: Call | None = None) -> _Opened:
        """The engine; the first `call` decides whether it may begin a data directory."""
        if self._opened is None:
            self._opened = self._runner.run(self._start(self._place(call)))
        return self._opened

    async def _start(self, data: Path) -> _Opened:
        engine = await self._stack.enter_async_context(
            running_engine(data, self._settings, in_process=True, delivering=self._delivering)
        )
        operations = Operations(engine, SystemClock(), catalog_checkers())
        return _Opened(engine, operations, api_app(operations, None))

    def _place(self, call: Call | None) -> Path:
        """The data directory. Looking at data must not make some, nor may a catalog that is refused."""
        given = call.given if call is not None else None
        if (self._data / DIRECTORY_FILE).is_file() or isinstance(given, TokenWanted):
            return self._data
        if call is None or not isinstance(given, CatalogFile):
            raise InvalidInput(
                f"{self._data}: no engine has kept data here: name its folder with --data, or start `arke up`"
            )
        if given.dry_run:  # what a new store would make of it, without making one
            return Path(self._stack.enter_context(TemporaryDirectory()))
        folder = Path(given.folder) if given.folder is not None else None
        text = call.body.decode() if isinstance(call.body, bytes) else ""
        parse_catalog(text, name=given.name, base_dir=folder, checkers=catalog_checkers())
        return self._data
