"""Statements of the directory in PostgreSQL: each is used. That they fit the schema, the suites show."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from arke.storage.postgres import database

ADAPTER = Path(database.__file__).parent
SUBJECTS = (
    "audit", "catalogs", "cluster", "directory", "feeds", "files", "identities", "requests", "runs", "schema",
    "shard_map", "shard_move", "suppression",
    "tokens",
)  # fmt: skip
CODE = "\n".join(file.read_text() for file in sorted(ADAPTER.glob("*.py")))


@pytest.mark.parametrize("subject", SUBJECTS)
def test_each_statement_is_used(subject: str) -> None:
    for name in database.queries(subject):
        assert re.search(rf'\b[A-Z]+\["{name}"\]|"{name}"', CODE), name
