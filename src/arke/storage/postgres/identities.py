"""Owners of ids in PostgreSQL, for any number of nodes at once. See `arke.storage.ports.identities.Identities`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg.errors import DivisionByZero

from arke.domain.homes import home_of, is_home, person_of
from arke.domain.identity import MAX_DEVICES, Move, Owner, PersonRow, SharedId
from arke.domain.placement import shard_of
from arke.errors import StoreUnavailable
from arke.storage.ports.identities import PRUNED_AT_ONCE, SHARED_DAYS, Known
from arke.storage.postgres.database import columns, fetched, queries, transaction

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from arke.domain.identity import Claims, DeviceDay, IdKey, PersonKey
    from arke.storage.keyed_hash import KeyedHash
    from arke.storage.postgres.connection import Connection
    from arke.storage.postgres.database import Database, Row
    from arke.storage.postgres.files import PostgresFiles

SQL = queries("identities")

_HOME = ""
"""In the place of a person's home among the devices."""


class PostgresIdentities:
    """Nobody decides by what he remembers: each look-up and each claim is one round trip, whatever it is about.

    `hashes` and the number of `shards` are the directory's; `files` hears of new links, in the transaction that
    stores them.
    """

    def __init__(self, database: Database, hashes: KeyedHash, files: PostgresFiles, shards: int) -> None:
        self._database = database
        self._hashes = hashes
        self._files = files
        self._shards = shards

    # --- looking up -------------------------------------------------------------------------------------

    async def look_up(
        self,
        ids: Collection[IdKey],
        people: Collection[PersonKey] = (),
        takeovers: Collection[DeviceDay] = (),
        hashes: Collection[bytes] = (),
    ) -> Known:
        return await self._database.run(self._look_up, ids, people, list(takeovers), hashes)

    def _look_up(
        self,
        connection: Connection,
        ids: Collection[IdKey],
        people: Collection[PersonKey],
        days: Sequence[DeviceDay],
        hashes: Collection[bytes],
    ) -> Known:
        questions: list[tuple[str, list[list[Any]]]] = []
        if ids:
            digests = ((dpid, id_, self._hashes.digest(f"{dpid}:{id_}")) for dpid, id_ in ids)
            questions.append(("owners", columns(digests, 3)))
        if people:
            questions.append(("people", columns(map(_stored, people), 3)))
        if days:
            counted = ((day, self._hashes.digest(uuid)) for uuid, day in days)
            questions.append(("takeovers", columns(counted, 2)))
        if hashes:
            questions.append(("hashes", [[*hashes]]))
        with connection.pipeline():
            cursors = {
                name: connection.execute(SQL[name], bindings, binary=True) for name, bindings in questions
            }
        return _known({name: cursor.fetchall() for name, cursor in cursors.items()}, days)

    async def owned(self, dpid: int, ids: Sequence[str]) -> dict[str, str]:
        return dict(await self._database.rows(SQL["owned"], (dpid, [*ids])))

    async def links_begun(self) -> int:
        ((number,),) = await self._database.rows(SQL["links_begun"])
        return int(number)

    async def links_ended(self, begun: int) -> bool:
        """By the numbers of transactions: none with a lower one than the mark's, of whoever, is under way."""
        ((ended,),) = await self._database.rows(SQL["links_ended"], (begun,))
        return bool(ended)

    async def devices(self, keys: Collection[IdKey]) -> dict[IdKey, list[str]]:
        found: dict[IdKey, list[str]] = {}
        for dpid, id_, uuid in await self._database.rows(SQL["devices"], (*columns(keys, 2), MAX_DEVICES)):
            found.setdefault((dpid, id_), []).append(uuid)
        return found

    async def ids_of(self, uuids: Collection[str]) -> dict[str, list[IdKey]]:
        found: dict[str, list[IdKey]] = {}
        for uuid, dpid, id_ in await self._database.rows(SQL["ids_of"], ([*uuids],)):
            found.setdefault(uuid, []).append((dpid, id_))
        return found

    async def shared(self) -> list[tuple[bytes, SharedId]]:
        return [(digest, SharedId(*row)) for digest, *row in await self._database.rows(SQL["shared"])]

    # --- moves ------------------------------------------------------------------------------------------

    async def moves(self) -> list[Move]:
        return [Move(*row) for row in await self._database.rows(SQL["moves"])]

    async def moves_from(self, shards: Collection[int]) -> list[Move]:
        return [Move(*row) for row in await self._database.rows(SQL["moves_from"], ([*shards],))]

    async def unsettled(self, uuids: Collection[str]) -> set[str]:
        rows = await self._database.rows(SQL["moving"], {"uuids": [*uuids]})
        return {uuid for (uuid,) in rows}

    async def moved(self, move: Move) -> None:
        await self._database.rows(SQL["moved"], (*move.key, move.generation))

    # --- storing ----------------------------------------------------------------------------------------

    async def link(self, claims: Claims, *, promised: bool = False) -> set[IdKey]:  # noqa: ARG002
        """Durable on return, whatever was promised."""
        try:
            return await self._database.run(self._link, claims)
        except StoreUnavailable as error:
            if isinstance(error.__cause__, DivisionByZero):
                return claims.keys  # some invented device would have had a part of its ids
            raise

    async def settled(self) -> int:
        return 0

    async def settle(self, generation: int) -> None:
        """Nothing: each link is durable."""

    def _link(self, connection: Connection, claims: Claims) -> set[IdKey]:
        """All in one round trip: what follows from a claim asks the table whether the claim stands."""
        replaced = [key for key in claims.owners if claims.before.get(key)]
        indivisible = claims.indivisible
        with transaction(connection):
            connection.execute(SQL["begin_link"])
            stored = connection.execute(SQL["claim"], (claims.at, *_claimed(claims), *_names(claims)))
            if replaced:
                unstored = connection.execute(SQL["unclaim"], columns(replaced, 2))
            if indivisible:
                wanted = (
                    (uuid, *key, *_expected(claims, key))
                    for uuid, keys in indivisible.items()
                    for key in keys
                )
                connection.execute(SQL["indivisible"], columns(wanted, 5))
            if claims.people:
                self._link_people(connection, claims)
            if claims.moves:
                connection.execute(SQL["add_moves"], self._moves(claims))
            if claims.takeovers:
                self._count(connection, claims.takeovers.items())
            if claims.shared:
                self._note_shared(connection, claims.shared.items())
        lost = claims.owners.keys() - stored.fetchall()
        return lost | set(unstored.fetchall()) if replaced else lost

    def _link_people(self, connection: Connection, claims: Claims) -> None:
        rows = [(*_stored(key), row) for key, row in claims.people.items()]
        linked = (
            (dpid, id_, uuid, row.generation, row.state, *_expected(claims, (dpid, id_)))
            for dpid, id_, uuid, row in rows
        )
        connection.execute(SQL["link_people"], (claims.at, *columns(linked, 7), *_names(claims)))
        self._files.join_linked(
            connection, [(dpid, id_, uuid, row.generation) for dpid, id_, uuid, row in rows]
        )
        keys = {key[:2] for key in claims.people}
        connection.execute(SQL["bound_people"], (*columns(keys, 2), MAX_DEVICES))

    def _moves(self, claims: Claims) -> list[list[Any]]:
        moves = (
            (
                *move.key,
                move.old_uuid,
                move.new_uuid,
                move.at,
                move.generation,
                shard_of(move.old_uuid, self._shards),
                *_expected(claims, move.key),
            )
            for move in claims.moves
        )
        return columns(moves, 9)

    def _count(self, connection: Connection, takeovers: Iterable[tuple[DeviceDay, int]]) -> None:
        rows = [(day, self._hashes.digest(uuid), count) for (uuid, day), count in takeovers]
        connection.execute(SQL["count_takeovers"], columns(rows, 3))
        newest = max(day for day, _, _ in rows)
        connection.execute(SQL["prune_takeovers"], (newest, PRUNED_AT_ONCE))

    def _note_shared(self, connection: Connection, shared: Iterable[tuple[IdKey, SharedId]]) -> None:
        rows = [(self._hashes.digest(f"{key[0]}:{key[1]}"), *one) for key, one in shared]
        connection.execute(SQL["note_shared"], columns(rows, 4))
        newest = max(day for *_, day in rows)
        connection.execute(SQL["prune_shared"], (newest - SHARED_DAYS,))

    # --- forgetting -------------------------------------------------------------------------------------

    def forget(
        self, connection: Connection, uuids: Sequence[str], ids: Collection[IdKey]
    ) -> list[IdKey] | None:
        """Within a transaction: devices and ids go, but for whose the ids were first. Returns the ids that had an
        owner; None, and nothing has gone, where an id is on its way from or to a device.
        """
        asked, homes = set(ids), [person_of(uuid) for uuid in uuids if is_home(uuid)]
        held = fetched(connection, SQL["hold"], ([*uuids], *columns(asked, 2)))
        if fetched(connection, SQL["moving"], {"uuids": [*uuids]}):
            return None
        those = columns(((*key, key in asked) for key in held), 3)
        removed = fetched(connection, SQL["forget_ids"], (*those, [*uuids]))
        names = ("dpids", "ids", "home_dpids", "home_ids")
        keys = dict(zip(names, (*columns(asked, 2), *columns(homes, 2)), strict=True))
        connection.execute(SQL["forget_people"], {"uuids": [*uuids], **keys})
        connection.execute(SQL["forget_moves"], columns(asked, 2))
        firsts = {
            self._hashes.digest(f"{dpid}:{id_}"): first or self._hashes.digest(owner)
            for dpid, id_, owner, first in removed
            if first is not None or not is_home(owner)
        }
        connection.execute(SQL["remember_first"], columns(firsts.items(), 2))
        return [(dpid, id_) for dpid, id_, _, _ in removed]


