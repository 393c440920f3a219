"""The schema of a cluster in PostgreSQL: numbered migrations (`migrations/0001_shards.sql` ...), run by
`arke cluster init` on each server in the first schema of the role's search_path, and checked at each start.
"""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from psycopg.errors import InsufficientPrivilege, InvalidSchemaName, LockNotAvailable

from arke.errors import InvalidInput, StoreTooNew, StoreUnavailable
from arke.storage.ports.cluster import STORE
from arke.storage.postgres.connection import described, to_be_set_right
from arke.storage.sql_files import migrations, statements

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.storage.postgres.connection import Connection

MIGRATIONS: Final = Path(__file__).with_name("migrations")
SQL: Final = statements(Path(__file__).parent / "queries" / "schema.sql")
MAP: Final = statements(Path(__file__).parent / "queries" / "shard_map.sql")
INIT: Final = "run `arke cluster init`"
RIGHTS: Final = "the role needs a schema of its own, first in its search_path"
ANOTHERS: Final = "it belongs to another cluster: each needs a database, or a schema, of its own"
UID_KEY_BYTES: Final = 16
HASH_KEY_BYTES: Final = 32
CLUSTER_ID_BYTES: Final = 16
LOCKED_WITHIN: Final = "1s"
LOCK_REST_S: Final = 2.0
LOCK_TRIES: Final = 20
_CLUSTER, _SERVER = "cluster", "server"
"""Keys of the table `meta`: which cluster a server belongs to, and under which name."""


def initialise(connection: Connection, shards: int, where: str, others: Sequence[str] = ()) -> int:
    """Bring the directory's server up to date; where there are no shards yet, spread them over it and the `others`,
    and make those that are its own: all of it, or nothing. May be repeated, and by two at once. Returns the version
    before, 0 for a new one.

    Raises StoreUnavailable, StoreTooNew, and InvalidInput where there is another number of shards.
    """
    _check_server(connection, where)
    with made_by_this_role(where), connection.transaction():
        before = _migrate(connection, where)
        new_id = secrets.token_hex(CLUSTER_ID_BYTES)
        _become(connection, cluster_id(connection) or new_id, STORE, where)
        connection.execute(SQL["make_hash_key"], (secrets.token_bytes(HASH_KEY_BYTES),))
        there = count_shards(connection)
        if there == 0:
            names = [STORE, *others]
            servers = [names[shard % len(names)] for shard in range(shards)]
            connection.execute(MAP["place"], (list(range(shards)), servers))
        else:
            check_count(there, shards, where)
        mine = not_made(connection, STORE)
        _make_shards(connection, mine)
        connection.execute(MAP["made"], (STORE, mine))
    return before


def join(connection: Connection, cluster: str, name: str, shards: Sequence[int], where: str) -> int:
    """Make a server, or bring it up to date, on which a cluster has these shards: all of it, or nothing. Those that
    are there stay as they are. Returns the version before. Raises as `initialise` does.
    """
    _check_server(connection, where)
    with made_by_this_role(where), connection.transaction():
        before = _migrate(connection, where)
        if cluster_id(connection) is None and count_shards(connection):
            raise to_be_set_right(f"{where}: {ANOTHERS}")
        _become(connection, cluster, name, where)
        _make_shards(connection, shards)
    return before


class made_by_this_role:  # noqa: N801 - used as a verb
    """Says what a role needs that may not make a schema."""

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, InsufficientPrivilege | InvalidSchemaName):
            raise to_be_set_right(f"{self._where}: {described(error)}: {RIGHTS}") from error


def _migrate(connection: Connection, where: str) -> int:
    connection.execute(SQL["one_at_a_time"])
    before = version(connection, where)
    _check_not_newer(before, where)
    for step in migrations(MIGRATIONS)[before:]:
        _carry_out(connection, step.sql, where)
    connection.execute(SQL["drop_version"])
    connection.execute(SQL["put_version"], (len(migrations(MIGRATIONS)),))
    return before


def _carry_out(connection: Connection, step: str, where: str) -> None:
    """One migration, beside nodes that write. Who waits for a table has all others wait behind it: so not for long,
    and again after a rest.
    """
    for tries_left in reversed(range(LOCK_TRIES)):
        try:
            with connection.transaction():
                connection.execute(SQL["lock_timeout"], (LOCKED_WITHIN,))
                connection.execute(step)
                return
        except LockNotAvailable:
            if not tries_left:
                raise StoreUnavailable(
                    f"{where}: a table has been in use all the time (a shard is being moved, perhaps, or somebody "
                    "copies it): nothing was changed; try again when that has ended"
                ) from None
            time.sleep(LOCK_REST_S)


def _make_shards(connection: Connection, shards: Sequence[int]) -> None:
    keys = [secrets.token_bytes(UID_KEY_BYTES) for _ in shards]
    connection.execute(SQL["make_shards"], (list(shards), keys))


# --- which cluster's it is -----------------------------------------------------------------------------------


