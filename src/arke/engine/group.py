"""One group of commands against one shard: load, evaluate, decide who is told, and what to write.

Synchronous and free of clocks: a command carries its time. Nothing here survives unless the group's writes
are committed, so a group that fails is simply done again without the command that broke it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from arke.delivery.routing import Routing
from arke.delivery.triggers import ToTell, destinations_to_tell, note_linked, note_untold
from arke.domain import batch
from arke.domain.catalog import Catalog
from arke.domain.change import Change, JournalRecord
from arke.domain.event import Accepted
from arke.domain.ledger import MAYBE_0, MAYBE_1, TOLD_0, TOLD_1, TRIES_KEPT, LedgerEntry, LedgerRow, Try
from arke.domain.profile import NEVER, DepartedId, FileMark, PartnerId, Profile, SendMark
from arke.engine.commands import (
    Adopt,
    AdoptedRow,
    BeginBatch,
    Done,
    Erase,
    Erased,
    Failed,
    Forget,
    LaneReport,
    Link,
    Linked,
    Onboard,
    Onboarded,
    Refresh,
    Replay,
    Replayed,
    Scrub,
    Scrubbed,
    Seen,
    Sight,
    Sweep,
    Unlink,
    Unlinked,
    Walked,
    Withdraw,
)
from arke.evaluation.compiled import CompiledCatalog
from arke.evaluation.evaluate import apply_event, apply_file, leave_all, pass_time, wake_at
from arke.storage.ports import GroupWrites, LedgerKey

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from arke.domain.event import DeclaredId
    from arke.engine.commands import Command, FileLine, Result
    from arke.storage.ports import ShardReader, ShardStore

MAX_IDS_PER_DATA_SOURCE = 1_000
MAX_CROSS_DEVICE_IDS = 10
MAX_REGIONS = 10
MAX_DEPARTED = 100
"""Bounds per profile; the oldest goes (dossier 13)."""
MAX_FILE_LINES = 200
"""Lines of one onboarding file that count for a user: the first ones (dossier 15)."""


class Ruling(msgspec.Struct, frozen=True):
    """A catalog version in force. `mapping_versions`: per destination, when its mappings last changed."""

    catalog: Catalog
    version: int
    mapping_versions: Mapping[int, int]
    compiled: CompiledCatalog

    @classmethod
    def of(cls, catalog: Catalog, version: int, mapping_versions: Mapping[int, int]) -> Ruling:
        return cls(catalog, version, mapping_versions, CompiledCatalog(catalog))


class GroupResult(msgspec.Struct, frozen=True):
    """Answers in the order of the commands, the writes to commit, and the journal records for the lanes."""

    results: list[Result]
    writes: GroupWrites


class GroupRunner:
    """Runs groups on one shard. `ruling` is switched between groups."""

    def __init__(self, store: ShardStore, ruling: Ruling) -> None:
        self._store = store
        self.ruling = ruling
        self._routing: Routing | None = None
        self._next_seq = max(store.last_seq(), *store.cursors().values(), 0) + 1
        self._cross_device: frozenset[int] = frozenset()
        self.rule_by(ruling)

    def rule_by(self, ruling: Ruling) -> None:
        """Use another catalog from the next group on."""
        self.ruling = ruling
        self._routing = None
        sources = ruling.catalog.data_sources
        self._cross_device = frozenset(source.id for source in sources if source.kind == "cross_device")

    def routing(self, now: int) -> Routing:
        """The routes as they stand at `now`."""
        if self._routing is None or now >= self._routing.until:
            ruling = self.ruling
            self._routing = Routing(ruling.catalog, ruling.mapping_versions, ruling.version, now)
        return self._routing

    def run(self, commands: Sequence[Command]) -> GroupResult:
        """Run a group. A command that raises costs only itself."""
        broken: dict[int, Failed] = {}
        while True:
            group = _Group(self, self._store, self._next_seq)
            group.load([_uuid_of(command) for command in commands])
            results: list[Result] = []
            for number, command in enumerate(commands):
                if number in broken:
                    results.append(broken[number])
                    continue
                try:
                    results.append(group.run(command))
                except Exception as error:  # noqa: BLE001 - whatever it is, the others go on without it
                    broken[number] = Failed("internal", f"{type(error).__name__} while applying the command")
                    break
            else:
                return GroupResult(results, group.finish())

    def committed(self, result: GroupResult) -> None:
        """Called once the group's writes are durable."""
        if result.writes.journal:
            self._next_seq = result.writes.journal[-1].seq + 1

    def is_cross_device(self, dpid: int) -> bool:
        return dpid in self._cross_device


