"""The schema of a SQLite file: numbered migrations, `migrations/KIND/0001_what_it_does.sql` and so on.

A new file runs all of its kind, an older one those that it lacks; `user_version` is the number of the last.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import apsw

from arke.errors import StoreTooNew, StoreUnavailable
from arke.log import get_logger
from arke.storage.sql_files import migrations

_MIGRATIONS: Final = Path(__file__).with_name("migrations")
SHARD: Final = _MIGRATIONS / "shard"
DIRECTORY: Final = _MIGRATIONS / "directory"

log = get_logger("storage")


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