def cluster_id(connection: Connection) -> str | None:
    """The id of the cluster that a server belongs to."""
    return _meta(connection, _CLUSTER)


def _become(connection: Connection, cluster: str, name: str, where: str) -> None:
    check_member(connection, cluster, name, where)
    connection.execute(SQL["note"], (_CLUSTER, cluster.encode()))
    connection.execute(SQL["note"], (_SERVER, name.encode()))


def check_member(connection: Connection, cluster: str, name: str, where: str, *, new: bool = True) -> None:
    """Raises StoreUnavailable where this is a server of another cluster, or another one of this cluster. `new`: it
    may be one of none.
    """
    theirs, here = cluster_id(connection), _meta(connection, _SERVER)
    if theirs is None and not new:
        raise to_be_set_right(f"{where}: it is no server of this cluster yet: {INIT}")
    if theirs not in (None, cluster):
        raise to_be_set_right(f"{where}: {ANOTHERS}")
    if theirs is not None and here != name:
        raise to_be_set_right(
            f"{where}: it is {setting_of(here or '')} of this cluster and not {setting_of(name)}: each server "
            "needs a database, or a schema, of its own, and keeps its name"
        )


def setting_of(server: str) -> str:
    """The setting that names a server of the map."""
    return f"cluster.{STORE}" if server == STORE else f"cluster.servers: {server}"


def _meta(connection: Connection, key: str) -> str | None:
    row = connection.execute(SQL["get_note"], (key,), binary=True).fetchone()
    return None if row is None else row[0].decode()


# --- how many shards, and which -------------------------------------------------------------------------------


def count_shards(connection: Connection) -> int:
    """How many shards the cluster has; fixed since it was made."""
    row = connection.execute(MAP["count"]).fetchone()
    return 0 if row is None else int(row[0])


def check_count(there: int, wanted: int, where: str) -> None:
    """Raises InvalidInput."""
    if there != wanted:
        raise InvalidInput(
            f"{where}: this cluster has {there} shards, and that stays; the settings say {wanted}: set "
            f"cluster.shards to {there}, or give a new cluster a database, or a schema, of its own"
        )


def not_made(connection: Connection, name: str) -> list[int]:
    """The shards that the map has on a server, and that were never made there."""
    return [shard for (shard,) in connection.execute(MAP["not_made"], (name,))]


# --- whether it can be used -----------------------------------------------------------------------------------


def check(connection: Connection, where: str) -> None:
    """Raises StoreUnavailable, or StoreTooNew, unless this is a server to write to with the schema that this Arke
    knows.
    """
    _check_server(connection, where)
    found, newest = version(connection, where), len(migrations(MIGRATIONS))
    if found == 0:
        raise StoreUnavailable(f"{where}: there is no cluster in it: {INIT}")
    if found < newest:
        raise StoreUnavailable(f"{where}: its schema is {found}, this Arke needs {newest}: {INIT}")
    _check_not_newer(found, where)
    _check_rights(connection, where)


def check_makable(connection: Connection, where: str) -> int:
    """Raises as `check` does, unless the schema is there or may be made. Returns its version."""
    _check_server(connection, where)
    found = version(connection, where)
    _check_not_newer(found, where)
    if found < len(migrations(MIGRATIONS)):
        row = connection.execute(SQL["may_create"]).fetchone()
        if row is None or not row[0]:
            raise to_be_set_right(f"{where}: the role may not create tables there: {RIGHTS}")
    if found:
        _check_rights(connection, where)
    return found


def _check_server(connection: Connection, where: str) -> None:
    row = connection.execute(SQL["takes_no_writes"]).fetchone()
    standby, read_only = row or (False, False)
    if standby:
        raise to_be_set_right(
            f"{where}: it is a standby and takes no writes: name the primary, or all of them with "
            "target_session_attrs=read-write"
        )
    if read_only:
        raise to_be_set_right(
            f"{where}: it takes no writes: default_transaction_read_only is on, for the server, the database, the "
            "role, or in the DSN"
        )


def _check_rights(connection: Connection, where: str) -> None:
    """Of a role that may read only, or only some of it."""
    missing = [table for (table,) in connection.execute(SQL["not_writable"])]
    if missing:
        raise to_be_set_right(
            f"{where}: the role may not write to {', '.join(missing)}: use the role that made the schema, or "
            "grant it all on the tables"
        )


def _check_not_newer(found: int, where: str) -> None:
    newest = len(migrations(MIGRATIONS))
    if found > newest:
        raise StoreTooNew(
            f"{where}: written by a newer Arke (schema {found}, this one knows {newest}): upgrade Arke"
        )


def version(connection: Connection, where: str) -> int:
    """The number of the last migration that ran; 0 for a schema without any."""
    row = connection.execute(SQL["there_is_a_version"]).fetchone()
    if row is None or not row[0]:
        return 0
    with made_by_this_role(where):
        row = connection.execute(SQL["version"]).fetchone()
    return 0 if row is None else int(row[0])
