"""Each test of this folder runs over every PostgreSQL there is, in a schema of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from servers.postgres import KINDS, fresh_schema

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def dsn(kind: str) -> Iterator[str]:
    yield from fresh_schema(kind)
