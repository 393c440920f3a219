"""docs/reference/admin-api.md has every route, with the scope that it asks for."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from starlette.routing import Route

from arke.console.admin import admin_app
from arke.errors import Unauthorized
from unit.docs.pages import ROOT, code, page, rows

if TYPE_CHECKING:
    from starlette.types import Message

PAGE = page("admin-api.md")
ROWS = {code(cells[0]): code(cells[1]) for cells in rows(PAGE)}


def routes() -> list[tuple[str, str]]:
    app = admin_app(cast("Any", None), None)
    found = []
    for route in app.routes:
        assert isinstance(route, Route)
        found += [(method, route.path) for method in sorted((route.methods or set()) - {"HEAD"})]
    return found


def scope_of(method: str, path: str) -> str:
    """The scope a route asks for, as its own check says."""
    asked: list[str] = []

    async def authorize(_: str | None, scope: str) -> str:
        asked.append(scope)
        raise Unauthorized("no")

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_: Message) -> None:
        return

    request = {"type": "http", "method": method, "path": path, "headers": [], "query_string": b""}
    try:
        asyncio.run(admin_app(cast("Any", None), authorize)(request, receive, send))
    except AttributeError:  # it went on to the operations that are not there: it asks for nothing
        assert not asked
    return asked[0] if asked else "none"


def test_the_page_lists_the_routes_that_exist() -> None:
    assert set(ROWS) == {f"{method} {path}" for method, path in routes()}


def test_each_route_asks_for_the_scope_the_page_tells() -> None:
    for method, path in routes():
        assert ROWS[f"{method} {path}"] == scope_of(method, path), path


def test_every_parameter_and_audited_action_is_told() -> None:
    source = (ROOT / "src/arke/console/admin.py").read_text()
    names = re.findall(r'(?:query\.get|query_params\.get|_number|_flag)\((?:request, )?"(\w+)"', source)
    assert len(set(names)) > 6
    assert {name for name in names if f"?{name}=" not in PAGE and f"&{name}=" not in PAGE} == set()
    actions = set()
    for file in Path(ROOT / "src/arke").rglob("*.py"):
        actions |= set(re.findall(r'_audit\(\s*actor, "(\w+)"', file.read_text()))
    assert len(actions) > 3
    assert {action for action in actions if f"`{action}`" not in PAGE} == set()
