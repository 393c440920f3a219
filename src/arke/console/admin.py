"""The admin API: operations over HTTP. On the Unix socket the file's permission is the authority; over TCP a
token of the scope that the route asks for.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from arke import __version__
from arke.console.metrics import render_metrics
from arke.console.onboard import onboard_routes
from arke.console.parameters import PARAMETERS, check_parameters, flag
from arke.domain.digits import whole_number
from arke.domain.token import LOCAL
from arke.doors.exchange import INTERNAL
from arke.errors import ArkeError, InvalidInput
from arke.operations.privacy import LiftAsk, PrivacyAsk
from arke.privacy.request_file import MAX_REQUEST_BYTES
from arke.tokens import parse_lifetime_s

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from starlette.requests import Request

    from arke.doors.refusals import Refusals
    from arke.onboarding.service import Onboarding
    from arke.operations.operations import Operations

    Handler = Callable[[Request], Awaitable[Response]]
    Authorize = Callable[[str | None, str], Awaitable[str]]

T = TypeVar("T")

MAX_CATALOG_BYTES = 64 * 1024 * 1024
MAX_RULE_BYTES = 1024 * 1024
MAX_LIFT_BYTES = 8 * 1024
DOCS = "docs/reference/admin-api.md"
MORE_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def admin_app(
    operations: Operations,
    authorize: Authorize | None,
    onboarding: Onboarding | None = None,
    refusals: Refusals | None = None,
) -> Starlette:
    """The API as an ASGI app. `authorize` checks a token for a scope and returns its id; None: whoever
    reaches the app may do everything (the Unix socket). `refusals`: what the doors count, for the metrics.
    """
    api = _Api(operations, refusals, local=authorize is None)
    routes = [
        ("GET", "/v1/status", "metrics", api.status),
        ("GET", "/v1/explain", "operate", api.explain),
        ("GET", "/v1/undelivered", "operate", api.undelivered),
        ("POST", "/v1/undelivered/replay", "operate", api.replay),
        ("GET", "/v1/batches", "read", api.batches),
        ("POST", "/v1/batches", "operate", api.run_batch),
        ("GET", "/v1/batches/{number}", "read", api.batch),
        ("POST", "/v1/resync", "operate", api.resync),
        ("POST", "/v1/estimate", "read", api.estimate),
        ("POST", "/v1/catalog", "admin", api.apply),
        ("POST", "/v1/catalog/rollback", "admin", api.rollback),
        ("POST", "/v1/privacy/access", "admin", api.privacy_access),
        ("POST", "/v1/privacy/requests", "admin", api.privacy_request),
        ("POST", "/v1/privacy/lift", "admin", api.privacy_lift),
        ("GET", "/v1/privacy/requests", "operate", api.privacy_list),
        ("GET", "/v1/privacy/requests/{number}", "operate", api.privacy_show),
        *onboard_routes(onboarding),
        ("GET", "/v1/tokens", "admin", api.list_tokens),
        ("POST", "/v1/tokens", "admin", api.create_token),
        ("DELETE", "/v1/tokens/{id}", "admin", api.revoke_token),
        ("GET", "/v1/audit", "admin", api.audit),
        ("GET", "/metrics", "metrics", api.metrics),
        ("GET", "/healthz", None, api.healthz),
        ("GET", "/readyz", None, api.readyz),
    ]
    app = Starlette(
        routes=[
            Route(
                path,
                _guarded(handler, scope, authorize, PARAMETERS.get((method, path), ())),
                methods=[method],
            )
            for method, path, scope, handler in routes
        ],
        exception_handlers={HTTPException: _http_problem, Exception: _defect},
    )
    # A redirect would repeat the Host that the caller wrote, and come before the token is looked at.
    app.router.redirect_slashes = False
    return app


async def _http_problem(_: Request, problem: Exception) -> Response:
    """What no route answers: a wrong path or method."""
    status = problem.status_code if isinstance(problem, HTTPException) else 500
    code = {404: "not_found", 405: "method_not_allowed"}.get(status, "error")
    headers = dict(problem.headers or {}) if isinstance(problem, HTTPException) else {}
    return _json({"code": code, "message": f"no route answers this: see {DOCS}"}, status, headers)


async def _defect(_: Request, __: Exception) -> Response:
    """What nothing else answers; the door logs it."""
    return _json({"code": "internal", "message": INTERNAL}, 500)


def _guarded(
    handler: Handler, scope: str | None, authorize: Authorize | None, parameters: Sequence[str]
) -> Handler:
    """Check the token and the names of the parameters, and answer errors as JSON with their code."""

    async def endpoint(request: Request) -> Response:
        try:
            if authorize is not None and scope is not None:
                request.state.actor = await authorize(_bearer(request), scope)
            if scope is not None:
                check_parameters(request, parameters)
            return await handler(request)
        except ArkeError as error:
            return _problem(error)

    return endpoint


def _bearer(request: Request) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _problem(error: ArkeError) -> Response:
    details = error.details()
    body: dict[str, Any] = {"code": error.code, "message": str(error)}
    if "problems" in details:
        body["problems"] = details["problems"]
    again = details.get("retry_after_s")
    return _json(body, error.status, {} if again is None else {"Retry-After": str(again)})


def _json(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(
        msgspec.json.encode(body),
        status,
        media_type="application/json",
        headers=MORE_HEADERS | (headers or {}),
    )


class _Api:
    """One method a route."""

    def __init__(self, operations: Operations, refusals: Refusals | None, *, local: bool) -> None:
        self._operations = operations
        self._refusals = refusals
        self._local = local

    async def status(self, _: Request) -> Response:
        return _json(await self._operations.status())

    async def explain(self, request: Request) -> Response:
        query = request.query_params
        uuid, partner = query.get("uuid"), query.get("id")
        return _json(await self._operations.explain(uuid, partner, actor=_actor(request)))

    async def undelivered(self, request: Request) -> Response:
        destination = _destination(request)
        devices = self._operations.undelivered(destination, actor=_actor(request))
        # Ask for the first page before the status line is sent: a wrong destination is a 400.
        first = await anext(devices, None)

        async def lines() -> AsyncIterator[bytes]:
            if first is not None:
                yield msgspec.json.encode(first) + b"\n"
            async for device in devices:
                yield msgspec.json.encode(device) + b"\n"

        return StreamingResponse(lines(), media_type="application/x-ndjson", headers=MORE_HEADERS)

    async def replay(self, request: Request) -> Response:
        return _json({"devices": await self._operations.replay(_destination(request), actor=_actor(request))})

    async def batches(self, _: Request) -> Response:
        return _json(await self._operations.batches())

    async def batch(self, request: Request) -> Response:
        number = _as_number("the batch", request.path_params["number"])
        return _json(await self._operations.batch(_one_destination(request), number))

    async def run_batch(self, request: Request) -> Response:
        destination = _one_destination(request)
        return _json(await self._operations.run_batch(destination, actor=_actor(request)), 202)

    async def resync(self, request: Request) -> Response:
        destination = _one_destination(request)
        return _json(await self._operations.resync(destination, actor=_actor(request)), 202)

    async def estimate(self, request: Request) -> Response:
        rule = await _text(request, "rule", MAX_RULE_BYTES)
        return _json(await self._operations.estimate(rule, _number(request, "sample")))

    async def apply(self, request: Request) -> Response:
        text = await _text(request, "catalog", MAX_CATALOG_BYTES)
        report = await self._operations.apply(
            text,
            request.query_params.get("name", "catalog"),
            self._folder(request),
            dry_run=flag(request, "dry_run"),
            actor=_actor(request),
            from_afar=not self._local,
        )
        return _json(report)

    def _folder(self, request: Request) -> Path | None:
        """Where relative paths in a catalog count from; only for callers on this machine."""
        folder = request.query_params.get("folder")
        return Path(folder) if folder is not None and self._local else None

    async def rollback(self, request: Request) -> Response:
        version = _number(request, "version")
        dry_run = flag(request, "dry_run")
        return _json(await self._operations.rollback(version, dry_run=dry_run, actor=_actor(request)))

    async def privacy_access(self, request: Request) -> Response:
        return _json(await self._operations.privacy.access(await _ask(request), actor=_actor(request)))

    async def privacy_request(self, request: Request) -> Response:
        reports = await self._operations.privacy.request(await _ask(request), actor=_actor(request))
        return _json(reports, 202)

    async def privacy_lift(self, request: Request) -> Response:
        ask = _as(await _body(request, MAX_LIFT_BYTES, "a lift"), LiftAsk, "lift")
        return _json(await self._operations.privacy.lift(ask, actor=_actor(request)))

    async def privacy_list(self, request: Request) -> Response:
        return _json(await self._operations.privacy.newest(_number(request, "before")))

    async def privacy_show(self, request: Request) -> Response:
        number = _as_number("the privacy request", request.path_params["number"])
        return _json(await self._operations.privacy.show(number))

    async def audit(self, request: Request) -> Response:
        return _json(await self._operations.audit(_number(request, "after") or 0))

    async def list_tokens(self, _: Request) -> Response:
        return _json(await self._operations.list_tokens())

    async def create_token(self, request: Request) -> Response:
        query = request.query_params
        expires = query.get("expires")
        lifetime_s = parse_lifetime_s(expires) if expires is not None else None
        scopes, name = query.get("scope", ""), query.get("name", "")
        made = await self._operations.create_token(scopes, name, lifetime_s, actor=_actor(request))
        return _json(made, 201)

    async def revoke_token(self, request: Request) -> Response:
        await self._operations.revoke_token(request.path_params["id"], actor=_actor(request))
        return _json({"revoked": request.path_params["id"]})

    async def metrics(self, _: Request) -> Response:
        refused = self._refusals.counts() if self._refusals is not None else {}
        text = render_metrics(await self._operations.status(), refused)
        return Response(text, media_type="text/plain; version=0.0.4", headers=MORE_HEADERS)

    async def healthz(self, _: Request) -> Response:
        return _json({"status": "alive", "version": __version__})

    async def readyz(self, _: Request) -> Response:
        ready = (await self._operations.status()).ready
        return _json({"ready": ready}, 200 if ready else 503)


async def _body(request: Request, most: int, what: str) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise InvalidInput(f"{what} may have {most} bytes")
    return bytes(body)


async def _ask(request: Request) -> PrivacyAsk:
    """Whom it is about comes in the body: ids in an address would end up in the logs of proxies."""
    body = await _body(request, 2 * MAX_REQUEST_BYTES, "a privacy request")
    return _as(body, PrivacyAsk, "privacy request")


def _as(body: bytes, kind: type[T], what: str) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InvalidInput(f"the body is not a {what}: {error}: see {DOCS}") from None


def _actor(request: Request) -> str:
    return str(getattr(request.state, "actor", LOCAL))


async def _text(request: Request, what: str, max_bytes: int) -> str:
    """The body as text, no longer than `max_bytes`."""
    body = await _body(request, max_bytes, f"a {what}")
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise InvalidInput(f"the {what} is not UTF-8 text") from None


def _destination(request: Request) -> int | None:
    return _number(request, "destination")


def _one_destination(request: Request) -> int:
    destination = _destination(request)
    if destination is None:
        raise InvalidInput("destination is missing: ?destination=423")
    return destination


def _number(request: Request, name: str) -> int | None:
    text = request.query_params.get(name)
    return None if text is None else _as_number(name, text)


def _as_number(name: str, text: str) -> int:
    number = whole_number(text)
    if number is None:
        raise InvalidInput(f"{name} must be a number: digits, and no more than 18 of them")
    return number
