"""The schema of a cluster in PostgreSQL: numbered migrations (`migrations/0001_shards.sql` ...), run by
`arke cluster init` in the first schema of the role's search_path, and checked at each start.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Final

from psycopg.errors import InsufficientPrivilege

from arke.errors import InvalidInput, StoreTooNew, StoreUnavailable
from arke.storage.postgres.connection import described
from arke.storage.sql_files import migrations, statements

if TYPE_CHECKING:
    from arke.storage.postgres.connection import Connection

MIGRATIONS: Final = Path(__file__).with_name("migrations")
SQL: Final = statements(Path(__file__).parent / "queries" / "schema.sql")
OLDEST_SERVER: Final = 15
INIT: Final = "run `arke cluster init`"
UID_KEY_BYTES: Final = 16
HASH_KEY_BYTES: Final = 32


def initialise(connection: Connection, shards: int, where: str) -> int:
    """Bring the schema up to date, and make the shards where there are none: all of it, or nothing. May be
    repeated, and by two at once. Returns the version before, 0 for a new one.

    Raises StoreUnavailable, StoreTooNew, and InvalidInput where there is another number of shards.
    """
    _check_server(connection, where)
    try:
        with connection.transaction():
            connection.execute(SQL["one_at_a_time"])
            before = _version(connection)
            _check_not_newer(before, where)
            for step in migrations(MIGRATIONS)[before:]:
                connection.execute(step.sql)
            connection.execute(SQL["drop_version"])
            connection.execute(SQL["put_version"], (len(migrations(MIGRATIONS)),))
            _make_shards(connection, shards, where)
            connection.execute(SQL["make_hash_key"], (secrets.token_bytes(HASH_KEY_BYTES),))
    except InsufficientPrivilege as error:
        raise StoreUnavailable(
            f"{where}: {described(error)}: the role needs a schema of its own, first in its search_path"
        ) from error
    return before


def _make_shards(connection: Connection, shards: int, where: str) -> None:
    there = count_shards(connection)
    if there == 0:
        keys = [secrets.token_bytes(UID_KEY_BYTES) for _ in range(shards)]
        connection.execute(SQL["make_shards"], (list(range(shards)), keys))
    elif there != shards:
        raise InvalidInput(
            f"{where}: this cluster has {there} shards, and that stays; the settings say {shards}"
        )


def count_shards(connection: Connection) -> int:
    """How many shards the cluster has; fixed since it was made."""
    row = connection.execute(SQL["count_shards"]).fetchone()
    return 0 if row is None else int(row[0])


def check(connection: Connection, where: str) -> None:
    """Raises StoreUnavailable, or StoreTooNew, unless this is a server to write to with the schema that this Arke
    knows.
    """
    _check_server(connection, where)
    version, newest = _version(connection), len(migrations(MIGRATIONS))
    if version == 0:
        raise StoreUnavailable(f"{where}: there is no cluster in it: {INIT}")
    if version < newest:
        raise StoreUnavailable(f"{where}: its schema is {version}, this Arke needs {newest}: {INIT}")
    _check_not_newer(version, where)


def _check_server(connection: Connection, where: str) -> None:
    major = connection.info.server_version // 10_000
    if major < OLDEST_SERVER:
        raise StoreUnavailable(f"{where}: PostgreSQL {major} is too old: {OLDEST_SERVER} or newer is needed")
    row = connection.execute(SQL["in_recovery"]).fetchone()
    if row is not None and row[0]:
        raise StoreUnavailable(
            f"{where}: it is a standby and takes no writes: name the primary, or all of them with "
            "target_session_attrs=read-write"
        )


def _check_not_newer(version: int, where: str) -> None:
    newest = len(migrations(MIGRATIONS))
    if version > newest:
        raise StoreTooNew(
            f"{where}: written by a newer Arke (schema {version}, this one knows {newest}): upgrade Arke"
        )


def _version(connection: Connection) -> int:
    """The number of the last migration that ran; 0 for a schema without any."""
    row = connection.execute(SQL["there_is_a_version"]).fetchone()
    if row is None or not row[0]:
        return 0
    row = connection.execute(SQL["version"]).fetchone()
    return 0 if row is None else int(row[0])
