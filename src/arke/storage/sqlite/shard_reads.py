"""What is read of a shard's SQLite file, over one connection. Synchronous: SQLite answers at once."""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import apsw
import msgspec

from arke.domain.batch import BatchRun
from arke.domain.change import JournalRecord
from arke.domain.identity import Mapped
from arke.domain.ledger import LedgerRow, Owed, decode_entry
from arke.domain.profile import Profile
from arke.domain.stored_profile import decode_head, decode_profile
from arke.domain.traces import ERASED, found_again, is_trace
from arke.storage.keyed_hash import next_uid
from arke.storage.ports.shard import DeviceRows, DeviceStates, Ledger, Loaded, StoredDevice
from arke.storage.sql_files import statements
from arke.storage.sqlite.connection import store_errors
from arke.storage.sqlite.handed import NOTHING_KNOWN

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from arke.storage.keyed_hash import DeviceHashes
    from arke.storage.ports.shard import Needs
    from arke.storage.sqlite.handed import Known

Counted = dict[tuple[str, str], int]
"""When an event counted, by (UUID, event id)."""

SQL: Final = statements(Path(__file__).parent / "queries" / "shard.sql")

_decode_record = msgspec.msgpack.Decoder(JournalRecord).decode
_decode_batch = msgspec.msgpack.Decoder(BatchRun).decode


def array_of(uids: Sequence[int]) -> apsw.CArrayBinding:
    """Uids as one value of a statement, which stays prepared whatever their number: each once, ascending."""
    return apsw.carray(array("q", sorted({*uids})))


def promised_ids(profile: Profile, after: int, newest: int) -> list[Mapped]:
    """The ids of a profile under mappings after the one and up to the other."""
    return [
        Mapped(one.dpid, one.id, profile.uuid, one.generation, one.linked)
        for one in profile.ids
        if after < one.generation <= newest
    ]