def _known(answers: dict[str, list[Row]], days: Sequence[DeviceDay]) -> Known:
    known = Known({}, {}, {}, {}, set(), set(), 0)
    for dpid, id_, uuid, generation, state, first, gone, unsettled in answers.get("owners", ()):
        if uuid is None:
            known.firsts[dpid, id_] = gone
            continue
        known.owners[dpid, id_] = Owner(uuid, generation, state, first)
        if unsettled:
            known.unsettled.add((dpid, id_))
    for dpid, id_, uuid, generation, state in answers.get("people", ()):
        known.people[dpid, id_, uuid or home_of((dpid, id_))] = PersonRow(generation, state)
    for place, count in answers.get("takeovers", ()):
        known.takeovers[days[place - 1]] = count
    listed = answers.get("hashes", ())
    known.suppressed.update(digest for _, digest in listed if digest is not None)
    return known._replace(edition=listed[0][0]) if listed else known


def _stored(key: PersonKey) -> PersonKey:
    """A device of a person, as the table has it."""
    dpid, id_, uuid = key
    return dpid, id_, _HOME if uuid == home_of((dpid, id_)) else uuid


def _claimed(claims: Claims) -> list[list[Any]]:
    before = claims.before
    owners = (
        (*key, owner.uuid, owner.generation, owner.state, owner.first, before.get(key) or None)
        for key, owner in claims.owners.items()
    )
    return columns(owners, 7)


def _names(claims: Claims) -> list[list[Any]]:
    """What none of the claims may have on the suppression list."""
    return columns(((*key, digest) for key, digest in claims.names), 3)


def _expected(claims: Claims, key: IdKey) -> tuple[str, int] | tuple[None, None]:
    """The mapping that has to be stored for what follows from it to be; none where the id is not claimed."""
    owner = claims.owners.get(key)
    return (owner.uuid, owner.generation) if owner is not None else (None, None)
