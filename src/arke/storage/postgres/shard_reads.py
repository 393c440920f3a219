"""What is read of shards in PostgreSQL, over whichever connection is given: each call is one round trip, but for
devices whose hash is another's. What groups and lanes of several shards ask may be one call.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from arke.domain.batch import BatchRun
from arke.domain.change import JournalRecord
from arke.domain.ledger import LedgerRow, Owed, decode_entry
from arke.domain.stored_profile import decode_profile
from arke.storage.ports.shard import DeviceRows, DeviceStates, Ledger, Loaded, StoredDevice
from arke.storage.postgres.places import Places
from arke.storage.sql_files import statements

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    import psycopg

    from arke.domain.profile import Profile
    from arke.storage.keyed_hash import DeviceHashes
    from arke.storage.ports.shard import Needs, OwedPage
    from arke.storage.postgres.connection import Connection

    Cursor = psycopg.Cursor[tuple[Any, ...]]

SQL: Final = statements(Path(__file__).parent / "queries" / "shard.sql")

_decode_batch = msgspec.msgpack.Decoder(BatchRun).decode
decode_records = msgspec.msgpack.Decoder(list[JournalRecord]).decode


class ShardReads:
    """Reads of one shard. Synchronous: a session's thread waits for the server."""

    def __init__(self, shard: int, hashes: DeviceHashes) -> None:
        self.shard = shard
        self.hashes = hashes

    def _ask(self, connection: Connection, name: str, *parameters: Any) -> Cursor:
        return connection.execute(SQL[name], (self.shard, *parameters), binary=True)

    def _ask_named(self, connection: Connection, name: str, **parameters: Any) -> Cursor:
        return connection.execute(SQL[name], {"shard": self.shard, **parameters}, binary=True)

    # --- devices ----------------------------------------------------------------------------------------

    def find(self, connection: Connection, uuid: str) -> tuple[int, Profile] | None:
        """A stored device by its UUID."""
        devices, fresh = self._settle(connection, Places(self.hashes), [uuid])
        uid, profile = devices[uuid]
        return None if uid in fresh else (uid, profile)

    def _settle(
        self, connection: Connection, places: Places, uuids: Collection[str]
    ) -> tuple[dict[str, tuple[int, Profile]], set[int]]:
        """Where devices stand, and which uids are free still. Looks as often as hashes are others'."""
        while True:
            found, fresh, unseen = places.find(uuids)
            if not unseen:
                return found, fresh
            places.look(unseen, _profiles(self._ask(connection, "profiles", list(unseen))))

    def device(self, connection: Connection, uuid: str) -> StoredDevice | None:
        found = self.find(connection, uuid)
        if found is None:
            return None
        uid, profile = found
        rows = self.rows(connection, [uid])[uid]
        return StoredDevice(uid, profile, rows.ledger, rows.owed)

    def rows(self, connection: Connection, uids: Sequence[int]) -> dict[int, DeviceRows]:
        wanted = list(uids)
        with connection.pipeline():
            ledger = self._ask(connection, "ledger_rows", wanted)
            owed = self._ask(connection, "owed_rows", wanted)
        found = {uid: DeviceRows() for uid in uids}
        for uid, destination, dpid, partner_id, entry in ledger:
            found[uid].ledger.append(LedgerRow(uid, destination, dpid, partner_id, decode_entry(entry)))
        for row in owed:
            found[row[1]].owed.append(Owed(*row))
        return found

    def realised_traits(self, connection: Connection) -> dict[int, int]:
        return dict(self._ask(connection, "realised_traits"))

    def segment_sizes(self, connection: Connection, segments: Sequence[int] | None) -> dict[int, int]:
        if segments is None:
            return dict(self._ask(connection, "all_segment_sizes"))
        return dict(self._ask(connection, "segment_sizes", list(segments)))

    # --- pages ------------------------------------------------------------------------------------------

    def _owed_page(self, connection: Connection, asked: OwedPage) -> Cursor:
        destination, after, limit = asked
        if destination is None:
            return self._ask(connection, "owed_page", *after, limit)
        return self._ask(connection, "owed_page_of_destination", *after, destination, limit)

    def owed_page(self, connection: Connection, asked: OwedPage) -> list[Owed]:
        return _owed(self._owed_page(connection, asked))

    def owed_due(
        self, connection: Connection, destination: int, until: int, after: tuple[int, int], limit: int
    ) -> list[Owed]:
        return _owed(self._ask(connection, "owed_due", destination, until, *after, limit))

    def owed_tried(
        self, connection: Connection, destination: int, until: float, after: tuple[float, int], limit: int
    ) -> list[Owed]:
        return _owed(
            self._ask(connection, "owed_tried", destination, float(until), float(after[0]), after[1], limit)
        )

    def owed_in_hand(self, connection: Connection, destination: int) -> list[int]:
        return [uid for (uid,) in self._ask(connection, "owed_in_hand", destination)]

    def next_owed(self, connection: Connection, destination: int) -> int | None:
        return _first(self._ask(connection, "next_owed", destination))

    def owed_counts(self, connection: Connection) -> dict[int, int]:
        return dict(self._ask(connection, "owed_counts"))

    def journal(self, connection: Connection, after: int, limit: int) -> list[JournalRecord]:
        return _records(self._journal(connection, after, limit), after, limit)

    def _journal(self, connection: Connection, after: int, limit: int) -> Cursor:
        return self._ask_named(connection, "journal", after=after, limit=limit)

    def uids(self, connection: Connection, after: int, limit: int) -> list[int]:
        return [uid for (uid,) in self._ask(connection, "uids", after, limit)]

    def profile_bodies(self, connection: Connection, after: int, limit: int) -> list[tuple[int, bytes]]:
        return self._ask(connection, "profile_bodies", after, limit).fetchall()

    # --- where everything stands ------------------------------------------------------------------------

    def cursors(self, connection: Connection) -> dict[int, int]:
        return dict(self._ask(connection, "cursors"))

    def batch(self, connection: Connection, destination: int) -> BatchRun | None:
        return _batches(self._ask(connection, "batches_of", [destination])).get(destination)

    def batches(self, connection: Connection) -> list[BatchRun]:
        return list(_batches(self._ask(connection, "batches")).values())

    def next_due(self, connection: Connection) -> int | None:
        return _first(self._ask(connection, "next_due"))

    def counted_to(self, connection: Connection) -> int | None:
        return _first(self._ask(connection, "counted_to"))

    def backfill_position(self, connection: Connection) -> tuple[int, int | None] | None:
        for (value,) in self._ask(connection, "backfill_position"):
            return msgspec.msgpack.decode(value, type=tuple[int, int | None])
        return None

    # --- a group's needs --------------------------------------------------------------------------------

    def ask(self, connection: Connection, needs: Needs, first: list[int]) -> _GroupCursors:
        """Ask for all but the profiles at these places, which somebody else asks for."""
        return _GroupCursors(
            first=first,
            counted=self._counted(connection, needs.counted, {}) if needs.counted else None,
            due={asked: self._due(connection, *asked) for asked in needs.due},
            walked={asked: self._ask(connection, "profile_bodies", *asked) for asked in needs.walked},
            batches=self._ask(connection, "batches_of", list(needs.batches)) if needs.batches else None,
            first_seq=self._ask(connection, "first_seq") if needs.batches else None,
            owed={asked: self._owed_page(connection, asked) for asked in needs.owed},
            journal={asked: self._journal(connection, *asked) for asked in needs.journal},
        )

    def loaded(
        self,
        connection: Connection,
        needs: Needs,
        places: Places,
        cursors: _GroupCursors,
        profiles: dict[int, Profile],
    ) -> Loaded:
        """What they answered, with the profiles that are where these devices may stand."""
        loaded = Loaded()
        if cursors.first:
            places.look(cursors.first, profiles)
            self._place(connection, places, needs, loaded)
        if cursors.counted is not None:
            self._note_counted(connection, needs.counted, cursors.counted, loaded)
        _note_walks(cursors.due, cursors.walked, loaded)
        if cursors.batches is not None and cursors.first_seq is not None:
            loaded.batches = _batches(cursors.batches)
            loaded.first_seq = _first(cursors.first_seq) or 0
        loaded.owed = {asked: _owed(cursor) for asked, cursor in cursors.owed.items()}
        loaded.journal = {asked: _records(cursor, *asked) for asked, cursor in cursors.journal.items()}
        return loaded

    def _place(self, connection: Connection, places: Places, needs: Needs, loaded: Loaded) -> None:
        if needs.devices:
            loaded.devices, loaded.fresh = self._settle(connection, places, needs.devices)
        if needs.known:
            found, absent = self._settle(connection, places, needs.known)
            loaded.known = {uuid: uid for uuid, (uid, _) in found.items() if uid not in absent}

    def _due(self, connection: Connection, at: int, limit: int) -> Cursor:
        return self._ask_named(connection, "due", at=at, limit=limit)

    def _counted(
        self, connection: Connection, asked: Collection[tuple[str, str]], moved: dict[str, int]
    ) -> Cursor:
        """When these events counted. Devices are looked for at their hash, but for those that `moved` has."""
        uid, of = self.hashes.uid, self.hashes.of
        uids = [moved[uuid] if uuid in moved else uid(uuid) for uuid, _ in asked]
        names = [of(uuid).uid(event) for uuid, event in asked]
        return self._ask_named(connection, "counted_events", uids=uids, names=names)

    def _note_counted(
        self, connection: Connection, asked: Iterable[tuple[str, str]], counted: Cursor, loaded: Loaded
    ) -> None:
        uid = self.hashes.uid
        places = {uuid: loaded.devices[uuid][0] for uuid, _ in asked}
        moved = {uuid: place for uuid, place in places.items() if place != uid(uuid)}
        at = {(row[0], row[1]): row[2] for row in counted}
        if moved:
            again = self._counted(connection, [key for key in asked if key[0] in moved], moved)
            at |= {(row[0], row[1]): row[2] for row in again}
        keys = {key: (places[key[0]], self.hashes.of(key[0]).uid(key[1])) for key in asked}
        loaded.counted = {key: at[place] for key, place in keys.items() if place in at}


