"""The doors of the admin API: the port, which knows its names, and the Unix socket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from starlette.requests import ClientDisconnect

from arke.api.app import MORE_HEADERS
from arke.doors.bounds import MIN_WINDOW_BYTES, Bounds, Door
from arke.doors.server import DoorServer, door_server

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from arke.doors.hosts import KnownHosts
    from arke.doors.refusals import Refusals
    from arke.doors.visitors import TrustedProxies

KEEP_ALIVE_S: Final = 75.0
SOCKET_UNREAD_S: Final = 300.0
"""A command may wait on a terminal that somebody reads."""


def admin_server(
    app: Starlette,
    refusals: Refusals,
    hosts: KnownHosts,
    *,
    connections: int,
    per_address: int,
    proxies: TrustedProxies,
) -> DoorServer:
    """The port's server."""
    bounds = Bounds(
        connections=connections,
        per_address=per_address,
        keep_alive_s=KEEP_ALIVE_S,
        window_bytes=MIN_WINDOW_BYTES,
    )
    return _server(app, "admin", refusals, bounds, hosts, proxies)


def socket_server(app: Starlette, refusals: Refusals, *, connections: int) -> DoorServer:
    """The Unix socket's server."""
    bounds = Bounds(
        connections=connections,
        keep_alive_s=KEEP_ALIVE_S,
        unread_s=SOCKET_UNREAD_S,
        window_bytes=MIN_WINDOW_BYTES,
    )
    return _server(app, "socket", refusals, bounds, None, None)


def _server(
    app: Starlette,
    name: str,
    refusals: Refusals,
    bounds: Bounds,
    hosts: KnownHosts | None,
    proxies: TrustedProxies | None,
) -> DoorServer:
    door = Door(
        name,
        refusals,
        body=lambda code, message: msgspec.json.encode({"code": code, "message": message}),
        headers=(
            (b"content-type", b"application/json"),
            *((header.lower().encode(), value.encode()) for header, value in MORE_HEADERS.items()),
        ),
        bounds=bounds,
        hosts=hosts,
        proxies=proxies,
        gone=(ClientDisconnect,),
    )
    return door_server(app, door)
