"""Mappings that a directory may lose with the power, and its shards keep: found by whoever reads the files while no
engine runs. An engine asks its shards when it starts: see `arke.engine.identity.mappings`.
"""

from __future__ import annotations

from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from arke.domain.stored_profile import decode_profile
from arke.storage.keyed_hash import KeyedHash
from arke.storage.sql_files import statements
from arke.storage.sqlite.connection import open_database, transaction
from arke.storage.sqlite.schema import DIRECTORY
from arke.storage.sqlite.shard_reads import SQL as OF_SHARDS
from arke.storage.sqlite.shard_reads import promised_ids

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import AbstractContextManager

    import apsw

    from arke.domain.identity import IdKey, Mapped

SQL = statements(Path(__file__).with_name("queries") / "promises.sql")


def settled_in(directory: apsw.Connection) -> int:
    """See `Identities.settled`."""
    row = directory.execute(SQL["meta"], ("settled",)).fetchone()
    return 0 if row is None else int(row[0])


def has_begun(directory: apsw.Connection) -> bool:
    """Whether shards may have kept anything: an engine has come up on all of them, or, in a file of a version
    that does not note it, something is kept here. A start that was broken off before leaves its key and how many
    shards there are to be.
    """
    if directory.execute(SQL["more_meta"]).fetchone() is not None:
        return True
    tables = [name for (name,) in directory.execute(SQL["tables"])]
    some = (f'SELECT 1 FROM "{name}" LIMIT 1' for name in tables)  # noqa: S608 - of the schema
    return any(directory.execute(query).fetchone() is not None for query in some)


def lost_of(
    directory: apsw.Connection, shards: Iterable[AbstractContextManager[apsw.Connection]]
) -> list[Mapped]:
    """The mappings that its shards have kept, and whose id nobody owns in the directory, nor was it forgotten on
    request; of an id the newest one.
    """
    after = settled_in(directory)
    kept: list[Mapped] = []
    for shard in shards:
        with shard as connection:
            kept += _kept_in(connection, after)
    ask = directory.execute
    ((hash_key,),) = ask(SQL["meta"], ("hash_key",))
    hashes = KeyedHash(bytes(hash_key))

    def known(key: IdKey) -> bool:
        name = hashes.digest(f"{key[0]}:{key[1]}")
        return (
            ask(SQL["is_owned"], key).fetchone() is not None
            or ask(SQL["was_forgotten"], (name,)).fetchone() is not None
        )

    newest = {one.key: one for one in sorted(kept, key=attrgetter("generation"))}
    return [one for key, one in newest.items() if not known(key)]


def _kept_in(shard: apsw.Connection, after: int) -> Iterator[Mapped]:
    """What a shard has of mappings later than `after`; nothing where its file is older than promises."""
    if shard.execute(OF_SHARDS["has_promises"]).fetchone() is not None:
        for newest, body in shard.execute(OF_SHARDS["promised"], (after,)):
            yield from promised_ids(decode_profile(body), after, newest)


def put_lost(directory: apsw.Connection, lost: Iterable[Mapped]) -> None:
    """Within a transaction."""
    directory.executemany(
        SQL["put_owner"], [(one.dpid, one.id, one.uuid, one.at, one.generation) for one in lost]
    )


def put_lost_into(path: Path, lost: Iterable[Mapped]) -> None:
    """Into a directory's file that nobody has open. Raises StoreTooNew, StoreUnavailable."""
    connection = open_database(path, DIRECTORY)
    try:
        with transaction(connection, str(path)):
            put_lost(connection, lost)
    finally:
        connection.close()