class GroupAsked(NamedTuple):
    """What a group of one shard has to know."""

    reads: ShardReads
    needs: Needs

    @property
    def rows(self) -> int:
        """About how many rows answer it."""
        needs = self.needs
        pages = (*needs.due, *needs.walked, *needs.journal)
        return len(needs.devices) + len(needs.known) + sum(limit for _, limit in pages)


class DevicesAsked(NamedTuple):
    """What a lane of one shard has to know of devices."""

    reads: ShardReads
    uids: Sequence[int]
    destination: int
    owed: bool


class _GroupCursors(NamedTuple):
    """What was asked for a group; `first` are the places of its devices."""

    first: list[int]
    counted: Cursor | None
    due: dict[tuple[int, int], Cursor]
    walked: dict[tuple[int, int], Cursor]
    batches: Cursor | None
    first_seq: Cursor | None
    owed: dict[OwedPage, Cursor]
    journal: dict[tuple[int, int], Cursor]


def load(connection: Connection, asked: Sequence[GroupAsked]) -> list[Loaded]:
    """What groups of several shards have to know."""
    places = [Places(one.reads.hashes) for one in asked]
    first = [
        found.first([*one.needs.devices, *one.needs.known]) for one, found in zip(asked, places, strict=True)
    ]
    rows = _places_of([one.reads.shard for one in asked], first)
    with connection.pipeline():
        stored = connection.execute(SQL["profiles_of_shards"], rows, binary=True) if any(first) else None
        cursors = [one.reads.ask(connection, one.needs, uids) for one, uids in zip(asked, first, strict=True)]
    profiles = _profiles_by_job(stored, len(asked))
    return [
        one.reads.loaded(connection, one.needs, found, mine, profiles[number])
        for number, (one, found, mine) in enumerate(zip(asked, places, cursors, strict=True))
    ]


