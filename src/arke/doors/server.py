"""Runs a door: uvicorn's server, which checks the deadlines of connections and leaves signals to the engine."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from typing import TYPE_CHECKING, Any, Final, cast

import uvicorn

from arke.doors.protocol import DoorProtocol

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from arke.doors.bounds import Door

BACKLOG: Final = 2_048
SHUTDOWN_S: Final = 10
ACCEPTED_TOGETHER: Final = 16
"""New connections that a door takes each time that the event loop looks."""
TICK_S: Final = 0.1
"""How often uvicorn's server ticks."""
POLL_EVERY_TICKS: Final = 5


class DoorServer(uvicorn.Server):
    """To be run with `await server.serve(sockets=[...])`, several in one process."""

    def __init__(self, config: uvicorn.Config, *, poll_every_ticks: int = POLL_EVERY_TICKS) -> None:
        super().__init__(config)
        self._poll_every_ticks = poll_every_ticks
        self._twins: list[socket.socket] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen on more descriptors of each socket.

        uvloop takes one connection a descriptor each time that it looks, so with one descriptor and a loop that is
        busy new connections would wait for their turn longer than everything after it takes.
        """
        self._twins = [one.dup() for one in sockets or () for _ in range(ACCEPTED_TOGETHER - 1)]
        await super().startup([*(sockets or ()), *self._twins])

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Deadlines hold to the end: nobody holds the stop up by more than his own."""
        looking = asyncio.create_task(self._look_on())
        try:
            await super().shutdown([*(sockets or ()), *self._twins])
        finally:
            looking.cancel()

    async def on_tick(self, counter: int) -> bool:
        if counter % self._poll_every_ticks == 0:
            self._look()
        return await super().on_tick(counter)

    def _look(self) -> None:
        connections = cast("set[DoorProtocol]", self.server_state.connections)
        for connection in list(connections):
            connection.overdue(connection.loop.time())

    async def _look_on(self) -> None:
        while True:
            await asyncio.sleep(self._poll_every_ticks * TICK_S)
            self._look()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the engine."""
        yield


def door_server(app: Any, door: Door) -> DoorServer:
    """A server for an ASGI application. Its access log is off: it would hold parameters."""
    soon = min(door.bounds.head_s, door.bounds.keep_alive_s, door.bounds.window_s, door.bounds.unread_s)
    return DoorServer(
        uvicorn.Config(
            app,
            http=cast("Any", functools.partial(DoorProtocol, door=door)),
            ws="none",
            lifespan="off",
            interface="asgi3",
            access_log=False,
            server_header=False,
            log_config=None,
            proxy_headers=False,
            timeout_graceful_shutdown=SHUTDOWN_S,
            backlog=BACKLOG,
        ),
        poll_every_ticks=POLL_EVERY_TICKS if soon >= 1 else 1,
    )
