"""Profiles are brought up to now without being seen: those that are due, and all after a catalog edit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from arke.defects import MAX_DEFECTS
from arke.domain.homes import is_home
from arke.domain.profile import NEVER, Profile
from arke.domain.stored_profile import (
    decode_parts,
    decode_profile,
    encode_profile,
    encode_with_state,
    has_bar,
    state_of,
)
from arke.domain.traces import ERASED, is_trace
from arke.errors import Unavailable
from arke.evaluation.evaluate import pass_time, wake_at
from arke.shard.alike import LARGEST, Outcome
from arke.shard.commands import Evaluated
from arke.shard.sizes import ALL
from arke.telling.triggers import note_untold

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.domain.profile import ProfileParts
    from arke.shard.commands import Backfill, CountMembers, Result, Sweep
    from arke.shard.group import Group
    from arke.telling.routing import Routing

AGAIN_S: Final = 3_600
"""A profile on which the engine failed is looked at again at the next full hour: at the same time, whichever walk
came to it, so that the index has one place more of it at most.
"""


def sweep(group: Group, command: Sweep) -> Result:
    due = group.loaded.due[command.at, command.limit]
    walked, wakes = _walk(group, [uid for _, uid in due], command.at, "sweep")
    for at, uid in due:  # whatever became of the profile, this place in the index has served
        profile = group.writes.profiles.get(uid)
        group.writes.wakes[uid] = (at, profile.wake if profile is not None else wakes.get(uid, NEVER))
    return walked


def backfill(group: Group, command: Backfill) -> Result:
    if command.fingerprint != group.ruling.compiled.fingerprint:  # changed again meanwhile
        return Evaluated(0, 0)
    uids = group.loaded.walked[command.after, command.limit]
    walked, _ = _walk(group, uids, command.at, "backfill")
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
    new = [uid for uid in group.writes.stored_among(group.loaded.fresh) if command.after < uid <= to]
    found = group.known([*uids, *new])
    for uid in group.writes.erased:
        found.pop(uid, None)
    sizes.walk(found, to)
    return Evaluated(len(uids), to)


def _walk(group: Group, uids: Sequence[int], at: int, kind: str) -> tuple[Evaluated, dict[int, int]]:
    """Bring profiles up to now though nothing was heard of them. With the answer come those that no command of this
    group names, and when the sweep is to look at them. One on which the engine fails stays as it is stored, and
    holds up the time of no other. Raises where it fails on all, and they are many: that is for none of them.
    """
    compiled = group.ruling.compiled
    routing = group.ruling.routing(at)
    group.alike.under(routing, at, kind)
    wakes: dict[int, int] = {}
    sound = failed = 0
    for uid, stored in group.walked(uids):
        if isinstance(stored, Profile):
            profile = stored
            if uid in group.loaded.fresh or is_trace(profile):
                continue  # of a device that was erased
            if kind == "sweep" or compiled.is_stale(profile):
                changes = pass_time(compiled, profile, at) if not profile.opted_out else []
                group.write_unseen(uid, profile, at, changes, kind)
            continue
        try:
            _walk_stored(group, uid, stored, at, kind, wakes, routing)
            sound += 1
        except (Unavailable, MemoryError):
            raise
        except Exception as defect:
            if uid in group.writes.encoded or uid in group.writes.profiles:
                raise  # nothing of it may be written in part
            failed += 1
            if failed > MAX_DEFECTS and not sound:
                raise
            _pass_over(group, uid, at - at % AGAIN_S + AGAIN_S, kind, wakes, defect)
    return Evaluated(len(uids), uids[-1] if uids else 0), wakes


def _walk_stored(
    group: Group, uid: int, stored: bytes, at: int, kind: str, wakes: dict[int, int], routing: Routing
) -> None:
    """The same for one that no command of this group names, as it is stored."""
    compiled, alike = group.ruling.compiled, group.alike
    state: tuple[int | bytes, ...] | None = None
    parts = _plain(stored) if alike.pays else None
    if parts is not None:
        state = state_of(parts)
        outcome = alike.find(state)
        if outcome is not None:
            if outcome.state is not None:
                wakes[uid] = outcome.state.wake
                body = encode_with_state(parts, outcome.state)
                moved = (parts.wake, outcome.state.wake)
                group.write_walked(uid, body, at, outcome.changes, kind, moved)
            return
    profile = decode_profile(stored)
    if is_trace(profile):
        return
    if kind == "sweep" or compiled.is_stale(profile):
        changes = pass_time(compiled, profile, at) if not profile.opted_out else []
        if is_home(profile.uuid):
            group.write_unseen(uid, profile, at, changes, kind)
            return
        note_untold(routing, profile, changes, at)
        before, wake = profile.wake, wake_at(profile)
        if kind == "sweep" or wake < before:
            profile.wake = wake
        wakes[uid] = profile.wake
        body = encode_profile(profile)  # while it is at hand: its memory is the next one's
        group.write_walked(uid, body, at, changes, kind, (before, profile.wake))
        if state is not None:
            alike.note(state, Outcome(decode_parts(body), tuple(changes)))
    elif state is not None:
        alike.note(state, Outcome(None, ()))


def _pass_over(
    group: Group, uid: int, again: int, kind: str, wakes: dict[int, int], defect: Exception
) -> None:
    """The sweep is to look at this one later, also where another walk came to it."""
    group.passed_over.append(defect)
    wakes[uid] = again
    if kind != "sweep":
        before, _ = group.writes.wakes.get(uid, (NEVER, NEVER))
        group.writes.wakes[uid] = (before, again)


def _plain(stored: bytes) -> ProfileParts | None:
    """A device that is there, and has not withdrawn; None for others, and for one that is large."""
    if len(stored) > LARGEST:
        return None
    parts = decode_parts(stored)
    if has_bar(parts) or is_home(parts.uuid) or parts.uuid.startswith(ERASED):
        return None
    return parts