def devices(connection: Connection, asked: Sequence[DevicesAsked]) -> list[DeviceStates]:
    """What lanes of several shards have to know of devices."""
    rows = _places_of([one.reads.shard for one in asked], [one.uids for one in asked])
    rows["destinations"] = [one.destination for one in asked]
    with connection.pipeline():
        stored = connection.execute(SQL["profiles_of_shards"], rows, binary=True)
        ledger = connection.execute(SQL["ledger_of_shards"], rows, binary=True)
        wants = any(one.owed for one in asked)
        debts = connection.execute(SQL["owed_of_shards"], rows, binary=True) if wants else None
    profiles = _profiles_by_job(stored, len(asked))
    ledgers: list[dict[int, Ledger]] = [{} for _ in asked]
    for job, uid, dpid, partner_id, entry in ledger:
        ledgers[job - 1].setdefault(uid, {})[dpid, partner_id] = decode_entry(entry)
    owing: list[dict[int, Owed]] = [{} for _ in asked]
    for job, *row in debts or ():
        if asked[job - 1].owed:
            owing[job - 1][row[1]] = Owed(*row)
    return [DeviceStates(*found) for found in zip(profiles, ledgers, owing, strict=True)]


def _places_of(shards: list[int], places: Sequence[Sequence[int]]) -> dict[str, list[int]]:
    """Places of several jobs as parameters: each with the number of its job, from 1."""
    return {
        "shards": shards,
        "jobs": [number for number, uids in enumerate(places, 1) for _ in uids],
        "uids": [uid for uids in places for uid in uids],
    }


def _profiles_by_job(stored: Cursor | None, jobs: int) -> list[dict[int, Profile]]:
    found: list[dict[int, Profile]] = [{} for _ in range(jobs)]
    for job, uid, body in stored or ():
        found[job - 1][uid] = decode_profile(body)
    return found


def _note_walks(
    due: dict[tuple[int, int], Cursor], walked: dict[tuple[int, int], Cursor], loaded: Loaded
) -> None:
    for asked, cursor in due.items():
        rows = cursor.fetchall()
        loaded.due[asked] = [(at, uid) for at, uid, _ in rows]
        loaded.bodies |= {uid: body for _, uid, body in rows if body is not None}
    for asked, cursor in walked.items():
        found: dict[int, bytes] = dict(cursor.fetchall())
        loaded.walked[asked] = list(found)
        loaded.bodies |= found


def _profiles(cursor: Cursor) -> dict[int, Profile]:
    return {uid: decode_profile(body) for uid, body in cursor}


def _owed(cursor: Cursor) -> list[Owed]:
    return [Owed(*row) for row in cursor]


def _batches(cursor: Cursor) -> dict[int, BatchRun]:
    return {destination: _decode_batch(body) for destination, body in cursor}


def _records(cursor: Cursor, after: int, limit: int) -> list[JournalRecord]:
    records = [record for (body,) in cursor for record in decode_records(body) if record.seq > after]
    return records[:limit]


def _first(cursor: Cursor) -> int | None:
    row = cursor.fetchone()
    return None if row is None or row[0] is None else int(row[0])
