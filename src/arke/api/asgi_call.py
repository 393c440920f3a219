"""One request to an ASGI app in this process, by code that runs outside the event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

    from starlette.types import ASGIApp

    from arke.api.session import Call

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
        self._asked = True
        body = self._call.body
        return {"type": "http.request", "body": body if isinstance(body, bytes) else b"", "more_body": False}

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
