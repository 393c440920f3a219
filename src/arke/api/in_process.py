"""An engine that a command opens itself: the same API, called in this process on a store that nobody has open, or
beside the nodes of a cluster.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

from arke.api.app import api_app
from arke.api.parameters import CatalogFile, TokenWanted
from arke.api.session import Session
from arke.app import file_loader, running_engine, way_out
from arke.catalog.load import parse_catalog
from arke.checking import catalog_checkers
from arke.clock import SystemClock
from arke.data_directory import DIRECTORY_FILE, check_directory_file, engine_answers
from arke.data_exchange import is_begun
from arke.errors import DataLocked, InvalidInput, SettingsError
from arke.operations.subjects import Operations

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping, Sequence

    from starlette.types import ASGIApp

    from arke.api.session import Call, FileProgress, Reply
    from arke.onboarding.columns_file import Outgoing
    from arke.operations.engine import Engine
    from arke.operations.jobs import Receipt
    from arke.settings import Settings

DRAIN_S = 600.0


class InProcess:
    """Engines on one data directory, each for as long as a session. `running`: the way to the engine of another
    process, for when one has come first.
    """

    def __init__(self, data: Path, settings: Settings, running: Session | None = None) -> None:
        self._data = data
        self._settings = settings
        self._running = running

    @contextmanager
    def session(self, *, delivering: bool = False) -> Iterator[Session]:
        """An engine from the first request on. Without `delivering` it sends nothing."""
        session = InProcessSession(self._data, self._settings, self._running, delivering=delivering)
        try:
            yield session
        finally:
            session.close()


class _Opened(NamedTuple):
    """An engine that runs. `visits`: a cluster, whose nodes carry on what it begins."""

    engine: Engine
    operations: Operations
    app: ASGIApp
    visits: bool = False


class InProcessSession(Session):
    """Requests to an engine in this process, which lives from the first of them until `close`. Between requests,
    pauses aside, it stands still. Where another process came first with an engine of its own, they go to that one.
    """

    def __init__(self, data: Path, settings: Settings, running: Session | None, *, delivering: bool) -> None:
        self._data = data
        self._settings = settings
        self._running = running
        self._delivering = delivering
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self._found: _Opened | Session | None = None

    def close(self) -> None:
        """Stop the engine."""
        with self._runner:
            self._runner.run(self._stack.aclose())

    @contextmanager
    def send(self, call: Call) -> Iterator[Reply]:
        found = self._engine(call)
        if isinstance(found, Session):
            with found.send(call) as elsewhere:
                yield elsewhere
            return
        reply = AsgiCall(self._runner, found.app, call)
        try:
            reply.begin()
            yield reply
        finally:
            reply.end()

    def pause(self, seconds: float) -> None:
        self._runner.run(asyncio.sleep(seconds))

    def finish(self, destination: int | None) -> int | None:
        opened = self._engine()
        if isinstance(opened, Session):
            return opened.finish(destination)
        if opened.visits:
            return None
        self._runner.run(opened.engine.drain(DRAIN_S))
        return self._runner.run(opened.operations.undelivered.count(destination))

    def load(self, sent: Sequence[Outgoing], progress: FileProgress) -> Iterator[Receipt]:
        """Load files from where they are. None is loaded unless every name is right."""
        found = self._engine()
        if isinstance(found, Session):
            yield from found.load(sent, progress)
            return
        if found.visits:
            yield from super().load(sent, progress)
            return
        engine = found.engine
        with closing(file_loader(engine)) as loader:
            for path, columns in sent:
                loader.check(path.name, columns)
            for path, columns in sent:
                show = partial(progress, path.name)
                yield self._runner.run(loader.load(path, path.name, columns, show))
        self._runner.run(engine.joins.until_idle(DRAIN_S))

    def _engine(self, call: Call | None = None) -> _Opened | Session:
        """The engine; the first `call` decides whether it may begin a data directory. Or the way to one that was
        started after the directory had been looked at. Raises DataLocked.
        """
        if self._found is None:
            try:
                starting = self._visit() if self._settings.cluster.store else self._start(self._place(call))
                self._found = self._runner.run(starting)
            except DataLocked:
                if self._running is None or not engine_answers(self._data):
                    raise
                self._found = self._running
        return self._found

    async def _start(self, data: Path) -> _Opened:
        engine = await self._stack.enter_async_context(
            running_engine(data, self._settings, in_process=True, delivering=self._delivering)
        )
        wire = await self._stack.enter_async_context(way_out(self._settings))
        operations = Operations(engine, SystemClock(), catalog_checkers(), wire=wire, settings=self._settings)
        return _Opened(engine, operations, api_app(operations, None))

    async def _visit(self) -> _Opened:
        try:
            from arke.cluster_visit import visiting
        except ImportError as error:
            raise SettingsError(f"a cluster needs the extra arke[cluster]: {error}") from None
        visit = await self._stack.enter_async_context(visiting(self._settings))
        wire = await self._stack.enter_async_context(way_out(self._settings))
        operations = Operations(
            visit.engine,
            SystemClock(),
            catalog_checkers(),
            None,
            visit.files,
            visit.view,
            wire=wire,
            settings=self._settings,
        )
        return _Opened(visit.engine, operations, api_app(operations, None), visits=True)

    def _place(self, call: Call | None) -> Path:
        """The data directory. Looking at data must not make some, nor may a catalog that is refused. Raises
        InvalidInput, StoreUnavailable.
        """
        given = call.given if call is not None else None
        check_directory_file(self._data)
        there = (self._data / DIRECTORY_FILE).is_file() or is_begun(self._data)
        if there or isinstance(given, TokenWanted):
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


PART_BYTES = 1 << 20
"""Of a file that is sent, at a time."""
AHEAD = 1_000
"""Messages of a reply that the app may be ahead of its reader."""


class AsgiCall:
    """A reply. `begin` first; `end` whether it was read or not. The loop runs only while somebody waits for it."""

    def __init__(self, runner: asyncio.Runner, app: ASGIApp, call: Call) -> None:
        self._runner = runner
        self._app = app
        self._call = call
        self._messages: asyncio.Queue[MutableMapping[str, Any] | Exception | None] = asyncio.Queue(AHEAD)
        self._task: asyncio.Task[None] | None = None
        self._asked = False
        self._ended = False
        self._headers: dict[str, str] = {}
        self.status = 0

    def begin(self) -> None:
        """Send the request, and wait for the status."""
        self._runner.run(self._begin())

    async def _begin(self) -> None:
        self._task = asyncio.create_task(self._serve())
        (start,) = await self._next(1)
        self.status = start["status"]
        self._headers = {name.decode().lower(): value.decode() for name, value in start["headers"]}

    def end(self) -> None:
        self._runner.run(self._end())

    async def _end(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def getheader(self, name: str, default: str) -> str:
        return self._headers.get(name.lower(), default)

    def read(self) -> bytes:
        return b"".join(self._parts())

    def __iter__(self) -> Iterator[bytes]:
        rest = b""
        for part in self._parts():
            *lines, rest = (rest + part).split(b"\n")
            yield from lines
        if rest:
            yield rest

    def _parts(self) -> Iterator[bytes]:
        """The body as it comes. Raises what the app raised."""
        while not self._ended:
            yield b"".join(message.get("body", b"") for message in self._runner.run(self._next(AHEAD)))

    async def _next(self, most: int) -> list[MutableMapping[str, Any]]:
        """Wait for a message, and take what else is there. Raises what the app raised."""
        found: list[MutableMapping[str, Any]] = []
        message = await self._messages.get()
        while True:
            if isinstance(message, Exception):
                raise message
            if message is None:
                self._ended = True
                return found
            found.append(message)
            if len(found) == most or self._messages.empty():
                return found
            message = self._messages.get_nowait()

    async def _serve(self) -> None:
        try:
            await self._app(self._scope(), self._receive, self._messages.put)
        except Exception as error:  # noqa: BLE001 - raised again where the reply is read
            await self._messages.put(error)
        else:
            await self._messages.put(None)

    async def _receive(self) -> MutableMapping[str, Any]:
        if self._asked:
            await asyncio.Event().wait()  # nobody disconnects
        body = self._call.body
        if body is None or isinstance(body, bytes):
            self._asked = True
            return {"type": "http.request", "body": body or b"", "more_body": False}
        part = await asyncio.to_thread(body.read, PART_BYTES)
        self._asked = not part
        return {"type": "http.request", "body": part, "more_body": bool(part)}

    def _scope(self) -> dict[str, Any]:
        path, _, query = self._call.target.partition("?")
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": self._call.route.method,
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(b"host", b"localhost")],
            "client": None,
            "server": None,
        }
