"""Statements in files: SQLite can prepare each of them against the schema, and each is used."""

from __future__ import annotations

import re
from pathlib import Path

import apsw
import pytest

from arke.storage.sql_files import statements
from arke.storage.sqlite import directory
from arke.storage.sqlite.connection import MEMORY, open_database
from arke.storage.sqlite.schema import DIRECTORY, SHARD
from arke.storage.sqlite.shard_reads import array_of

ADAPTER = Path(directory.__file__).parent
OTHERWISE_TESTED = ("shard", "leaving", "upkeep", "arriving")
"""On another schema; with tables put in, which imports of the integration tests run."""
FILES = [file for file in sorted(ADAPTER.glob("queries/*.sql")) if file.stem not in OTHERWISE_TESTED]


@pytest.fixture(scope="module")
def connection() -> apsw.Connection:
    return open_database(MEMORY, DIRECTORY)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_statement_fits_the_schema_and_is_used(connection: apsw.Connection, file: Path) -> None:
    named = statements(file)
    for sql in named.values():
        values = [None] * len(set(re.findall(r"\?\d*", sql)) if "?1" in sql else re.findall(r"\?", sql))
        connection.execute(f"EXPLAIN {sql}", values)
    (code, name), *others = [
        (text, found[1])
        for text in (module.read_text() for module in ADAPTER.glob("*.py"))
        if (found := re.search(rf'^(\w+) = statements\(.+ "{file.name}"\)$', text, re.MULTILINE))
    ]
    assert not others
    assert set(re.findall(rf'\b{name}\["(\w+)"\]', code)) == set(named)


@pytest.mark.parametrize("name", ["profiles", "ledger", "ledger_rows"])
def test_devices_are_found_one_by_one_by_their_key(name: str) -> None:
    """A list goes through the table's own tree, without a table or an order made for it."""
    sql = statements(ADAPTER / "queries" / "shard.sql")[name]
    values = [array_of([7, 5, 7]), 1][: 2 if "?2" in sql else 1]
    with_shard = open_database(MEMORY, SHARD)
    plan = [text for *_, text in with_shard.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
    assert len(plan) == 2, plan
    assert plan[0].startswith("SCAN wanted"), plan
    assert plan[1].startswith("SEARCH"), plan
    assert "KEY (" in plan[1], plan
