"""The schema of a SQLite file: numbered migrations, `migrations/KIND/0001_what_it_does.sql` and so on.

A new file runs all of its kind, an older one those that it lacks; `user_version` is the number of the last. A
migration that was released is never edited: what changes is the next number.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Final

import apsw
import msgspec

from arke.errors import StoreTooNew, StoreUnavailable
from arke.log import get_logger

_MIGRATIONS: Final = Path(__file__).with_name("migrations")
SHARD: Final = _MIGRATIONS / "shard"
DIRECTORY: Final = _MIGRATIONS / "directory"
_NAME: Final = re.compile(r"([0-9]{4})_[a-z0-9_]+\.sql")

log = get_logger("storage")


class Migration(msgspec.Struct, frozen=True):
    """One step from a version of the schema to the next."""

    name: str
    sql: str


@cache
def migrations(kind: Path) -> tuple[Migration, ...]:
    """The migrations in a folder, the first one first. Raises ValueError unless they are numbered 1, 2, 3 ..."""
    files = sorted(kind.glob("*.sql"))
    numbers = [int(found[1]) if (found := _NAME.fullmatch(file.name)) else 0 for file in files]
    if not files or numbers != list(range(1, len(files) + 1)):
        raise ValueError(f"{kind}: migrations are files 0001_name.sql, 0002_name.sql ... without a gap")
    return tuple(Migration(file.name, file.read_text()) for file in files)


def migrate(connection: apsw.Connection, path: Path | str, kind: Path) -> None:
    """Bring the schema up to date in one transaction: all of it, or nothing if a migration fails.

    A second connection waits for the first one's transaction, and finds nothing left to do. Raises StoreTooNew,
    StoreUnavailable.
    """
    newest = len(migrations(kind))
    if _version(connection) == newest:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        stored = _version(connection)
        _advance(connection, path, kind, stored)
    except BaseException:
        if connection.in_transaction:  # on a full disk SQLite has rolled back by itself
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
    if 0 < stored < newest:
        log.warning("store_migrated", file=Path(path).name, from_version=stored, to_version=newest)


def _advance(connection: apsw.Connection, path: Path | str, kind: Path, stored: int) -> None:
    steps = migrations(kind)
    if stored > len(steps):
        raise StoreTooNew(
            f"{path}: written by a newer Arke (schema {stored}, this one knows {len(steps)}): upgrade Arke"
        )
    for step in steps[stored:]:
        try:
            connection.execute(step.sql)
        except apsw.Error as error:
            raise StoreUnavailable(f"{path}: {step.name}: {type(error).__name__}: {error}") from error
    connection.execute(f"PRAGMA user_version={len(steps)}")


def _version(connection: apsw.Connection) -> int:
    version: int = next(connection.execute("PRAGMA user_version"))[0]
    return version
