"""A PostgreSQL with the schema of a cluster of four shards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from arke.storage.postgres import schema
from arke.storage.postgres.connection import Server
from servers.postgres import KINDS, fresh_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

SHARDS = 4


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    for dsn in fresh_schema(request.param):
        found = Server(dsn)
        with found.connect() as connection:
            schema.initialise(connection, SHARDS, "test")
        yield found
