"""The intake as one ASGI application behind its door: routing, methods, and the answers to errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from arke.clock import SystemClock, SystemEntropy
from arke.doors.answers import Answer
from arke.doors.bounds import Bounds, Door
from arke.doors.server import DoorServer, door_server
from arke.errors import Overloaded, Unauthorized, Unavailable
from arke.intake.asgi import (
    JSON_HEADERS,
    STANDING_HEADERS,
    BodyReader,
    Disconnected,
    WholeBody,
    answer_error,
    answer_json,
    bearer,
    come_again,
    error,
    send_answer,
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
    from arke.doors.answers import Header
    from arke.doors.names import TrustedProxies
    from arke.doors.refusals import Refusals
    from arke.intake.asgi import ASGIApp, Receive, Scope, Send
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
) -> Intake:
    """The application. It keeps no state of its own: any number of servers may run it."""
    given = settings or IntakeSettings()
    return Intake(ingest, opt_outs, tokens, given, clock or SystemClock(), entropy or SystemEntropy())


class Intake:
    """Routes a request, and turns every error that Arke raises into an answer; defects are the door's. An ASGI
    application, and `whole` for requests that are there as a whole.
    """

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
            body = BodyReader(receive)
            answer = await self._answer(scope, body)
            if answer is not None:
                await send_answer(send, body, answer)

    async def whole(self, scope: Scope, body: bytes) -> Answer | None:
        """The answer to a request whose body has arrived."""
        return await self._answer(scope, WholeBody(body))

    async def _answer(self, scope: Scope, receive: Receive) -> Answer | None:
        scope["route"] = route = _route(scope)
        try:
            return await self._dispatch(route, scope, receive)
        except Disconnected:
            return None
        except (Overloaded, Unavailable) as problem:
            headers = [come_again(problem), *self._cors(scope)]
            return answer_error(problem.status, problem.code, problem.to_strangers, headers)
        except Unauthorized as problem:
            return _unauthorized(problem)
        except BodyRefused as problem:
            return answer_error(
                problem.status, problem.reason, problem.message, self._cors(scope), hang_up=True
            )

    async def _dispatch(self, route: str, scope: Scope, receive: Receive) -> Answer:
        methods = METHODS.get(route)
        method = scope["method"]
        if methods is None:
            return answer_error(404, "not_found", "there is no such endpoint")
        if method not in methods:
            allow = [(b"allow", ", ".join(methods).encode())]
            return answer_error(405, "method_not_allowed", f"use {' or '.join(methods)}", allow)
        if method == "OPTIONS":
            headers = ALLOWED_HEADERS if route in ROUTES else b"Content-Type"
            return Answer(204, b"", [*self._cors(scope), *_preflight(methods, headers)], STANDING_HEADERS)
        query = scope["query_string"]
        if len(scope["raw_path"]) + bool(query) + len(query) > self._settings.max_url_bytes:
            limit = self._settings.max_url_bytes
            raise BodyRefused(414, "url_too_long", f"the address is longer than {limit} bytes: use POST")
        return await self._taken(route, scope, receive)

    async def _taken(self, route: str, scope: Scope, receive: Receive) -> Answer:
        """The answer of the endpoint that the route names."""
        if route in EVENTS:
            return await self._dcs.event(scope, receive)
        if route == "/v1/events":
            await self._authorize(scope)
            return await self._bulk(scope, receive)
        if (takes := ROUTES.get(route)) is not None:
            return await self._segment(scope, receive, takes)
        if route == "/ibs:":
            return await self._dcs.id_sync(scope, _ibs_parameters(scope))
        if route == "/id":
            return await self._visitor_ids(scope, receive)
        if route in ("/demoptout", "/demoptout.jpg"):
            return await self._dcs.opt_out(scope)
        if (blank := BLANKS.get(route)) is not None:
            return Answer(200, blank.body, [(b"content-type", blank.kind)], blank.standing)
        return self._health(route)

    def _cors(self, scope: Scope) -> list[Header]:
        return cors(scope, self._settings.listeners)

    async def _authorize(self, scope: Scope) -> None:
        if self._settings.auth == "open":
            return
        await self._tokens.authorize(bearer(scope), "ingest")

    def _health(self, route: str) -> Answer:
        """Alive is: this answers. Ready is: events can be stored."""
        if route == "/healthz" or self._ingest.ready():
            return answer_json(200, {"status": "ok"})
        return answer_json(503, {"status": "not ready"})


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


def _unauthorized(problem: Unauthorized) -> Answer:
    ask: list[Header] = [] if problem.forbidden else [(b"www-authenticate", b'Bearer realm="arke"')]
    return answer_error(problem.status, problem.code, str(problem), ask, hang_up=True)


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
        headers=JSON_HEADERS,
        bounds=bounds,
        proxies=proxies,
        tracer=tracer,
        whole=app.whole if isinstance(app, Intake) else None,
    )
    return door_server(app, door)
