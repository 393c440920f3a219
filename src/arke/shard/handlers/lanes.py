"""What lanes report, and what they are to send again or in a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.domain.batch import BatchRun
from arke.shard.commands import Done, Failed, Replayed
from arke.telling.records import ToTell
from arke.telling.triggers import note_owed, note_sent

if TYPE_CHECKING:
    from arke.domain.profile import Profile
    from arke.shard.commands import BeginBatch, RecordDeliveries, Replay, Result
    from arke.shard.group import Group


def report(group: Group, report: RecordDeliveries) -> Result:
    for row in report.ledger:
        group.write_ledger(row)
    group.writes.owed.extend(report.owed)
    group.writes.no_longer_owed.extend((report.destination, uid) for uid in report.no_longer_owed)
    group.writes.in_hand.extend((report.destination, uid) for uid in report.in_hand)
    if report.cursor is not None:
        group.writes.cursors[report.destination] = report.cursor
    if report.batch is not None:
        run = _batch_run(group, report.destination)
        if run is not None:
            group.writes.batches[report.destination] = run.advanced(report.batch)
    for uuid in report.remind:
        _remind(group, report, uuid)
    for key in report.caught_up:
        uid, profile = group.device(key)
        if _is_there(group, uid, profile) and note_sent(profile, report.destination, report.at):
            group.writes.profiles[uid] = profile
    return Done()


def _is_there(group: Group, uid: int, profile: Profile) -> bool:
    """One that was erased meanwhile is not."""
    return not (uid in group.loaded.fresh or uid in group.writes.erased or profile.opted_out)


def _remind(group: Group, report: RecordDeliveries, uuid: str) -> None:
    """Have the device's next sighting tell what is owed."""
    uid, profile = group.device(uuid)
    if not _is_there(group, uid, profile):
        return
    now = int(report.owed[0].tried)
    if note_owed(group.ruling.routing(now), profile, report.destination, now):
        group.writes.profiles[uid] = profile


def replay(group: Group, command: Replay) -> Result:
    page = group.loaded.owed[command.destination, command.after, command.limit]
    for owed in page:
        group.append(owed.uid, command.at, [], ToTell((owed.destination,)), "replay")
    full = len(page) == command.limit
    return Replayed(len(page), (page[-1].destination, page[-1].uid) if full else None)


def begin_batch(group: Group, command: BeginBatch) -> Result:
    """A run that was begun before goes on; a new one begins when the one before it has finished."""
    before = _batch_run(group, command.destination)
    if before is not None and before.number >= command.number:
        return Done()
    if before is not None and before.finished_at is None:
        return Failed("batch_running", f"batch {before.number} has not finished yet")
    group.writes.batches[command.destination] = BatchRun.after(
        before,
        destination=command.destination,
        number=command.number,
        at=command.at,
        scope=command.scope,
        last_seq=group.next_seq - 1,
        first_seq=group.loaded.first_seq,
        mark=group.ruling.routing(command.at).routes[command.destination].mark,
    )
    return Done()


def _batch_run(group: Group, destination: int) -> BatchRun | None:
    """The destination's newest run, with what this group has made of it."""
    return group.writes.batches.get(destination) or group.loaded.batches.get(destination)
