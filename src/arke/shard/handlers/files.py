"""What data files say of devices that nobody sees for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.domain.profile import FileMark
from arke.domain.traces import admits
from arke.evaluation.evaluate import apply_file
from arke.shard.commands import MAX_FILE_LINES, Linked, Onboarded
from arke.shard.handlers.people import move_in
from arke.shard.handlers.sightings import link_ids
from arke.telling.records import ToTell
from arke.telling.triggers import note_linked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.domain.profile import Profile
    from arke.shard.commands import FileLine, Link, Onboard, Result
    from arke.shard.group import Group


def onboard(group: Group, command: Onboard) -> Result:
    uid, profile = group.devices[command.uuid]
    if (profile.opted_out or profile.bar is not None) and not admits(profile, command.edition):
        return Onboarded(refused=True)
    if command.ids:
        move_in(group, uid, profile, command)
    mark = profile.file
    if mark is None or mark.file != command.file:
        mark = FileMark(command.file, command.lines[0].number)
    lines = [line for line in command.lines if line.number > mark.last][: MAX_FILE_LINES - mark.lines]
    if lines:
        replaced = _apply_lines(group, uid, profile, command, lines, fresh=not mark.lines)
        mark = FileMark(
            mark.file, mark.first, lines[-1].number, mark.lines + len(lines), mark.replaced + replaced
        )
        if command.file:
            profile.file = mark
    first = command.lines[0].number == mark.first
    return Onboarded(mark.last, first, mark.replaced if first else 0)


def _apply_lines(
    group: Group, uid: int, profile: Profile, command: Onboard, lines: Sequence[FileLine], *, fresh: bool
) -> int:
    """Returns how many traits a device's first line in an overwriting file made way for."""
    held: dict[int, bool] = {}
    memberships: dict[int, int] = {}
    for line in lines:
        held.update(dict.fromkeys(line.realise, True))
        held.update(dict.fromkeys(line.remove, False))
        memberships.update(line.memberships)
    compiled = group.ruling.compiled
    replaced: set[int] = set()
    if fresh and command.overwrites is not None:
        replaced = {t for t in compiled.onboarded_of(command.overwrites) if t in profile.traits}
        replaced -= {trait_id for trait_id, kept in held.items() if kept}
    removed = sorted(replaced.union(trait_id for trait_id, kept in held.items() if not kept))
    realised = sorted(trait_id for trait_id, kept in held.items() if kept)
    profile.heard = max(profile.heard, command.ts)
    changes = apply_file(compiled, profile, realised, removed, memberships, command.ts, command.at)
    group.note_realised([trait_id for trait_id in realised if trait_id in compiled.once])
    group.write_unseen(uid, profile, command.at, changes, "file")
    return len(replaced)


def link_unseen(group: Group, command: Link) -> Result:
    uid, profile = group.devices[command.uuid]
    if (profile.opted_out or profile.bar is not None) and not admits(profile, command.edition):
        return Linked(refused=True)
    changed = link_ids(group, profile, command.ids, command, command.at)
    profile.heard = max(profile.heard, command.at)
    note_linked(group.ruling.routing(command.at), profile, changed, command.at)
    group.write(uid, profile, command.at, [], ToTell(()), "file", touched=bool(changed))
    return Linked()
