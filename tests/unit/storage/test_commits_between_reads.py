"""Something is committed in the committer's thread between two reads of one question, in the loop's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from arke.domain.identity import Claims, Move, Owner
from arke.storage.committer import InlineCommitter
from arke.storage.sqlite.directory import SqliteDirectory
from arke.storage.sqlite.identities import IDENTITIES
from arke.storage.sqlite.records import AUDIT
from at_once import at_once

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

A = (1, "a")


class Interrupted:
    """A connection over which something is committed just before one statement is run for the first time."""

    def __init__(self, connection: Any, statement: str, commit: Callable[[], object]) -> None:
        self._connection = connection
        self._statement: str | None = statement
        self._commit = commit

    def execute(self, sql: str, *bindings: Any) -> Any:
        if sql == self._statement:
            self._statement = None
            self._commit()
        return self._connection.execute(sql, *bindings)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


class Writing(InlineCommitter):
    """One whose thread is always at it."""

    busy = True


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[SqliteDirectory]:
    directory = SqliteDirectory(tmp_path / "directory.db", committer=Writing())
    yield directory
    at_once(directory.close())


def interrupt(directory: SqliteDirectory, statement: str, commit: Callable[[], object]) -> None:
    database: Any = directory._database
    database.reads = Interrupted(database.reads, statement, commit)


def test_an_entry_that_is_added_while_the_audit_is_checked_breaks_nothing(directory: SqliteDirectory) -> None:
    for number in range(2):
        at_once(directory.audit.add(number, "local", "token.create", "before"))
    interrupt(
        directory, AUDIT["end"], lambda: at_once(directory.audit.add(9, "local", "token.create", "meanwhile"))
    )
    assert at_once(directory.audit.intact())
    assert at_once(directory.audit.end()).entries == 3
    assert at_once(directory.audit.intact())


def test_an_owner_that_is_stored_while_he_is_looked_up_comes_with_his_move(
    directory: SqliteDirectory,
) -> None:
    identities = directory.identities
    at_once(identities.link(Claims(100, {A: Owner("U", 10)})))
    moved = Claims(200, {A: Owner("V", 20)}, moves=[Move(*A, "U", "V", 200, 20)], before={A: 10})
    interrupt(directory, IDENTITIES["owner"], lambda: at_once(identities.link(moved)))
    known = at_once(identities.look_up([A]))
    assert (known.owners[A].uuid, known.unsettled) == ("V", {A})
