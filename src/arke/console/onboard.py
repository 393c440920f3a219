"""Files over the admin API: sent in a request's body, loaded in the background, asked about by ticket."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from starlette.responses import Response

from arke.console.parameters import flag
from arke.domain.token import LOCAL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from typing import Any

    from starlette.requests import Request

    from arke.onboarding.service import Onboarding

    Route = tuple[str, str, str, Callable[[Request], Awaitable[Response]]]


class Ticket(msgspec.Struct, frozen=True):
    """Under which a file is asked about."""

    id: str


def onboard_routes(onboarding: Onboarding | None) -> list[Route]:
    """Without a service (None) the routes are listed and not to be called."""
    api = _OnboardApi(onboarding)
    return [
        ("POST", "/v1/onboard", "operate", api.receive),
        ("GET", "/v1/onboard/{id}", "read", api.state),
    ]


class _OnboardApi:
    def __init__(self, onboarding: Onboarding | None) -> None:
        self._given = onboarding

    @property
    def _onboarding(self) -> Onboarding:
        if self._given is None:
            raise RuntimeError("this engine takes no files")
        return self._given

    async def receive(self, request: Request) -> Response:
        """`?check=1` only says whether a file of this name would be taken."""
        query = request.query_params
        name, columns = query.get("name", ""), query.get("columns")
        if flag(request, "check"):
            self._onboarding.check(name, columns)
            return _json({})
        actor = str(getattr(request.state, "actor", LOCAL))
        ticket = await self._onboarding.receive(name, columns, _parts(request), actor=actor)
        return _json(Ticket(ticket), 202)

    async def state(self, request: Request) -> Response:
        return _json(self._onboarding.state(request.path_params["id"]))


async def _parts(request: Request) -> AsyncIterator[bytes]:
    async for part in request.stream():
        yield part


def _json(body: Any, status: int = 200) -> Response:
    return Response(
        msgspec.json.encode(body),
        status,
        media_type="application/json",
        headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"},
    )
