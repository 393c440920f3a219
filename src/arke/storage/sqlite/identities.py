"""Owners of ids and the suppression list in the directory's SQLite file. See `arke.storage.ports.identities`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import apsw
import msgspec

from arke.domain.homes import is_home
from arke.domain.identity import MAX_DEVICES, Move, Owner, PersonRow, SharedId
from arke.domain.placement import shard_of
from arke.errors import StoreUnavailable
from arke.storage.committer import SMALL_ROWS
from arke.storage.keyed_hash import KeyedHash
from arke.storage.ports.identities import PRUNED_AT_ONCE, SHARED_DAYS, Known, Lifted, Listing
from arke.storage.sql_files import statements
from arke.storage.sqlite.connection import checkpoint, store_errors
from arke.storage.sqlite.promises import settled_in

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from arke.domain.identity import Claims, DeviceDay, IdKey, PersonKey
    from arke.storage.sqlite.connection import Bindings, Database
    from arke.storage.sqlite.files import SqliteFiles

A = TypeVar("A")
T = TypeVar("T")

ASKED_ONE_BY_ONE = 4
"""Ids for which a statement of many does not pay."""
ASKED_TOGETHER = 1_000

IDENTITIES = statements(Path(__file__).with_name("queries") / "identities.sql")
SUPPRESSION = statements(Path(__file__).with_name("queries") / "suppression.sql")


class _Torn(Exception):
    """An invented device would have a part of its ids."""


def edition_of(database: Database) -> int:
    """The newest edition of the suppression list."""
    row = database.row(SUPPRESSION["edition"])
    return 1 if row is None else int(row[0])


class SqliteIdentities:
    """`hashes` are the directory's; `files` hears of new links, in the transaction that stores them."""

    def __init__(self, database: Database, hashes: KeyedHash, files: SqliteFiles) -> None:
        self._database = database
        self._hashes = hashes
        self._files = files
        self._promises = self._doubtful = False
        self._some_forgotten = database.row(IDENTITIES["some_first_device"]) is not None

    async def look_up(
        self,
        ids: Collection[IdKey],
        people: Collection[PersonKey] = (),
        takeovers: Collection[DeviceDay] = (),
        hashes: Collection[bytes] = (),
    ) -> Known:
        known = Known({}, {}, {}, {}, set(), set(), edition_of(self._database) if hashes else 0)
        ask = self._database.nearest.execute
        person, count = IDENTITIES["person"], IDENTITIES["takeovers"]
        moving = IDENTITIES["is_moving"]
        with store_errors(self._database.where):
            known.owners.update(self._owners(ids))
            if self._some_forgotten:
                for key in ids:
                    if key not in known.owners and (first := self._first_device(key)) is not None:
                        known.firsts[key] = first
            # After the owners: one that was stored just now has come with its move.
            if known.owners and ask(IDENTITIES["some_move"]).fetchone() is not None:
                known.unsettled.update(key for key in known.owners if ask(moving, key).fetchone() is not None)
            for device in people:
                if (row := ask(person, device).fetchone()) is not None:
                    known.people[device] = PersonRow(*row)
            for uuid, day in takeovers:
                if (row := ask(count, (day, self._hashes.digest(uuid))).fetchone()) is not None:
                    known.takeovers[uuid, day] = row[0]
            for digest in hashes:
                if ask(SUPPRESSION["is_suppressed"], (digest,)).fetchone() is not None:
                    known.suppressed.add(digest)
        return known

    async def owned(self, dpid: int, ids: Sequence[str]) -> dict[str, str]:
        ask, wanted = self._database.nearest.execute, sorted(ids)
        found: dict[str, str] = {}
        with store_errors(self._database.where):
            for start in range(0, len(wanted), ASKED_TOGETHER):
                asked = apsw.carray(tuple(wanted[start : start + ASKED_TOGETHER]))
                rows: list[tuple[Any, ...]] = ask(IDENTITIES["owned"], (dpid, asked)).fetchall()
                found.update(rows)
        return found

    def _owners(self, ids: Collection[IdKey]) -> dict[IdKey, Owner]:
        ask = self._database.nearest.execute
        owners: dict[IdKey, Owner] = {}
        if len(ids) <= ASKED_ONE_BY_ONE:
            for key in ids:
                if (row := ask(IDENTITIES["owner"], key).fetchone()) is not None:
                    owners[key] = Owner._make(row)
            return owners
        by_source: dict[int, list[str]] = {}
        for dpid, id_ in ids:
            by_source.setdefault(dpid, []).append(id_)
        for dpid, some in by_source.items():
            some.sort()  # neighbours in the file are asked for one after the other
            for start in range(0, len(some), ASKED_TOGETHER):
                asked = apsw.carray(tuple(some[start : start + ASKED_TOGETHER]))
                for id_, uuid, generation, state, first in ask(IDENTITIES["owners"], (dpid, asked)):
                    owners[dpid, id_] = Owner(uuid, generation, state, first)
        return owners

    def _first_device(self, key: IdKey) -> bytes | None:
        digest = self._hashes.digest(f"{key[0]}:{key[1]}")
        row = self._database.reads.execute(IDENTITIES["first_device"], (digest,)).fetchone()
        return None if row is None else row[0]

    async def links_begun(self) -> int:
        return 0

    async def links_ended(self, begun: int) -> bool:  # noqa: ARG002 - one is stored after the other
        return True

    async def devices(self, keys: Collection[IdKey]) -> dict[IdKey, list[str]]:
        rows = {key: self._database.rows(IDENTITIES["devices"], (*key, MAX_DEVICES)) for key in keys}
        return {key: [uuid for (uuid,) in found] for key, found in rows.items() if found}

    async def ids_of(self, uuids: Collection[str]) -> dict[str, list[IdKey]]:
        rows = {uuid: self._database.rows(IDENTITIES["ids_of"], (uuid,)) for uuid in uuids}
        return {uuid: [(dpid, id_) for dpid, id_ in found] for uuid, found in rows.items() if found}

    async def shared(self) -> list[tuple[bytes, SharedId]]:
        return [(digest, SharedId(*row)) for digest, *row in self._database.rows(IDENTITIES["shared"])]

    async def moves(self) -> list[Move]:
        return [Move(*row) for row in self._database.rows(IDENTITIES["moves"])]

    async def moves_from(self, shards: Collection[int]) -> list[Move]:
        row = self._database.row(IDENTITIES["shards"])
        count = 1 if row is None else int(row[0])
        oldest = (Move(*row) for row in self._database.rows(IDENTITIES["oldest_moves"]))
        return [move for move in oldest if shard_of(move.old_uuid, count) in shards]

    async def unsettled(self, uuids: Collection[str]) -> set[str]:
        return {uuid for (uuid,) in self._database.rows(IDENTITIES["moving_devices"])}.intersection(uuids)

    async def moved(self, move: Move) -> None:
        await self._database.write(self._database.run, IDENTITIES["moved"], (*move.key, move.generation))

    # --- storing ----------------------------------------------------------------------------------------

    async def link(self, claims: Claims, *, promised: bool = False) -> set[IdKey]:
        small = claims.rows <= SMALL_ROWS
        try:
            if promised:
                self._promises = True
                return await self._database.write_unsynced(self._link, claims, small=small)
            return await self._synced(self._link_synced, claims, small=small)
        except _Torn:
            return claims.keys

    async def _synced(self, work: Callable[[A], T], about: A, *, small: bool) -> T:
        """After a sync that failed nobody knows if what was written without one before is on disk, or ever will be:
        so all of it goes into the file first.
        """
        try:
            if self._doubtful:
                await self._database.committer.run(
                    checkpoint, self._database.connection, self._database.where
                )
                self._doubtful = False
            write = self._database.write_small if small else self._database.write
            return await write(work, about)
        except StoreUnavailable:
            self._doubtful = True
            raise

    async def settled(self) -> int:
        with store_errors(self._database.where):
            return settled_in(self._database.reads)

    async def settle(self, generation: int) -> None:
        await self._synced(self._settle, generation, small=True)

    def _settle(self, generation: int) -> None:
        """Deleted and inserted: a row that stays what it was is not written, and then nothing is synced."""
        run = self._database.connection.execute
        known = run(IDENTITIES["unsettle"]).fetchone()
        run(IDENTITIES["settle"], (generation if known is None else max(generation, known[0]),))

    def _link_synced(self, claims: Claims) -> set[IdKey]:
        lost = self._link(claims)
        if self._promises:
            self._settle(0)  # what was promised before is to be on disk with it, also where it changes no row
        return lost

    def _link(self, claims: Claims) -> set[IdKey]:
        indivisible = claims.indivisible.values()
        barred = self._suppressed(claims.names) if claims.names else set()
        if barred:
            owners = {key: owner for key, owner in claims.owners.items() if key not in barred}
            claims = msgspec.structs.replace(claims, owners=owners)
        lost = barred | self._claim(claims)
        if lost and any(keys & lost and keys - lost for keys in indivisible):
            raise _Torn
        people, moves = claims.people, claims.moves
        if lost:
            people = {key: row for key, row in people.items() if key[:2] not in lost}
            moves = [move for move in moves if move.key not in lost]
        run = self._database.connection.executemany
        if people:
            run(
                IDENTITIES["link_person"],
                ((*key, claims.at, row.generation, row.state) for key, row in people.items()),
            )
            run(IDENTITIES["bound_person"], {(dpid, id_, MAX_DEVICES) for dpid, id_, _ in people})
            self._files.note_linked(people)
        if moves:
            run(IDENTITIES["add_move"], (msgspec.structs.astuple(move) for move in moves))
        if claims.takeovers:
            self._count(claims.takeovers.items())
        if claims.shared:
            self._note_shared(claims.shared.items())
        return lost

    def _suppressed(self, names: Iterable[tuple[IdKey, bytes]]) -> set[IdKey]:
        ask = self._database.connection.execute
        return {key for key, digest in names if ask(SUPPRESSION["is_suppressed"], (digest,)).fetchone()}

    def _claim(self, claims: Claims) -> set[IdKey]:
        """Store the owners; the ids whose stored mapping is not the one that was decided from."""
        connection, before = self._database.connection, claims.before
        new: list[Bindings] = []
        moved: list[Bindings] = []
        restated: list[Bindings] = []
        for key, owner in claims.owners.items():
            uuid, generation, state, first = owner
            if not (known := before.get(key, 0)):
                new.append((*key, uuid, claims.at, generation, state, first))
            elif generation != known:
                moved.append((*key, uuid, claims.at, generation, state, first, known))
            else:
                restated.append((*key, claims.at, state, known))
        changes = connection.total_changes()
        connection.executemany(IDENTITIES["claim_new"], new)
        if moved:
            connection.executemany(IDENTITIES["claim"], moved)
        if restated:
            connection.executemany(IDENTITIES["restate"], restated)
        if connection.total_changes() - changes == len(claims.owners):
            return set()
        return {key for key, owner in claims.owners.items() if not self._stands(key, owner)}

    def _stands(self, key: IdKey, owner: Owner) -> bool:
        row = self._database.connection.execute(IDENTITIES["owner"], key).fetchone()
        return row is not None and Owner(*row) == owner

    def _count(self, takeovers: Iterable[tuple[DeviceDay, int]]) -> None:
        rows = [(day, self._hashes.digest(uuid), count) for (uuid, day), count in takeovers]
        self._database.connection.executemany(IDENTITIES["count_takeovers"], rows)
        newest = max(day for day, _, _ in rows)
        self._database.connection.execute(IDENTITIES["prune_takeovers"], (newest, PRUNED_AT_ONCE))

    def _note_shared(self, shared: Iterable[tuple[IdKey, SharedId]]) -> None:
        rows = [(self._hashes.digest(f"{key[0]}:{key[1]}"), *one) for key, one in shared]
        self._database.connection.executemany(IDENTITIES["note_shared"], rows)
        oldest = max(one.day for _, one in shared) - SHARED_DAYS
        self._database.connection.execute(IDENTITIES["prune_shared"], (oldest,))

    # --- forgetting -------------------------------------------------------------------------------------

    def forget(self, uuids: Collection[str], ids: Collection[IdKey]) -> list[IdKey] | None:
        """Within a transaction of the directory: devices and ids go, but for whose the ids were first. Returns the
        ids that had an owner; None, and nothing has gone, where an id is on its way from or to a device.
        """
        run = self._database.connection.execute
        if any(run(IDENTITIES["moves_of_device"], (uuid,)).fetchone() is not None for uuid in uuids):
            return None
        removed: list[tuple[int, str, str, bytes | None]] = []
        for uuid in uuids:
            removed += run(IDENTITIES["forget_ids_of_device"], (uuid,))
            run(IDENTITIES["forget_person_device"], (uuid,))
        for key in ids:
            removed += run(IDENTITIES["forget_id"], key)
            run(IDENTITIES["forget_person"], key)
            run(IDENTITIES["forget_moves"], key)
        for dpid, partner_id, owner, first in removed:
            if first is not None or not is_home(owner):
                digest = self._hashes.digest(f"{dpid}:{partner_id}")
                run(IDENTITIES["remember_first"], (digest, first or self._hashes.digest(owner)))
        self._some_forgotten = self._some_forgotten or bool(removed)
        return [(dpid, partner_id) for dpid, partner_id, _, _ in removed]


