"""The suppression list in PostgreSQL. See `arke.storage.ports.identities.SuppressionList`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.errors import StoreUnavailable
from arke.storage.ports.identities import Lifted, Listing
from arke.storage.postgres.database import InOrder, columns, fetched, queries

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from arke.storage.keyed_hash import KeyedHash
    from arke.storage.postgres.connection import Connection
    from arke.storage.postgres.database import Database

SQL = queries("suppression")


class PostgresSuppression:
    """`hashes` are the directory's."""

    def __init__(self, database: Database, hashes: KeyedHash) -> None:
        self._database = database
        self._changes = InOrder(database)
        self._hashes = hashes

    async def suppress(self, texts: Mapping[int, Iterable[str]], at: int) -> Listing:
        rows = {
            (number, self._hashes.digest(text), ":" not in text)
            for number, some in texts.items()
            for text in some
        }
        hashes = {digest for _, digest, _ in rows}
        edition = await self._changes.run(_suppress, [*texts], rows, [*hashes], at)
        return Listing(hashes, edition)

    async def edition(self) -> int:
        ((edition,),) = await self._database.rows(SQL["edition"])
        return int(edition)

    async def hashes(self) -> set[bytes]:
        return {digest for (digest,) in await self._database.rows(SQL["hashes"])}

    async def wanted_by(self, digest: bytes) -> list[int]:
        return [number for (number,) in await self._database.rows(SQL["wanted_by"], (digest,))]

    async def lift(self, digest: bytes, wanted_by: Collection[int], at: int, *, device: bool) -> bool:
        return await self._changes.run(_lift, digest, [*wanted_by], at, device=device)

    async def lift_request(self, number: int, at: int) -> Lifted:
        return await self._changes.run(_lift_request, number, at)

    async def lifted(self) -> dict[bytes, int]:
        return dict(await self._database.rows(SQL["lifted"]))


def _suppress(
    connection: Connection,
    numbers: list[int],
    rows: Collection[tuple[int, bytes, bool]],
    hashes: list[bytes],
    at: int,
) -> int:
    with connection.transaction():
        ended = [number for number, done in fetched(connection, SQL["hold_requests"], (numbers,)) if done]
        if ended:
            raise StoreUnavailable(f"privacy request {ended[0]} has ended meanwhile")
        with connection.pipeline():
            connection.execute(SQL["suppress"], (at, hashes))
            connection.execute(SQL["want"], columns(rows, 3))
            connection.execute(SQL["unlift"], (hashes,))
            edition = connection.execute(SQL["next_edition"])
        ((number,),) = edition.fetchall()
    return int(number)


def _lift(connection: Connection, digest: bytes, wanted_by: list[int], at: int, *, device: bool) -> bool:
    with connection.transaction():
        connection.execute(SQL["hold"], ([digest],))
        connection.execute(SQL["unwant"], (digest, wanted_by))
        kept = fetched(connection, SQL["still_wanted"], ([digest],))
        found = _taken_off(connection, {} if kept else {digest: device}, at)
        connection.execute(SQL["next_edition"])
        return bool(found)


def _lift_request(connection: Connection, number: int, at: int) -> Lifted:
    with connection.transaction():
        connection.execute(SQL["hold_request"], (number,))
        wanted: dict[bytes, bool] = dict(fetched(connection, SQL["unwant_request"], (number,)))
        kept = {digest for (digest,) in fetched(connection, SQL["still_wanted"], ([*wanted],))}
        gone = {digest: device for digest, device in wanted.items() if digest not in kept}
        _taken_off(connection, gone, at)
        connection.execute(SQL["next_edition"])
    return Lifted(set(gone), kept)


def _taken_off(connection: Connection, hashes: Mapping[bytes, bool], at: int) -> list[bytes]:
    """Of the hashes, each with whether it is a device's, those that were on the list."""
    found = [digest for (digest,) in fetched(connection, SQL["take_off"], ([*hashes],))]
    devices = [digest for digest in found if hashes[digest]]
    if devices:
        connection.execute(SQL["note_lifted"], (at, devices))
    return found
