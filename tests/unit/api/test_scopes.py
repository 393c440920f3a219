"""What the app asks a token for is what the table says, endpoint by endpoint, before anything else is done."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from arke.api.app import api_app
from arke.api.endpoint import AnyEndpoint
from arke.api.table import ENDPOINTS
from arke.errors import Unauthorized


class Spy:
    """Notes what it is asked, and lets nobody in."""

    def __init__(self) -> None:
        self.asked: list[tuple[str | None, str]] = []

    async def authorize(self, secret: str | None, scope: str) -> str:
        self.asked.append((secret, scope))
        raise Unauthorized("nobody")


class Untouchable:
    """Operations that nobody reaches."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(name)


@pytest.mark.parametrize(
    "endpoint",
    [one for one in ENDPOINTS if one.scope is not None],
    ids=lambda one: f"{one.method} {one.path}",
)
def test_an_endpoint_asks_for_its_scope_first(
    endpoint: AnyEndpoint,
) -> None:
    spy: Any = Spy()
    operations: Any = Untouchable()
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": endpoint.method,
        "path": re.sub(r"\{\w+\}", "1", endpoint.path),
        "raw_path": b"",
        "query_string": b"nonsense=1",
        "headers": [(b"authorization", b"Bearer arke_token")],
    }
    asyncio.run(api_app(operations, spy)(scope, receive, send))
    assert spy.asked == [("arke_token", endpoint.scope)]
    assert sent[0]["status"] == 401