class ShardReads:
    """Reads of what the connection sees: what was committed, and on the writer's what it is writing."""

    def __init__(self, connection: apsw.Connection, where: str, hashes: DeviceHashes) -> None:
        self._connection = connection
        self._where = where
        self._hashes = hashes

    def _rows(self, name: str, bindings: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        with store_errors(self._where):
            return self._connection.execute(SQL[name], bindings).fetchall()

    def _rows_of(
        self, name: str, uids: Sequence[int], bindings: tuple[Any, ...] = ()
    ) -> list[tuple[Any, ...]]:
        return self._rows(name, (array_of(uids), *bindings)) if uids else []

    # --- devices ----------------------------------------------------------------------------------------

    def profiles(self, uids: Sequence[int]) -> dict[int, Profile]:
        return {uid: decode_profile(body) for uid, body in self._rows_of("profiles", uids)}

    def find(self, uuid: str) -> tuple[int, Profile] | None:
        """A stored device by its UUID."""
        uid = self._hashes.uid(uuid)
        while True:
            profile = self.profiles([uid]).get(uid)
            if profile is None:
                return None
            if profile.uuid == uuid:
                return uid, profile
            if self._is_trace_of(uuid, profile):
                return None
            uid = next_uid(uid)

    def device(self, uuid: str) -> StoredDevice | None:
        found = self.find(uuid)
        if found is None:
            return None
        uid, profile = found
        rows = self.rows([uid])[uid]
        return StoredDevice(uid, profile, rows.ledger, rows.owed)

    def devices(
        self, uids: Sequence[int], destination: int, *, owed: bool, known: Known = NOTHING_KNOWN
    ) -> DeviceStates:
        """`known` is not read."""
        profiles = self.profiles([uid for uid in uids if uid not in known.profiles]) | known.profiles
        told = [uid for uid in uids if uid not in known.told_nothing]
        ledgers: dict[int, Ledger] = {}
        for uid, dpid, partner_id, entry in self._rows_of("ledger", told, (destination,)):
            ledgers.setdefault(uid, {})[dpid, partner_id] = decode_entry(entry)
        rows = self._rows_of("owed", uids, (destination,)) if owed else ()
        return DeviceStates(profiles, ledgers, {row[1]: Owed(*row) for row in rows})

    def rows(self, uids: Sequence[int]) -> dict[int, DeviceRows]:
        found = {uid: DeviceRows() for uid in uids}
        for uid, destination, dpid, partner_id, entry in self._rows_of("ledger_rows", uids):
            found[uid].ledger.append(LedgerRow(uid, destination, dpid, partner_id, decode_entry(entry)))
        for row in self._rows_of("owed_rows", uids):
            found[row[1]].owed.append(Owed(*row))
        return found

    def counted(self, asked: Iterable[tuple[str, str]], loaded: Loaded) -> Counted:
        """When these events counted, of those that have."""
        found: Counted = {}
        for uuid, event_id in asked:
            uid = (loaded.devices.get(uuid) or loaded.stored[uuid])[0]
            for (at,) in self._rows("counted_event", (uid, self._hashes.of(uuid).uid(event_id))):
                found[uuid, event_id] = at
        return found

    def promised(self, after: int) -> list[Mapped]:
        rows = self._rows("promised", (after,))
        return [one for newest, body in rows for one in promised_ids(decode_profile(body), after, newest)]

    def realised_traits(self) -> dict[int, int]:
        return dict(self._rows("realised_traits"))

    def segment_sizes(self, segments: Sequence[int] | None) -> dict[int, int]:
        if segments is None:
            return dict(self._rows("all_segment_sizes"))
        sql = SQL["segment_sizes"].replace("{segments}", ",".join(map(str, segments)))
        with store_errors(self._where):
            found: list[tuple[Any, ...]] = self._connection.execute(sql).fetchall()
        return dict(found)

    # --- pages ------------------------------------------------------------------------------------------

    def owed_page(self, destination: int | None, after: tuple[int, int], limit: int) -> list[Owed]:
        if destination is None:
            rows = self._rows("owed_page", (*after, limit))
        else:
            rows = self._rows("owed_page_of_destination", (*after, destination, limit))
        return [Owed(*row) for row in rows]

    def owed_due(self, destination: int, until: int, after: tuple[int, int], limit: int) -> list[Owed]:
        return [Owed(*row) for row in self._rows("owed_due", (destination, until, *after, limit))]

    def owed_tried(self, destination: int, until: float, after: tuple[float, int], limit: int) -> list[Owed]:
        return [Owed(*row) for row in self._rows("owed_tried", (destination, until, *after, limit))]

    def owed_in_hand(self, destination: int) -> list[int]:
        return [uid for (uid,) in self._rows("owed_in_hand", (destination,))]

    def next_owed(self, destination: int) -> int | None:
        ((due,),) = self._rows("next_owed", (destination,))
        return None if due is None else int(due)

    def owed_counts(self) -> dict[int, int]:
        return dict(self._rows("owed_counts"))

    def journal(self, after: int, limit: int) -> list[JournalRecord]:
        return [_decode_record(body) for (body,) in self._rows("journal", (after, limit))]

    def due(self, at: int, limit: int) -> list[tuple[int, int]]:
        return list(self._rows("due", (at, limit)))

    def uids(self, after: int, limit: int) -> list[int]:
        return [uid for (uid,) in self._rows("uids", (after, limit))]

    def profile_bodies(self, after: int, limit: int) -> list[tuple[int, bytes]]:
        return list(self._rows("profile_bodies", (after, limit)))

    # --- where everything stands ------------------------------------------------------------------------

    def _number(self, name: str) -> int:
        ((number,),) = self._rows(name)
        return int(number)

    def first_seq(self) -> int:
        return self._number("first_seq")

    def last_seq(self) -> int:
        return self._number("last_seq")

    def count_profiles(self) -> int:
        return self._number("count_profiles")

    def cursors(self) -> dict[int, int]:
        return dict(self._rows("cursors"))

    def batch(self, destination: int) -> BatchRun | None:
        for (body,) in self._rows("batch", (destination,)):
            return _decode_batch(body)
        return None

    def batches(self) -> list[BatchRun]:
        return [_decode_batch(body) for (body,) in self._rows("batches")]

    def count_people(self) -> int:
        for (count,) in self._rows("count_people"):
            return int(count)
        return 0

    def next_due(self) -> int | None:
        ((at,),) = self._rows("next_due")
        return None if at is None else int(at)

    def taken(self) -> int:
        for (number,) in self._rows("taken"):
            return int(number)
        return 0

    def counted_to(self) -> int | None:
        for (uid,) in self._rows("counted_to"):
            return int(uid)
        return None

    def backfill_position(self) -> tuple[int, int | None] | None:
        for (value,) in self._rows("backfill_position"):
            return msgspec.msgpack.decode(value, type=tuple[int, int | None])
        return None

    # --- a group's needs --------------------------------------------------------------------------------

    def load(self, needs: Needs) -> Loaded:
        loaded = Loaded()
        if needs.devices:
            self._load_devices(loaded, needs)
        if needs.counted:
            loaded.counted = self.counted(needs.counted, loaded)
        if needs.due or needs.walked:
            loaded.due = {asked: self.due(*asked) for asked in needs.due}
            loaded.walked = {asked: self.uids(*asked) for asked in needs.walked}
            uids = {uid for page in loaded.due.values() for _, uid in page}
            loaded.bodies = dict(self._rows_of("profiles", list(uids.union(*loaded.walked.values()))))
        if needs.batches:
            found = {number: self.batch(number) for number in needs.batches}
            loaded.batches = {number: run for number, run in found.items() if run is not None}
            loaded.first_seq = self.first_seq()
        if needs.known:
            known = {uuid: self.find(uuid) for uuid in needs.known}
            loaded.known = {uuid: device[0] for uuid, device in known.items() if device is not None}
        if needs.owed:
            loaded.owed = {asked: self.owed_page(*asked) for asked in needs.owed}
        if needs.journal:
            loaded.journal = {asked: self.journal(*asked) for asked in needs.journal}
        return loaded

    def _load_devices(self, loaded: Loaded, needs: Needs) -> None:
        """Devices by UUID, and those uids that are not stored."""
        uuids = needs.devices
        wanted = dict(zip(self._hashes.uids(uuids), uuids, strict=True))
        bodies = dict(self._rows_of("profiles", list(wanted)))
        if not bodies and len(wanted) == len(uuids):  # none is named twice, and no two share a hash
            if needs.new_by_uid:
                loaded.new = {uuid: uid for uid, uuid in wanted.items()}
            else:
                loaded.devices = {uuid: (uid, Profile(uuid)) for uid, uuid in wanted.items()}
            loaded.fresh = set(wanted)
            return
        devices, stored, new, fresh = loaded.devices, loaded.stored, loaded.new, loaded.fresh
        for uid, uuid in wanted.items():
            body = bodies.get(uid)
            if body is None:
                if needs.new_by_uid:
                    new[uuid] = uid
                else:
                    devices[uuid] = (uid, Profile(uuid))
                fresh.add(uid)
            elif needs.as_stored:
                head = decode_head(body)
                if head.uuid == uuid:
                    stored[uuid] = (uid, body, head.routing_mark)
            else:
                profile = decode_profile(body)
                if profile.uuid == uuid:
                    devices[uuid] = (uid, profile)
        for uuid in needs.devices:
            if uuid not in devices and uuid not in stored and uuid not in new:
                devices[uuid] = self._probe(uuid, fresh)

    def _probe(self, uuid: str, fresh: set[int]) -> tuple[int, Profile]:
        """Two UUIDs share a hash: take the next uid that is this device's or free."""
        uid = self._hashes.uid(uuid)
        while True:
            profile = self.profiles([uid]).get(uid)
            if profile is not None and profile.uuid == uuid:
                return uid, profile
            if self._is_trace_of(uuid, profile) if profile is not None else uid not in fresh:
                fresh.add(uid)
                return uid, found_again(uuid, profile)
            uid = next_uid(uid)

    def _is_trace_of(self, uuid: str, profile: Profile) -> bool:
        return is_trace(profile) and profile.uuid == ERASED + self._hashes.name(uuid)
