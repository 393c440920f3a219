"""The intake as one ASGI application behind its door: routing, methods, and the answers to errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from arke.clock import SystemClock, SystemEntropy
from arke.doors.bounds import Bounds, Door
from arke.doors.server import DoorServer, door_server
from arke.errors import Overloaded, Unauthorized, Unavailable
from arke.intake.asgi import (
    JSON,
    STANDING_HEADERS,
    BodyReader,
    Disconnected,
    bearer,
    come_again,
    error,
    respond,
    respond_and_hang_up,
    respond_error,
    respond_json,
)
from arke.intake.blank import BLANKS
from arke.intake.bulk import BulkIntake
from arke.intake.dcs_endpoints import DcsEndpoints
from arke.intake.line_stream import BodyRefused
from arke.intake.opt_outs import OptOuts
from arke.intake.origins import cors
from arke.intake.reception import Reception
from arke.intake.segment_endpoint import ALLOWED_HEADERS, SegmentEndpoint
from arke.intake.segment_requests import ROUTES
from arke.intake.settings import IntakeSettings
from arke.intake.visitor_id_endpoint import VisitorIdEndpoint

if TYPE_CHECKING:
    from arke.clock import Clock, Entropy
    from arke.doors.names import TrustedProxies
    from arke.doors.refusals import Refusals
    from arke.intake.asgi import ASGIApp, Header, Receive, Scope, Send
    from arke.intake.ports import Ingest, OptOutPort, TokenPort
    from arke.tracing import Tracer

IBS: Final = b"/ibs:"
IBS_ESCAPED: Final = b"/ibs%3a"

EVENTS: Final = ("/event", "/firstevent")
"""Audience Manager has two, and sends a browser without its cookie from one to the other with the same event."""

METHODS: Final[dict[str, tuple[str, ...]]] = {
    "/event": ("GET", "POST", "OPTIONS"),
    "/firstevent": ("GET", "POST", "OPTIONS"),
    "/ibs:": ("GET", "OPTIONS"),
    "/id": ("GET", "POST", "OPTIONS"),
    "/demoptout": ("GET",),
    "/demoptout.jpg": ("GET",),
    **dict.fromkeys(BLANKS, ("GET", "HEAD")),
    "/v1/events": ("POST",),
    **dict.fromkeys(ROUTES, ("POST", "OPTIONS")),
    "/healthz": ("GET", "HEAD"),
    "/readyz": ("GET", "HEAD"),
}
"""Every route and what it may be asked."""


def intake_app(
    ingest: Ingest,
    opt_outs: OptOutPort,
    tokens: TokenPort,
    settings: IntakeSettings | None = None,
    *,
    clock: Clock | None = None,
    entropy: Entropy | None = None,
) -> ASGIApp:
    """The application. It keeps no state of its own: any number of servers may run it."""
    given = settings or IntakeSettings()
    return _Intake(
        ingest, opt_outs, tokens, given, clock or SystemClock(), entropy or SystemEntropy()
    ).__call__


class _Intake:
    """Routes a request, and turns every error that Arke raises into an answer; defects are the door's."""

    def __init__(
        self,
        ingest: Ingest,
        opt_outs: OptOutPort,
        tokens: TokenPort,
        settings: IntakeSettings,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self._ingest = ingest
        self._tokens = tokens
        self._settings = settings
        public_opt_outs = OptOuts(opt_outs, ingest, settings.opt_outs, clock)
        reception = Reception(ingest, public_opt_outs, tokens, settings)
        self._dcs = DcsEndpoints(reception, ingest, public_opt_outs, settings, entropy)
        self._visitor_ids = VisitorIdEndpoint(reception, ingest, settings, entropy)
        self._bulk = BulkIntake(ingest, settings, clock)
        self._segment = SegmentEndpoint(ingest, public_opt_outs, tokens, settings, clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            await self._guarded(scope, BodyReader(receive), send)

    async def _guarded(self, scope: Scope, receive: BodyReader, send: Send) -> None:
        scope["route"] = route = _route(scope)
        try:
            await self._dispatch(route, scope, receive, send)
        except Disconnected:
            return
        except (Overloaded, Unavailable) as problem:
            headers = [come_again(problem), *self._cors(scope)]
            await respond_error(send, problem.status, problem.code, str(problem), headers)
        except Unauthorized as problem:
            await _unauthorized(send, receive, problem)
        except BodyRefused as problem:
            body = error(problem.reason, problem.message)
            await respond_and_hang_up(send, receive, problem.status, body, self._cors(scope))

    async def _dispatch(self, route: str, scope: Scope, receive: BodyReader, send: Send) -> None:
        methods = METHODS.get(route)
        method = scope["method"]
        if methods is None:
            await respond_error(send, 404, "not_found", "there is no such endpoint")
        elif method not in methods:
            allow = [(b"allow", ", ".join(methods).encode())]
            await respond_error(send, 405, "method_not_allowed", f"use {' or '.join(methods)}", allow)
        elif method == "OPTIONS":
            headers = ALLOWED_HEADERS if route in ROUTES else b"Content-Type"
            await respond(send, 204, b"", [*self._cors(scope), *_preflight(methods, headers)])
        elif len(scope["raw_path"]) + len(scope["query_string"]) > self._settings.max_url_bytes:
            limit = self._settings.max_url_bytes
            raise BodyRefused(414, "url_too_long", f"the address is longer than {limit} bytes: use POST")
        elif route in EVENTS:
            await self._dcs.event(scope, receive, send)
        elif route == "/v1/events":
            await self._authorize(scope)
            await self._bulk(scope, receive, send)
        elif (takes := ROUTES.get(route)) is not None:
            await self._segment(scope, receive, send, takes)
        elif route == "/ibs:":
            await self._dcs.id_sync(scope, _ibs_parameters(scope), send)
        elif route == "/id":
            await self._visitor_ids(scope, receive, send)
        elif route in ("/demoptout", "/demoptout.jpg"):
            await self._dcs.opt_out(scope, send)
        elif (blank := BLANKS.get(route)) is not None:
            await respond(send, 200, blank.body, [(b"content-type", blank.kind)], blank.standing)
        else:
            await self._health(route, send)

    def _cors(self, scope: Scope) -> list[Header]:
        return cors(scope, self._settings.listeners)

    async def _authorize(self, scope: Scope) -> None:
        if self._settings.auth == "open":
            return
        await self._tokens.authorize(bearer(scope), "ingest")

    async def _health(self, route: str, send: Send) -> None:
        """Alive is: this answers. Ready is: events can be stored."""
        if route == "/healthz" or self._ingest.ready():
            await respond_json(send, 200, {"status": "ok"})
        else:
            await respond_json(send, 503, {"status": "not ready"})


def _route(scope: Scope) -> str:
    path: str = scope["path"]
    raw: bytes = scope["raw_path"]
    if raw.startswith(IBS) or raw[: len(IBS_ESCAPED)].lower() == IBS_ESCAPED:
        return "/ibs:"
    return path if path in METHODS and path != "/ibs:" else ""


def _ibs_parameters(scope: Scope) -> bytes:
    """What follows `/ibs:`. A `?` inside an unescaped redir cut it in two: it is put together again."""
    raw: bytes = scope["raw_path"]
    skip = len(IBS) if raw.startswith(IBS) else len(IBS_ESCAPED)
    parameters = raw[skip:]
    query: bytes = scope["query_string"]
    if not query:
        return parameters
    return parameters + (b"?" if b"redir=" in parameters else b"&") + query


def _preflight(methods: tuple[str, ...], headers: bytes) -> list[Header]:
    return [
        (b"access-control-allow-methods", ", ".join(methods).encode()),
        (b"access-control-allow-headers", headers),
        (b"access-control-max-age", b"86400"),
    ]


async def _unauthorized(send: Send, receive: BodyReader, problem: Unauthorized) -> None:
    ask: list[Header] = [] if problem.forbidden else [(b"www-authenticate", b'Bearer realm="arke"')]
    await respond_and_hang_up(send, receive, problem.status, error(problem.code, str(problem)), ask)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


NAME: Final = "intake"


def intake_server(
    app: ASGIApp,
    refusals: Refusals,
    *,
    bounds: Bounds | None = None,
    proxies: TrustedProxies | None = None,
    tracer: Tracer | None = None,
) -> DoorServer:
    """A server to be run with `await server.serve(sockets=[...])`."""
    door = Door(
        NAME,
        refusals,
        body=lambda code, message: msgspec.json.encode(error(code, message)),
        headers=(JSON, *STANDING_HEADERS),
        bounds=bounds,
        proxies=proxies,
        tracer=tracer,
    )
    return door_server(app, door)