class SqliteSuppression:
    """`hashes` are the directory's."""

    def __init__(self, database: Database, hashes: KeyedHash) -> None:
        self._database = database
        self._hashes = hashes

    async def suppress(self, texts: Mapping[int, Iterable[str]], at: int) -> Listing:
        rows = [
            (number, self._hashes.digest(text), ":" not in text)
            for number, some in texts.items()
            for text in some
        ]
        return await self._database.write(self._suppress, [*texts], rows, at)

    def _suppress(self, numbers: list[int], rows: list[tuple[int, bytes, bool]], at: int) -> Listing:
        ask = self._database.connection.execute
        for number in numbers:
            if ask(SUPPRESSION["has_ended"], (number,)).fetchone() is not None:
                raise StoreUnavailable(f"privacy request {number} has ended meanwhile")
        hashes = {digest for _, digest, _ in rows}
        run = self._database.connection.executemany
        run(SUPPRESSION["suppress"], ((digest, at) for digest in hashes))
        run(SUPPRESSION["want"], rows)
        run(SUPPRESSION["unlift"], ((digest,) for digest in hashes))
        return Listing(hashes, self._next_edition())

    def _next_edition(self) -> int:
        ((edition,),) = self._database.connection.execute(SUPPRESSION["next_edition"])
        return int(edition)

    async def edition(self) -> int:
        return edition_of(self._database)

    async def hashes(self) -> set[bytes]:
        return {digest for (digest,) in self._database.rows(SUPPRESSION["hashes"])}

    async def wanted_by(self, digest: bytes) -> list[int]:
        return [number for (number,) in self._database.rows(SUPPRESSION["wanted_by"], (digest,))]

    async def lift(self, digest: bytes, wanted_by: Collection[int], at: int, *, device: bool) -> bool:
        return await self._database.write(self._lift, digest, wanted_by, at, device=device)

    def _lift(self, digest: bytes, wanted_by: Collection[int], at: int, *, device: bool) -> bool:
        run = self._database.connection.execute
        for number in wanted_by:
            run(SUPPRESSION["unwant"], (digest, number))
        self._next_edition()
        kept = run(SUPPRESSION["still_wanted"], (digest,)).fetchone() is not None
        return not kept and self._take_off(digest, at, device=device)

    def _take_off(self, digest: bytes, at: int, *, device: bool) -> bool:
        run = self._database.connection.execute
        found = list(run(SUPPRESSION["take_off"], (digest,)))
        if found and device:
            run(SUPPRESSION["note_lifted"], (digest, at))
        return bool(found)

    async def lift_request(self, number: int, at: int) -> Lifted:
        return await self._database.write(self._lift_request, number, at)

    def _lift_request(self, number: int, at: int) -> Lifted:
        run = self._database.connection.execute
        lifted = Lifted(set(), set())
        self._next_edition()
        for digest, device in list(run(SUPPRESSION["unwant_request"], (number,))):
            if run(SUPPRESSION["still_wanted"], (digest,)).fetchone() is not None:
                lifted.kept.add(digest)
            else:
                lifted.gone.add(digest)
                self._take_off(digest, at, device=bool(device))
        return lifted

    async def lifted(self) -> dict[bytes, int]:
        return dict(self._database.rows(SUPPRESSION["lifted"]))
