"""One group of commands against one shard: what was loaded, what each command makes of it, what to write.

What a command does is its handler's (`arke.shard.handlers`). Synchronous and free of clocks: a command
carries its time. Nothing here survives unless the group's writes are committed, so a group that fails is
simply done again without the command that broke it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.domain.change import Change, JournalRecord
from arke.domain.ledger import LedgerRow
from arke.domain.profile import Profile
from arke.evaluation.evaluate import wake_at
from arke.storage.ports.shard import GroupWrites, LedgerKey
from arke.telling.records import ToTell
from arke.telling.triggers import note_untold

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.shard.ruling import Ruling
    from arke.storage.ports.shard import ShardStore


class Group:
    """The state of one run: profiles as loaded and changed so far, and all that is to be written.

    Handlers (`arke.shard.handlers`) work on it; `store` shows what was committed before.
    """

    def __init__(self, ruling: Ruling, store: ShardStore, next_seq: int) -> None:
        self.ruling = ruling
        self.store = store
        self.next_seq = next_seq
        self.loaded: dict[str, tuple[int, Profile]] = {}
        self.writes = GroupWrites()
        self._ledger: dict[int, dict[LedgerKey, LedgerRow | None]] = {}

    def load(self, uuids: Sequence[str | None]) -> None:
        wanted = list(dict.fromkeys(uuid for uuid in uuids if uuid is not None))
        if wanted:
            self.loaded = self.store.load(wanted)

    def finish(self) -> GroupWrites:
        for rows in self._ledger.values():
            for key, row in rows.items():
                if row is None:
                    self.writes.forgotten.append(key)
                else:
                    self.writes.ledger.append(row)
        return self.writes

    def known(self, uids: Sequence[int]) -> dict[int, Profile]:
        """Profiles by uid, as this group has left them so far."""
        loaded = dict(self.loaded.values())
        found = {uid: loaded[uid] for uid in uids if uid in loaded}
        stored = self.store.profiles([uid for uid in uids if uid not in found])
        self.loaded.update((profile.uuid, (uid, profile)) for uid, profile in stored.items())
        return found | stored

    def ledger_of(self, uid: int) -> list[LedgerRow]:
        """A device's rows, with what this group has made of them: an outcome that was reported in the same group
        as a move must not be lost over it.
        """
        rows: dict[LedgerKey, LedgerRow | None] = {_key_of(row): row for row in self.store.ledger_of(uid)}
        rows |= self._ledger.get(uid, {})
        return [row for row in rows.values() if row is not None]

    def keep(self, row: LedgerRow) -> None:
        self._ledger.setdefault(row.uid, {})[_key_of(row)] = row

    def drop(self, key: LedgerKey) -> None:
        self._ledger.setdefault(key.uid, {})[key] = None

    def write(
        self,
        uid: int,
        profile: Profile,
        at: int,
        changes: list[Change],
        told: ToTell,
        kind: str,
        *,
        touched: bool = False,
    ) -> None:
        """`touched`: its ids changed, which the batch is to look at though no membership did."""
        self.writes.profiles[uid] = profile
        self._set_wake(uid, profile, woken=kind == "sweep")
        if changes or told.destinations or touched:
            self.append(uid, at, changes, told, kind)

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
        self.write(uid, profile, at, changes, ToTell(()), kind)

    def append(self, uid: int, at: int, changes: list[Change], told: ToTell, kind: str) -> None:
        self.writes.journal.append(
            JournalRecord(self.next_seq, at, uid, tuple(changes), told.destinations, kind, told.catch_up)
        )
        self.next_seq += 1


def _key_of(row: LedgerRow) -> LedgerKey:
    return LedgerKey(row.uid, row.destination, row.dpid, row.id)
