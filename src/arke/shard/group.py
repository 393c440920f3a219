"""One group of commands against one shard: what was loaded, what each command makes of it, what to write.

What a command does is its handler's (`arke.shard.handlers`). Free of clocks and of the store: a command carries
its time, and what it has to know was loaded before. Nothing here survives unless the group's writes are committed,
so a group that fails is simply done again without the command that broke it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.domain.change import Change, JournalRecord
from arke.domain.homes import is_silent
from arke.domain.ledger import LedgerRow
from arke.domain.memberships import count_of
from arke.domain.profile import NEVER, Profile
from arke.domain.stored_profile import decode_profile, encode_profile
from arke.domain.time import DAY_S
from arke.evaluation.evaluate import wake_at
from arke.shard.sizes import SizeTally
from arke.storage.ports.shard import DeviceRows, GroupWrites, LedgerKey
from arke.telling.records import ToTell
from arke.telling.triggers import note_untold

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from arke.domain.change import Turned
    from arke.domain.event import Event
    from arke.domain.identity import Promise
    from arke.domain.ledger import Owed
    from arke.shard.alike import Alike
    from arke.shard.newcomers import Newcomers
    from arke.shard.ruling import Ruling
    from arke.storage.ports.shard import Loaded

_RowKey = tuple[int, int, str]
"""(Destination, DPID, partner id): a ledger row of one device."""

NO_ROWS = DeviceRows()
"""Those of a device that is not stored."""
NOBODY_TOLD = ToTell(())


class Group:
    """The state of one run: profiles as loaded and changed so far, and all that is to be written.

    `rows` are those of the devices whose commands turned out to need them; `hash_of` is the store's keyed hash.
    `closed` names a destination for each device that it is no longer owed because the device is gone. `realised`
    are the traits that were realised before, under the rule they have; up to `counted_to` the members of segments
    are counted. `passed_over` are defects that walks met with profiles, which stay as they are stored. `repeated`
    counts events that had counted, `late` those of devices that had withdrawn, `unheard`
    changes at homes of people for whom a device speaks: that one changes as well.
    """

    def __init__(
        self,
        ruling: Ruling,
        loaded: Loaded,
        rows: Mapping[int, DeviceRows],
        next_seq: int,
        hash_of: Callable[[str, str], str],
        realised: set[int],
        counted_to: int,
        newcomers: Newcomers,
        alike: Alike,
        *,
        each_once: bool,
    ) -> None:
        """`each_once`: no device is named twice in this group."""
        self.newcomers = newcomers
        self.alike = alike
        self._each_once = each_once
        self.ruling = ruling
        self.loaded = loaded
        self.devices = loaded.devices
        self.next_seq = next_seq
        self.hash_of = hash_of
        self.writes = GroupWrites()
        self.sizes = SizeTally(loaded.devices, counted_to)
        self.closed: list[int] = []
        self.passed_over: list[Exception] = []
        self.repeated = self.unheard = self.late = 0
        self._realised = realised
        self._rows = rows
        self._ledger: dict[int, dict[_RowKey, LedgerRow | None]] = {}
        self._to_tell: set[int] = set()

    def device(self, uuid: str) -> tuple[int, Profile]:
        """A device by itself, as this group has left it so far: what was left as it is stored is decoded now."""
        found = self.devices.get(uuid)
        if found is not None:
            return found
        new = self.loaded.new.get(uuid)
        if new is not None:
            found = self.devices[uuid] = (new, Profile(uuid))
        else:
            uid, body, _ = self.loaded.stored[uuid]
            found = self.devices[uuid] = (uid, decode_profile(body))
        return found

    def put_away(self, uuid: str) -> None:
        """The last command about a device was applied: it is encoded while it is at hand, and its memory is the
        next one's. It stays as it is if it came decoded, or is to be told: lanes are handed what was stored.
        """
        known = self.loaded.stored.get(uuid)
        if known is None or known[0] in self._to_tell:
            return
        found = self.devices.pop(uuid, None)
        if found is None:
            return
        uid, profile = found
        if self.writes.profiles.pop(uid, None) is not None:
            body = encode_profile(profile)
            self.writes.encoded[uid] = body
            self.loaded.stored[uuid] = (uid, body, profile.routing_mark)

    def finish(self) -> GroupWrites:
        for uid in self.writes.profiles.keys() & self.writes.encoded.keys():  # somebody has come back to it
            del self.writes.encoded[uid]
        for uid, rows in self._ledger.items():
            for key, row in rows.items():
                if row is None:
                    self.writes.forgotten.append(LedgerKey(uid, *key))
                else:
                    self.writes.ledger.append(row)
        self.writes.sizes = self.sizes.grown(self.writes.erased)
        return self.writes

    def known(self, uids: Sequence[int]) -> dict[int, Profile]:
        """Profiles that a walk came to by uid, as this group has left them so far."""
        return {
            uid: one if isinstance(one, Profile) else decode_profile(one) for uid, one in self.walked(uids)
        }

    def walked(self, uids: Sequence[int]) -> list[tuple[int, Profile | bytes]]:
        """The same, with those that no command of this group names as they are stored, or as a walk of it has left
        them.
        """
        devices = dict(self.devices.values())
        bodies, written, encoded = self.loaded.bodies, self.writes.profiles, self.writes.encoded
        # A new device that became like another one is written alone.
        found: list[tuple[int, Profile | bytes]] = [
            (uid, written.get(uid) or encoded.get(uid) or devices[uid])
            for uid in dict.fromkeys(uids)
            if uid in devices
        ]
        for uid in sorted({*uids} - devices.keys()):
            one = written.get(uid) or encoded.get(uid) or bodies.get(uid)
            if one is not None:
                found.append((uid, one))
        return found

    def counts(self, uid: int, event: Event) -> bool:
        """Whether an event with an id counts: none of that id has for this device within a day."""
        key = (event.uuid, event.event_id or "")
        counted_at = self.loaded.counted.get(key)
        if counted_at is not None and event.at - counted_at < DAY_S:
            self.repeated += 1
            return False
        self.loaded.counted[key] = event.at
        self.writes.counted.append((uid, *key, event.at))
        return True

    def promise(self, uid: int, promise: Promise) -> None:
        """The profile holds mappings that the directory may not have on disk yet."""
        self.writes.promised.append((promise.generation, uid))
        self.writes.settled = max(self.writes.settled, promise.settled)

    def note_realised(self, traits: Sequence[int]) -> None:
        """Remember that these traits are realised by somebody."""
        if not self._realised.issuperset(traits):
            marks = self.ruling.compiled.rule_marks
            self.writes.realised |= {trait: marks[trait] for trait in traits if trait not in self._realised}

    def ledger_of(self, uid: int) -> list[LedgerRow]:
        """A device's rows, with what this group has made of them: an outcome that was reported in the same group
        as a move must not be lost over it.
        """
        rows: dict[_RowKey, LedgerRow | None] = {
            (row.destination, row.dpid, row.id): row for row in self._rows_of(uid).ledger
        }
        rows |= self._ledger.get(uid, {})
        return [row for row in rows.values() if row is not None]

    def owed_of(self, uid: int) -> list[Owed]:
        """What was owed about a device before this group."""
        return self._rows_of(uid).owed

    def _rows_of(self, uid: int) -> DeviceRows:
        return NO_ROWS if uid in self.loaded.fresh else self._rows[uid]

    def write_ledger(self, row: LedgerRow) -> None:
        rows = self._ledger.get(row.uid)
        if rows is None:
            rows = self._ledger[row.uid] = {}
        rows[row.destination, row.dpid, row.id] = row

    def drop(self, key: LedgerKey) -> None:
        self._ledger.setdefault(key.uid, {})[key.destination, key.dpid, key.id] = None

    def write(
        self,
        uid: int,
        profile: Profile,
        at: int,
        changes: Sequence[Change],
        told: ToTell,
        kind: str,
        *,
        turned: Sequence[Turned] = (),
        touched: bool = False,
    ) -> None:
        """`turned`: further changes, packed; `touched`: its ids changed, which the batch is to look at though no
        membership did.
        """
        self.writes.profiles[uid] = profile
        self._set_wake(uid, profile, woken=kind == "sweep")
        if changes or turned:
            if is_silent(profile):
                self.unheard += len(changes) + count_of(turned)
            elif uid not in self.writes.erased:
                self.sizes.change(uid, changes, turned)
        if changes or turned or told.destinations or touched:
            self.append(uid, at, changes, told, kind, turned)

    def is_new(self, uid: int) -> bool:
        """Whether a device is not stored, and named once in this group: nothing else touches its profile."""
        return self._each_once and uid in self.loaded.fresh

    @property
    def new(self) -> Mapping[str, int]:
        """Devices of which that is so, and of which no profile was made, by their UUIDs."""
        return self.loaded.new if self._each_once else {}

    def write_new(
        self, uid: int, body: bytes, at: int, changes: tuple[Change, ...], kind: str, wake: int
    ) -> None:
        """A new device has become like another one; no event was about it. Its members are not counted here."""
        writes = self.writes
        writes.encoded[uid] = body
        if wake != NEVER:
            writes.wakes[uid] = (NEVER, wake)
        if changes:
            writes.journal.append(JournalRecord(self.next_seq, at, uid, changes, (), kind))
            self.next_seq += 1

    def write_walked(
        self, uid: int, body: bytes, at: int, changes: Sequence[Change], kind: str, wakes: tuple[int, int]
    ) -> None:
        """What became of a device that a walk came to, and that no command of this group names, as it is to be
        stored. `wakes`: when it stood in the index, and when it is to stand there.
        """
        self.writes.encoded[uid] = body
        before, wake = wakes
        if kind != "sweep" and wake < before:
            stood, _ = self.writes.wakes.get(uid, wakes)
            self.writes.wakes[uid] = (stood, wake)
        if changes:
            self.sizes.change(uid, changes)
            self.append(uid, at, changes, NOBODY_TOLD, kind)

    def _set_wake(self, uid: int, profile: Profile, *, woken: bool) -> None:
        """The index has the earliest moment at which a profile was ever due. It is early for most, and then the
        sweep looks in vain and puts it right: that is cheaper than moving it at every event.
        """
        wake = wake_at(profile)
        if woken:
            profile.wake = wake
        elif wake < profile.wake:
            before, _ = self.writes.wakes.get(uid, (profile.wake, 0))
            self.writes.wakes[uid] = (before, wake)
            profile.wake = wake

    def write_unseen(self, uid: int, profile: Profile, at: int, changes: list[Change], kind: str) -> None:
        """What changed though the device was not seen waits for the batch, or for the device to be seen."""
        note_untold(self.ruling.routing(at), profile, changes, at)
        self.write(uid, profile, at, changes, NOBODY_TOLD, kind)

    def append(
        self,
        uid: int,
        at: int,
        changes: Sequence[Change],
        told: ToTell,
        kind: str,
        turned: Sequence[Turned] = (),
    ) -> None:
        to, caught_up = told.destinations, told.catch_up
        self.writes.journal.append(
            JournalRecord(self.next_seq, at, uid, tuple(changes), to, kind, caught_up, tuple(turned))
        )
        if told.destinations:
            self._to_tell.add(uid)
        self.next_seq += 1
