"""Profiles are brought up to now without being seen: those that are due, and all after a catalog edit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.domain.profile import NEVER
from arke.domain.traces import is_trace
from arke.evaluation.evaluate import pass_time
from arke.shard.commands import Evaluated
from arke.shard.sizes import ALL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.shard.commands import Backfill, CountMembers, Result, Sweep
    from arke.shard.group import Group


def sweep(group: Group, command: Sweep) -> Result:
    due = group.loaded.due[command.at, command.limit]
    walked = _walk(group, [uid for _, uid in due], command.at, "sweep")
    for at, uid in due:  # whatever became of the profile, this place in the index has served
        profile = group.writes.profiles.get(uid)
        group.writes.wakes[uid] = (at, profile.wake if profile is not None else NEVER)
    return walked


def backfill(group: Group, command: Backfill) -> Result:
    if command.fingerprint != group.ruling.compiled.fingerprint:  # changed again meanwhile
        return Evaluated(0, 0)
    uids = group.loaded.walked[command.after, command.limit]
    walked = _walk(group, uids, command.at, "backfill")
    end = len(uids) < command.limit
    group.writes.backfill_position = (command.fingerprint, None if end else uids[-1])
    return walked


def count_members(group: Group, command: CountMembers) -> Result:
    sizes = group.sizes
    if command.after != sizes.counted_to:
        return Evaluated(0, 0)  # asked once more
    uids = group.loaded.walked[command.after, command.limit]
    end = len(uids) < command.limit
    to = ALL if end else uids[-1]
    # With those that this group has stored on the way, which no page had.
    new = [uid for uid in group.loaded.fresh if command.after < uid <= to and uid in group.writes.profiles]
    found = group.known([*uids, *new])
    for uid in group.writes.erased:
        found.pop(uid, None)
    sizes.walk(found, to)
    return Evaluated(len(uids), to)


def _walk(group: Group, uids: Sequence[int], at: int, kind: str) -> Evaluated:
    """Bring profiles up to now though nothing was heard of them."""
    compiled = group.ruling.compiled
    for uid, profile in group.known(uids).items():
        if uid in group.loaded.fresh or is_trace(profile):
            continue  # of a device that was erased
        if kind == "sweep" or compiled.is_stale(profile):
            changes = pass_time(compiled, profile, at) if not profile.opted_out else []
            group.write_unseen(uid, profile, at, changes, kind)
    return Evaluated(len(uids), uids[-1] if uids else 0)