class _Group:
    """The state of one run."""

    def __init__(self, runner: GroupRunner, store: ShardReader, next_seq: int) -> None:
        self._runner = runner
        self._store = store
        self._next_seq = next_seq
        self._loaded: dict[str, tuple[int, Profile]] = {}
        self._writes = GroupWrites()
        self._ledger: dict[LedgerKey, LedgerRow | None] = {}

    def load(self, uuids: Sequence[str | None]) -> None:
        wanted = list(dict.fromkeys(uuid for uuid in uuids if uuid is not None))
        if wanted:
            self._loaded = self._runner._store.load(wanted)  # noqa: SLF001 - one unit in two classes

    def finish(self) -> GroupWrites:
        for key, row in self._ledger.items():
            if row is None:
                self._writes.forgotten.append(key)
            else:
                self._writes.ledger.append(row)
        return self._writes

    def run(self, command: Command) -> Result:
        result: Result = _HANDLERS[type(command)](self, command)
        return result

    def sight(self, command: Sight) -> Result:
        event = command.event
        uid, profile = self._loaded[event.uuid]
        if profile.opted_out:
            return Seen(Accepted(uuid=event.uuid, opted_out=True))
        now = event.at
        changed_dpids = self._link(profile, event.ids, command.arriving, now) if event.ids else ()
        if event.region is not None and event.region not in profile.regions:
            profile.regions = [*profile.regions, event.region][-MAX_REGIONS:]
        profile.seen = max(profile.seen, event.ts)
        effect = apply_event(self._runner.ruling.compiled, profile, event, now)
        told = destinations_to_tell(self._runner.routing(now), profile, effect.changes, changed_dpids, now)
        self._write(uid, profile, now, effect.changes, told, "realtime", touched=bool(changed_dpids))
        segments = sorted(number for number, held in profile.segments.items() if held.status)
        return Seen(Accepted(uuid=event.uuid, traits=tuple(effect.realised), segments=tuple(segments)))

    def _link(
        self,
        profile: Profile,
        ids: Sequence[DeclaredId],
        arriving: Sequence[tuple[int, str]],
        now: int,
    ) -> set[int]:
        """Link declared ids; returns the DPIDs under which one was added. A mapping older than the one under
        which the id left is void: its event was overtaken.
        """
        changed: set[int] = set()
        for declared in ids:
            place = _place_of(profile, declared.dpid, declared.id)
            if place is None:
                late = (declared.dpid, declared.id) in arriving
                if self._departed_since(profile, declared):
                    if not self._runner.is_cross_device(declared.dpid):
                        continue
                    late = True  # it stays the person's, and another device speaks for it
                profile.ids.append(
                    PartnerId(declared.dpid, declared.id, declared.state, now, declared.generation, late)
                )
                self._drop_oldest_ids(profile, declared.dpid)
                if not late:
                    changed.add(declared.dpid)
                continue
            known = profile.ids[place]
            if known.state != declared.state or known.generation < declared.generation:
                # An id that left and comes back before this device has let go of it arrives like any other.
                returning = (
                    known.generation < declared.generation and (declared.dpid, declared.id) in arriving
                )
                profile.ids[place] = msgspec.structs.replace(
                    known,
                    state=declared.state,
                    generation=max(known.generation, declared.generation),
                    arriving=known.arriving or returning,
                )
        return changed

    def _departed_since(self, profile: Profile, declared: DeclaredId) -> bool:
        if not profile.departed:
            return False
        name = self._name_of(declared.dpid, declared.id)
        return any(
            departed.generation >= declared.generation > 0
            for departed in profile.departed
            if departed.hash == name
        )

    def _name_of(self, dpid: int, partner_id: str) -> str:
        return self._store.hash_of(f"{dpid}:{partner_id}")

    def _drop_oldest_ids(self, profile: Profile, dpid: int) -> None:
        bound = MAX_CROSS_DEVICE_IDS if self._runner.is_cross_device(dpid) else MAX_IDS_PER_DATA_SOURCE
        same = [partner for partner in profile.ids if partner.dpid == dpid]
        for partner in same[: max(0, len(same) - bound)]:
            profile.ids.remove(partner)

    def unlink(self, command: Unlink) -> Result:
        uid, profile = self._loaded[command.uuid]
        place = _place_of(profile, command.dpid, command.id)
        if place is None or not self._runner.is_cross_device(command.dpid):
            departed = DepartedId(self._name_of(command.dpid, command.id), command.generation)
            profile.departed = [*profile.departed, departed][-MAX_DEPARTED:]
        if place is not None:
            overtaken = profile.ids[place].generation >= command.generation
            if overtaken or self._runner.is_cross_device(command.dpid):
                # It is on its way back under a newer mapping, or stays and another device speaks for it.
                profile.ids[place] = msgspec.structs.replace(profile.ids[place], arriving=True)
            else:
                del profile.ids[place]
        for destination_id in self._runner.routing(command.at).by_dpid.get(command.dpid, ()):
            if destination_id in profile.sends:
                profile.sends[destination_id] = SendMark(profile.sends[destination_id].at, -1)
        leaving = []
        for row in self._leaving_rows(command, uid, profile):
            entry = msgspec.structs.replace(row.entry, seq=0)
            leaving.append(AdoptedRow(row.destination, command.dpid, row.id, entry))
            self._ledger[LedgerKey(uid, row.destination, command.dpid, row.id)] = None
            self._keep(LedgerRow(uid, row.destination, _aside(command.dpid), row.id, row.entry))
        self._writes.profiles[uid] = profile
        return Unlinked(tuple(leaving))

    def _leaving_rows(self, command: Unlink, uid: int, profile: Profile) -> list[LedgerRow]:
        """What an id that leaves was told, or may have been told when a crash hid the outcome."""
        rows: dict[int, LedgerRow] = {}
        for row in self._store.ledger_of(uid):
            if row.id == command.id and row.dpid in (command.dpid, _aside(command.dpid)):
                # Rows set aside come first: what stands under the id itself was told after them.
                before = rows.get(row.destination)
                rows[row.destination] = row if before is None else _newer(before, row)
        for destination_id in command.unsure:
            route = self._runner.routing(command.at).routes[destination_id]
            if command.dpid not in route.destination.user_dpids:
                continue
            known = rows.get(destination_id)
            told = dict(known.entry.told) if known is not None else {}
            told |= {
                alias: MAYBE_1
                for segment_id, aliases in route.aliases_of.items()
                for _, alias in aliases
                if segment_id in profile.segments and told.get(alias) != TOLD_1
            }
            # And of what it was told 1 it may have heard the 0, also of what came with the id and never held here.
            told = {alias: MAYBE_0 if said == TOLD_1 else said for alias, said in told.items()}
            if told:
                tries = [*(known.entry.tries if known is not None else ()), _unconfirmed(command.at)]
                stamp = max(profile.evaluated, known.entry.stamp if known is not None else 0)
                batched = known.entry.batched if known is not None else {}
                entry = LedgerEntry(0, told, tries[-TRIES_KEPT:], stamp, batched)
                rows[destination_id] = LedgerRow(uid, destination_id, command.dpid, command.id, entry)
        return list(rows.values())

    def adopt(self, command: Adopt) -> Result:
        uid, profile = self._loaded[command.uuid]
        own = {(row.destination, row.dpid, row.id): row.entry for row in self._store.ledger_of(uid)}
        for row in command.rows:
            entry = own.get((row.destination, row.dpid, row.id))
            # What this device told the id before the move was through is newer.
            entry = row.entry if entry is None else _merged(row.entry, entry)
            self._keep(LedgerRow(uid, row.destination, row.dpid, row.id, entry))
        place = _place_of(profile, command.dpid, command.id)
        if place is None:
            partner = PartnerId(command.dpid, command.id, 0, command.at, command.generation)
            profile.ids.append(partner)
            self._drop_oldest_ids(profile, command.dpid)
        elif profile.ids[place].generation <= command.generation:
            profile.ids[place] = msgspec.structs.replace(profile.ids[place], arriving=False)
        routing = self._runner.routing(command.at)
        told = set(destinations_to_tell(routing, profile, (), {command.dpid}, command.at).destinations)
        for destination_id in {row.destination for row in command.rows if routing.tells(row.destination)}:
            profile.sends[destination_id] = SendMark(command.at, routing.routes[destination_id].mark)
            told.add(destination_id)
        self._write(uid, profile, command.at, [], ToTell(tuple(sorted(told))), "realtime", touched=True)
        return Done()

    def forget(self, command: Forget) -> Result:
        uid, _ = self._loaded[command.uuid]
        for row in self._store.ledger_of(uid):
            if row.dpid == _aside(command.dpid) and row.id == command.id:
                self._ledger[LedgerKey(uid, row.destination, row.dpid, row.id)] = None
        return Done()

    def withdraw(self, command: Withdraw) -> Result:
        uid, profile = self._loaded[command.uuid]
        rows = self._store.ledger_of(uid)
        changes: list[Change] = []
        sent: set[int] = set()
        if command.ids:
            profile.ids = [one for one in profile.ids if (one.dpid, one.id) not in command.ids]
            rows = [row for row in rows if (row.dpid, row.id) in command.ids]
        else:
            sent = {owed.destination for owed in self._store.owed_of(uid)}
            if not profile.opted_out:
                sent |= profile.sends.keys()  # what is under way to them is not in the ledger yet
                profile.opted_out = profile.evaluated = command.at
                profile.due = NEVER
                profile.traits.clear()
                profile.realisations = 0
                changes = leave_all(profile, command.reason, command.at)
        sent |= {row.destination for row in rows if any(said != TOLD_0 for said in row.entry.told.values())}
        routes = self._runner.routing(command.at).routes
        told = sorted(number for number in sent if number in routes and routes[number].destination.enabled)
        self._write(uid, profile, command.at, changes, ToTell(tuple(told)), "privacy")
        return Done()

    def scrub(self, command: Scrub) -> Result:
        found = (self._store.find_uid(uuid) for uuid in command.uuids)
        uids = {uid for uid in found if uid is not None}
        page = self._store.journal(command.after, command.limit) if uids else []
        self._writes.overwritten += [
            JournalRecord(record.seq, record.at, 0, (), (), "erased") for record in page if record.uid in uids
        ]
        return Scrubbed(page[-1].seq if len(page) == command.limit else None)

    def erase(self, command: Erase) -> Result:
        uid, profile = self._loaded[command.uuid]
        if uid in self._writes.erased:  # two requests were about it
            return Erased(())
        ids = set(command.ids) | {(_aside(dpid), id_) for dpid, id_ in command.ids}
        for row in self._store.ledger_of(uid):
            if not ids or (row.dpid, row.id) in ids:
                self._ledger[LedgerKey(uid, row.destination, row.dpid, row.id)] = None
        if ids:
            profile.ids = [one for one in profile.ids if (one.dpid, one.id) not in ids]
            self._writes.profiles[uid] = profile
            return Erased(())
        owed = tuple(owed.destination for owed in self._store.owed_of(uid))
        self._writes.settled += [(destination_id, uid) for destination_id in owed]
        self._writes.wakes[uid] = (profile.wake, NEVER)
        if command.keep and profile.seen:
            self._writes.profiles[uid] = Profile(
                profile.uuid, seen=profile.seen, opted_out=profile.opted_out, segments=profile.segments
            )
        else:
            self._writes.profiles.pop(uid, None)
            self._writes.erased.append(uid)
        self._loaded[command.uuid] = (uid, self._writes.profiles.get(uid, profile))
        return Erased(owed)

    def replay(self, command: Replay) -> Result:
        page = self._store.owed_page(command.destination, command.after, command.limit)
        for owed in page:
            self._append(owed.uid, command.at, [], ToTell((owed.destination,)), "replay")
        full = len(page) == command.limit
        return Replayed(len(page), (page[-1].destination, page[-1].uid) if full else None)

    def sweep(self, command: Sweep) -> Result:
        due = self._store.due(command.at, command.limit)
        walked = self._walk([uid for _, uid in due], command.at, "sweep")
        for at, uid in due:  # whatever became of the profile, this place in the index has served
            profile = self._writes.profiles.get(uid)
            self._writes.wakes[uid] = (at, profile.wake if profile is not None else NEVER)
        return walked

    def refresh(self, command: Refresh) -> Result:
        if command.epoch != self._runner.ruling.compiled.epoch:  # changed again meanwhile
            return Walked(0, 0)
        uids = self._store.uids(command.after, command.limit)
        walked = self._walk(uids, command.at, "backfill")
        end = len(uids) < command.limit
        self._writes.refreshed = (command.epoch, None if end else uids[-1])
        return walked

    def _walk(self, uids: Sequence[int], at: int, kind: str) -> Walked:
        """Bring profiles up to now though nothing was heard of them."""
        compiled = self._runner.ruling.compiled
        for uid, profile in self._known(uids).items():
            if kind == "sweep" or profile.epoch != compiled.epoch:
                changes = pass_time(compiled, profile, at) if not profile.opted_out else []
                self._write_unseen(uid, profile, at, changes, kind)
        return Walked(len(uids), uids[-1] if uids else 0)

    def _known(self, uids: Sequence[int]) -> dict[int, Profile]:
        """Profiles by uid, as this group has left them so far."""
        loaded = dict(self._loaded.values())
        found = {uid: loaded[uid] for uid in uids if uid in loaded}
        stored = self._store.profiles([uid for uid in uids if uid not in found])
        self._loaded.update((profile.uuid, (uid, profile)) for uid, profile in stored.items())
        return found | stored

    def onboard(self, command: Onboard) -> Result:
        uid, profile = self._loaded[command.uuid]
        if profile.opted_out:
            return Onboarded(refused=True)
        mark = profile.file
        if mark is None or mark.file != command.file:
            mark = FileMark(command.file, command.lines[0].number)
        lines = [line for line in command.lines if line.number > mark.last][: MAX_FILE_LINES - mark.lines]
        if lines:
            replaced = self._apply_lines(uid, profile, command, lines, fresh=not mark.lines)
            mark = FileMark(
                mark.file, mark.first, lines[-1].number, mark.lines + len(lines), mark.replaced + replaced
            )
            if command.file:
                profile.file = mark
        first = command.lines[0].number == mark.first
        return Onboarded(mark.last, first, mark.replaced if first else 0)

    def _apply_lines(
        self, uid: int, profile: Profile, command: Onboard, lines: Sequence[FileLine], *, fresh: bool
    ) -> int:
        """Returns how many traits a device's first line in an overwriting file made way for."""
        held: dict[int, bool] = {}
        memberships: dict[int, int] = {}
        for line in lines:
            held.update(dict.fromkeys(line.realise, True))
            held.update(dict.fromkeys(line.remove, False))
            memberships.update(line.memberships)
        compiled = self._runner.ruling.compiled
        replaced: set[int] = set()
        if fresh and command.overwrites is not None:
            replaced = {t for t in compiled.onboarded_of(command.overwrites) if t in profile.traits}
            replaced -= {trait_id for trait_id, kept in held.items() if kept}
        removed = sorted(replaced.union(trait_id for trait_id, kept in held.items() if not kept))
        realised = sorted(trait_id for trait_id, kept in held.items() if kept)
        profile.heard = max(profile.heard, command.ts)
        changes = apply_file(compiled, profile, realised, removed, memberships, command.ts, command.at)
        self._write_unseen(uid, profile, command.at, changes, "file")
        return len(replaced)

    def link_unseen(self, command: Link) -> Result:
        uid, profile = self._loaded[command.uuid]
        if profile.opted_out:
            return Linked(refused=True)
        changed = self._link(profile, command.ids, command.arriving, command.at)
        profile.heard = max(profile.heard, command.at)
        note_linked(self._runner.routing(command.at), profile, changed, command.at)
        self._write(uid, profile, command.at, [], ToTell(()), "file", touched=bool(changed))
        return Linked()

    def report(self, report: LaneReport) -> Result:
        for row in report.ledger:
            self._keep(row)
        self._writes.owed.extend(report.owed)
        self._writes.settled.extend((report.destination, uid) for uid in report.settled)
        if report.cursor is not None:
            self._writes.cursors[report.destination] = report.cursor
        if report.batch is not None:
            run = self._batch_run(report.destination)
            if run is not None:
                self._writes.batches[report.destination] = run.moved(report.batch)
        return Done()

    def begin_batch(self, command: BeginBatch) -> Result:
        """A run that was begun before goes on; a new one begins when the one before it has finished."""
        before = self._batch_run(command.destination)
        if before is not None and before.number >= command.number:
            return Done()
        if before is not None and before.finished_at is None:
            return Failed("batch_running", f"batch {before.number} has not finished yet")
        self._writes.batches[command.destination] = batch.begin(
            before,
            destination=command.destination,
            number=command.number,
            at=command.at,
            everything=command.everything,
            last_seq=self._next_seq - 1,
            first_seq=self._store.first_seq(),
            mark=self._runner.routing(command.at).routes[command.destination].mark,
        )
        return Done()

    def _batch_run(self, destination: int) -> batch.BatchRun | None:
        """The destination's newest run, with what this group has made of it."""
        return self._writes.batches.get(destination) or self._store.batch(destination)

    def _keep(self, row: LedgerRow) -> None:
        self._ledger[LedgerKey(row.uid, row.destination, row.dpid, row.id)] = row

    def _write(
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
        self._writes.profiles[uid] = profile
        self._set_wake(uid, profile, woken=kind == "sweep")
        if changes or told.destinations or touched:
            self._append(uid, at, changes, told, kind)

    def _set_wake(self, uid: int, profile: Profile, *, woken: bool) -> None:
        """The index has the earliest moment at which a profile was ever due. It is early for most, and then the
        sweep looks in vain and puts it right: that is cheaper than moving it at every event.
        """
        wake = wake_at(profile)
        if woken:
            profile.wake = wake
        elif wake < profile.wake:
            before, _ = self._writes.wakes.get(uid, (profile.wake, 0))
            self._writes.wakes[uid] = (before, wake)
            profile.wake = wake

    def _write_unseen(self, uid: int, profile: Profile, at: int, changes: list[Change], kind: str) -> None:
        """What changed though the device was not seen waits for the batch, or for the device to be seen."""
        note_untold(self._runner.routing(at), profile, changes, at)
        self._write(uid, profile, at, changes, ToTell(()), kind)

    def _append(self, uid: int, at: int, changes: list[Change], told: ToTell, kind: str) -> None:
        self._writes.journal.append(
            JournalRecord(self._next_seq, at, uid, tuple(changes), told.destinations, kind, told.catch_up)
        )
        self._next_seq += 1


_HANDLERS: dict[type[Command], Callable[..., Any]] = {
    Sight: _Group.sight,
    Onboard: _Group.onboard,
    Link: _Group.link_unseen,
    Unlink: _Group.unlink,
    Adopt: _Group.adopt,
    Forget: _Group.forget,
    Withdraw: _Group.withdraw,
    Scrub: _Group.scrub,
    Erase: _Group.erase,
    Replay: _Group.replay,
    Sweep: _Group.sweep,
    Refresh: _Group.refresh,
    BeginBatch: _Group.begin_batch,
    LaneReport: _Group.report,
}
"""What each command does to a group."""


def _place_of(profile: Profile, dpid: int, partner_id: str) -> int | None:
    for place, partner in enumerate(profile.ids):
        if partner.dpid == dpid and partner.id == partner_id:
            return place
    return None


def _merged(older: LedgerEntry, newer: LedgerEntry) -> LedgerEntry:
    """Two accounts of what one id was told, as that of an id that has just arrived."""
    tries = sorted([*older.tries, *newer.tries], key=lambda one: one.at)
    told = {**older.told, **newer.told}
    batched = {alias: 1 for alias in older.batched if alias not in newer.told} | newer.batched
    return LedgerEntry(0, told, tries[-TRIES_KEPT:], max(older.stamp, newer.stamp), batched)


def _newer(older: LedgerRow, newer: LedgerRow) -> LedgerRow:
    entry = _merged(older.entry, newer.entry)
    return LedgerRow(newer.uid, newer.destination, newer.dpid, newer.id, entry)


def _unconfirmed(at: int) -> Try:
    """Stands in the ledger for an attempt that a crash left without an outcome."""
    return Try(at, "", "unconfirmed", "realtime")


def _aside(dpid: int) -> int:
    """The DPID under which rows that are leaving wait: none that anybody is told about."""
    return -1 - dpid


def _uuid_of(command: Command) -> str | None:
    match command:
        case Sight():
            return command.event.uuid
        case Onboard() | Link() | Unlink() | Adopt() | Forget() | Withdraw() | Erase():
            return command.uuid
        case _:
            return None
