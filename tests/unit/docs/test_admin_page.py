"""docs/reference/admin-api.md has every endpoint of the table: its scope, parameters, body's bound and statuses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from arke.api.endpoint import NO_BODY, AnyEndpoint, Stream
from arke.api.table import ENDPOINTS
from unit.docs.pages import ROOT, code, page, rows

PAGE = page("admin-api.md")
ROWS = {code(cells[0]): cells for cells in rows(PAGE)}


def named(endpoint: AnyEndpoint) -> str:
    return f"{endpoint.method} {endpoint.path}"


def test_the_page_lists_the_endpoints_that_exist() -> None:
    assert set(ROWS) == {named(one) for one in ENDPOINTS}
    assert len(ROWS) == len(ENDPOINTS)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=named)
def test_the_page_tells_what_an_endpoint_takes_and_answers(endpoint: AnyEndpoint) -> None:
    _, scope, does = ROWS[named(endpoint)]
    assert code(scope) == (endpoint.scope or "none")
    told = set(re.findall(r"[?&](\w+)=", does))
    assert told == set(endpoint.query)
    if (most := endpoint.body.max_bytes) is not None and endpoint.body is not NO_BODY:
        unit, size = ("MiB", most // 1024**2) if most >= 1024**2 else ("KiB", most // 1024)
        assert f"at most {size} {unit}" in does
    for status in endpoint.statuses:
        assert status == 200 or str(status) in does
    assert not isinstance(endpoint, Stream) or "NDJSON" in does


def test_every_audited_action_is_told() -> None:
    actions = set()
    for file in Path(ROOT / "src/arke").rglob("*.py"):
        actions |= set(re.findall(r'audit\.record\(\s*actor, "(\w+)"', file.read_text()))
    assert len(actions) > 10
    assert {action for action in actions if f"`{action}`" not in PAGE} == set()
