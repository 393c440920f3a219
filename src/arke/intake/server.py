"""The intake's door: its bounds, and how it words a refusal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from arke.doors.bounds import Bounds, Door
from arke.doors.server import DoorServer, door_server
from arke.intake.asgi import JSON, STANDING_HEADERS, error

if TYPE_CHECKING:
    from arke.doors.refusals import Refusals
    from arke.doors.visitors import TrustedProxies
    from arke.intake.asgi import ASGIApp

NAME: Final = "intake"


def intake_server(
    app: ASGIApp,
    refusals: Refusals,
    *,
    bounds: Bounds | None = None,
    proxies: TrustedProxies | None = None,
) -> DoorServer:
    """A server to be run with `await server.serve(sockets=[...])`."""
    door = Door(
        NAME,
        refusals,
        body=lambda code, message: msgspec.json.encode(error(code, message)),
        headers=(JSON, *STANDING_HEADERS),
        bounds=bounds,
        proxies=proxies,
    )
    return door_server(app, door)
