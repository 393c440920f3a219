"""The admin API as an ASGI app behind its two doors, the port and the Unix socket.

The app is the table of endpoints over HTTP. On the socket the file's permission is the authority; over TCP a token
of the scope that the endpoint asks for.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from arke.api.endpoint import DOCS, JSON, NO_BODY, AnyEndpoint, Asked, Endpoint, Listing, Problem
from arke.api.query import Reader, address, check_names
from arke.api.table import ENDPOINTS
from arke.api.tags import expected, has, quoted
from arke.domain.token import LOCAL
from arke.doors.bounds import MIN_WINDOW_BYTES, Bounds, Door
from arke.doors.refusals import INTERNAL
from arke.doors.server import DoorServer, door_server
from arke.errors import ArkeError, InvalidInput

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from arke.doors.names import KnownHosts, TrustedProxies
    from arke.doors.refusals import Refusals
    from arke.operations.subjects import Operations
    from arke.tokens import Doorkeeper

NOT_MODIFIED: Final = 304
MORE_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def api_app(
    operations: Operations, doorkeeper: Doorkeeper | None, refusals: Refusals | None = None
) -> Starlette:
    """`doorkeeper` checks tokens; None: whoever reaches the app may do everything (the Unix socket). `refusals`:
    what the doors count, for the metrics.
    """
    guard = _Guard(operations, doorkeeper, refusals)
    app = Starlette(
        routes=[
            Route(path, partial(guard.choose, by_method), methods=[*by_method])
            for path, by_method in _by_path().items()
        ],
        exception_handlers={HTTPException: _http_problem, Exception: _defect},
    )
    # A redirect would repeat the Host that the caller wrote, and come before the token is looked at.
    app.router.redirect_slashes = False
    return app


_Taken = dict[str, tuple[AnyEndpoint, Reader]]
"""The endpoints of one path by their methods."""


def _by_path() -> dict[str, _Taken]:
    """One route a path: what refuses another method names all that there are."""
    found: dict[str, _Taken] = {}
    for one in ENDPOINTS:
        found.setdefault(one.path, {})[one.method] = one, Reader(one.parameters)
    return found


class _Guard:
    """Checks a request against its endpoint, runs the operation, and puts what comes of it into a response."""

    def __init__(
        self, operations: Operations, doorkeeper: Doorkeeper | None, refusals: Refusals | None
    ) -> None:
        self._operations = operations
        self._doorkeeper = doorkeeper
        self._doors = refusals

    async def choose(self, by_method: _Taken, request: Request) -> Response:
        """HEAD is a GET whose body the door leaves out."""
        return await self.answer(*by_method["GET" if request.method == "HEAD" else request.method], request)

    async def answer(self, endpoint: AnyEndpoint, reader: Reader, request: Request) -> Response:
        """Errors are JSON with their code."""
        request.scope["route"] = endpoint.path
        try:
            asked = await self._asked(endpoint, reader, request)
            if isinstance(endpoint, Endpoint):
                return _answered(endpoint, asked, await endpoint.run(self._operations, asked), request)
            if isinstance(endpoint, Listing):
                page = await endpoint.run(self._operations, asked)
                headers = _link(endpoint, asked, page.next)
                return _response(msgspec.json.encode(page.items), endpoint.status, endpoint.media, headers)
            return await _streamed(endpoint.run(self._operations, asked), endpoint.media)
        except ArkeError as error:
            return _problem(error)

    async def _asked(self, endpoint: AnyEndpoint, reader: Reader, request: Request) -> Asked[Any, Any]:
        """Raises Unauthorized, InvalidInput."""
        actor = LOCAL
        if endpoint.scope is not None:
            if self._doorkeeper is not None:
                actor = await self._doorkeeper.authorize(_bearer(request), endpoint.scope)
            check_names([name for name, _ in request.query_params.multi_items()], endpoint.query)
        given = reader.read({**request.query_params, **request.path_params})
        if endpoint.body is not NO_BODY:
            _check_encoding(request.headers.getlist("content-encoding"))
        return Asked(
            given=given,
            body=await endpoint.body.read(request.stream()),
            actor=actor,
            from_afar=self._doorkeeper is not None,
            doors=self._doors,
            instead_of=expected(request.headers.getlist("if-match")) if endpoint.guarded else None,
        )


def _check_encoding(named: list[str]) -> None:
    """A file that is packed says so by its name; nothing else here is large. Raises InvalidInput."""
    if any(one.strip().lower() not in ("", "identity") for one in named):
        raise InvalidInput("Content-Encoding: a body comes here as it is; a packed file ends with .gz")


def _answered(
    endpoint: Endpoint[Any, Any, Any], asked: Asked[Any, Any], answer: Any, request: Request
) -> Response:
    headers = dict(endpoint.headers)
    if endpoint.next is not None:
        headers |= _link(endpoint, asked, endpoint.next(answer))
    if endpoint.tag is not None:
        tag = endpoint.tag(answer)
        headers |= {"ETag": quoted(tag), "Cache-Control": "private, no-cache"}
        if has(request.headers.getlist("if-none-match"), tag):
            return Response(None, NOT_MODIFIED, headers=MORE_HEADERS | headers)
    return _response(endpoint.encoded(answer), endpoint.status_of(answer), endpoint.media, headers)


def _link(route: AnyEndpoint, asked: Asked[Any, Any], cursor: str | None) -> dict[str, str]:
    """Where the page behind this one is (RFC 8288); nothing at the end of the list."""
    if cursor is None:
        return {}
    following = msgspec.structs.replace(asked.given, cursor=cursor)
    return {"Link": f'<{address(route, following)}>; rel="next"'}


def _bearer(request: Request) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


async def _streamed(found: AsyncIterator[Any], media: str) -> Response:
    """The first one is looked for before the status line is sent: a wrong parameter is a 400."""
    first = await anext(found, None)

    async def lines() -> AsyncIterator[bytes]:
        if first is not None:
            yield msgspec.json.encode(first) + b"\n"
        async for one in found:
            yield msgspec.json.encode(one) + b"\n"

    return StreamingResponse(lines(), media_type=media, headers=MORE_HEADERS)


def _problem(error: ArkeError) -> Response:
    details = error.details()
    again = details.get("retry_after_s")
    headers = {} if again is None else {"Retry-After": str(again)}
    problem = Problem(
        error.code,
        str(error),
        details.get("problems"),
        details.get("line"),
        details.get("column"),
        details.get("hint"),
    )
    return _refusal(problem, error.status, headers)


async def _http_problem(request: Request, problem: Exception) -> Response:
    """What no endpoint answers: a wrong path or method."""
    # Starlette puts its own object where the doors look for the path of a route.
    if isinstance(route := request.scope.get("route"), Route):
        request.scope["route"] = route.path
    status = problem.status_code if isinstance(problem, HTTPException) else 500
    code = {404: "not_found", 405: "method_not_allowed"}.get(status, "error")
    headers = dict(problem.headers or {}) if isinstance(problem, HTTPException) else {}
    said = "no route answers this"
    if "Allow" in headers:
        headers["Allow"] = ", ".join(sorted(headers["Allow"].split(", ")))
        said = f"it takes {headers['Allow']}"
    return _refusal(Problem(code, f"{said}: see {DOCS}"), status, headers)


async def _defect(_: Request, __: Exception) -> Response:
    """What nothing else answers; the door logs it."""
    return _refusal(Problem("internal", INTERNAL), 500)


def _refusal(problem: Problem, status: int, headers: dict[str, str] | None = None) -> Response:
    return _response(msgspec.json.encode(problem), status, JSON, headers)


def _response(body: bytes, status: int, media: str, headers: dict[str, str] | None = None) -> Response:
    return Response(body, status, media_type=media, headers=MORE_HEADERS | (headers or {}))


KEEP_ALIVE_S: Final = 75.0
SOCKET_UNREAD_S: Final = 300.0
"""A command may wait on a terminal that somebody reads."""


def admin_server(
    app: ASGIApp,
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


def socket_server(app: ASGIApp, refusals: Refusals, *, connections: int) -> DoorServer:
    """The Unix socket's server."""
    bounds = Bounds(
        connections=connections,
        keep_alive_s=KEEP_ALIVE_S,
        unread_s=SOCKET_UNREAD_S,
        window_bytes=MIN_WINDOW_BYTES,
    )
    return _server(app, "socket", refusals, bounds, None, None)


def _server(
    app: ASGIApp,
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
