"""How the intake is served: uvicorn without access log or banner, and with bounds on a request's head.

uvicorn's fast parser keeps a head as long as it grows and waits for it as long as it takes; `BoundedHead`
ends both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    import asyncio

    from arke.intake.asgi import ASGIApp

MAX_HEAD_BYTES: Final = 64 * 1024
HEAD_TIMEOUT_S: Final = 10.0
KEEP_ALIVE_S: Final = 30
MAX_CONNECTIONS: Final = 4_096
BACKLOG: Final = 1_024


class BoundedHead(HttpToolsProtocol):
    """Refuses a head (or trailer) over 64 KB, and closes when a head is not complete within 10 s."""

    head_timeout_s = HEAD_TIMEOUT_S

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.access_log = False  # it would hold parameters; said here, no logging configuration turns it on
        self._unread_bytes = 0
        self._in_head = True
        self._head_begun = False
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn does
        super().connection_made(transport)
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unread_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._unread_bytes > MAX_HEAD_BYTES:
            self.send_400_response("The request's head is too large.")
        elif self._in_head and (self._head_begun or self._unread_bytes) and self._deadline is None:
            self._arm()

    def on_message_begin(self) -> None:
        self._head_begun = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._unread_bytes = 0
        self._in_head = self._head_begun = False
        self._disarm()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unread_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unread_bytes = 0
        self._in_head = True
        super().on_message_complete()

    def _arm(self) -> None:
        self._deadline = self.loop.call_later(self.head_timeout_s, self._too_slow)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.close()


def intake_server(app: ASGIApp, host: str, port: int) -> uvicorn.Server:
    """A server to be run with `await server.serve(...)`. Its access log is off: it would hold parameters."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            http=BoundedHead,
            ws="none",
            lifespan="off",
            interface="asgi3",
            access_log=False,
            server_header=False,
            log_config=None,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            limit_concurrency=MAX_CONNECTIONS,
            backlog=BACKLOG,
        )
    )
