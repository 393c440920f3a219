"""What data files say of devices that nobody sees for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from arke.domain.homes import is_home
from arke.domain.profile import FileMark, Profile
from arke.domain.stored_profile import encode_like, form_of
from arke.domain.traces import admits
from arke.evaluation.evaluate import apply_file, wake_at
from arke.shard.commands import MAX_FILE_LINES, Linked, Onboarded
from arke.shard.handlers.people import move_in
from arke.shard.handlers.sightings import link_ids
from arke.shard.newcomers import Newcomer
from arke.telling.records import ToTell
from arke.telling.triggers import note_linked, note_untold

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.domain.change import Change
    from arke.domain.file_lines import Said
    from arke.shard.commands import FileDevice, Link, Onboard, Result
    from arke.shard.group import Group


ALIKE_S = 60
"""New devices are evaluated as of the last full minute, so that many come out the same."""

_encode: Final = msgspec.msgpack.Encoder().encode


def onboard(group: Group, command: Onboard) -> Result:
    devices = people = replaced = 0
    refused: list[int] = []
    kept_until: dict[int, int] = {}
    moment = min(command.at, max(command.ts, command.at - command.at % ALIKE_S))
    routing = group.ruling.routing(command.at)
    remembered = group.newcomers.under(routing, command.file, command.ts, moment, command.overwrites)
    packed = [_encode(one) for one in command.said]
    new, opted_out, homes = group.new, command.opted_out, command.homes
    counted_to = group.sizes.counted_to
    counted: dict[bytes, int] = {}
    for place, named in enumerate(command.devices):
        uid = new.get(named.uuid)
        if uid is None or named.uuid in opted_out or len(named.lines) > MAX_FILE_LINES:
            uid, profile = group.device(named.uuid)
            withdrew = bool(profile.opted_out) or profile.bar is not None
            if named.uuid in opted_out or (withdrew and not admits(profile, command.edition)):
                refused.append(place)
                continue
            home = homes.get(named.uuid)
            if home is not None or withdrew or not group.is_new(uid) or len(named.lines) > MAX_FILE_LINES:
                if home is not None:
                    move_in(group, uid, profile, home, command)
                mark = _onboard(group, uid, profile, command, named)
                if named.lines[0] == mark.first:
                    people += is_home(named.uuid)
                    devices += not is_home(named.uuid)
                    replaced += mark.replaced
                if named.lines[-1] > mark.last:
                    kept_until[place] = mark.last
                continue
        said = (
            packed[named.said[0]] if len(named.said) == 1 else b"".join([packed[one] for one in named.said])
        )
        like = remembered.get(said)
        if like is None:
            like = remembered[said] = _newcomer(group, command, named, moment)
        counted[said] = counted.get(said, 0) + (uid <= counted_to)
        _become_like(group, uid, named, command.file, moment, like)
        devices += 1
    for said, times in counted.items():
        like = remembered[said]
        group.note_realised(like.realised)
        group.sizes.change_alike(like.changes, times)
    return Onboarded(devices, people, replaced, tuple(refused), kept_until)


def _newcomer(group: Group, command: Onboard, named: FileDevice, moment: int) -> Newcomer:
    """What a new device comes to of which the file says this."""
    said = [command.said[place] for place in named.said]
    profile = Profile("")
    _, realised, changes = _apply(group, profile, command, said, moment, fresh=True)
    note_untold(group.ruling.routing(command.at), profile, changes, moment)
    profile.wake = wake_at(profile)
    return Newcomer(form_of(profile), profile.wake, tuple(changes), tuple(realised))


def _become_like(group: Group, uid: int, named: FileDevice, file: int, moment: int, like: Newcomer) -> None:
    lines = named.lines
    mark = FileMark(file, lines[0], lines[-1], len(lines)) if file else None
    body = encode_like(like.form, named.uuid, mark)
    group.write_new(uid, body, moment, like.changes, "file", like.wake)


def _onboard(group: Group, uid: int, profile: Profile, command: Onboard, named: FileDevice) -> FileMark:
    """Returns how far the file is applied to the device by now."""
    mark = profile.file
    if mark is None or mark.file != command.file:
        mark = FileMark(command.file, named.lines[0])
    numbers = [number for number in named.lines if number > mark.last][: MAX_FILE_LINES - mark.lines]
    if not numbers:
        return mark
    wanted = set(numbers)
    said = [
        command.said[place] for number, place in zip(named.lines, named.said, strict=True) if number in wanted
    ]
    replaced, realised, changes = _apply(group, profile, command, said, command.at, fresh=not mark.lines)
    mark = FileMark(mark.file, mark.first, numbers[-1], mark.lines + len(numbers), mark.replaced + replaced)
    if command.file:
        profile.file = mark
    group.note_realised(realised)
    group.write_unseen(uid, profile, command.at, changes, "file")
    return mark


def _apply(
    group: Group, profile: Profile, command: Onboard, said: Sequence[Said], now: int, *, fresh: bool
) -> tuple[int, list[int], list[Change]]:
    """Returns how many traits a device's first line in an overwriting file made way for, the onboarded traits that
    are realised, and what changed.
    """
    held: dict[int, bool] = {}
    memberships: dict[int, int] = {}
    for one in said:
        held.update(dict.fromkeys(one.realise, True))
        held.update(dict.fromkeys(one.remove, False))
        memberships.update(one.memberships)
    compiled = group.ruling.compiled
    replaced: set[int] = set()
    if fresh and command.overwrites is not None:
        replaced = {t for t in compiled.onboarded_of(command.overwrites) if t in profile.traits}
        replaced -= {trait_id for trait_id, kept in held.items() if kept}
    removed = sorted(replaced.union(trait_id for trait_id, kept in held.items() if not kept))
    realised = sorted(trait_id for trait_id, kept in held.items() if kept and trait_id in compiled.once)
    profile.heard = max(profile.heard, command.ts)
    changes = apply_file(compiled, profile, realised, removed, memberships, command.ts, now)
    return len(replaced), realised, changes


def link_unseen(group: Group, command: Link) -> Result:
    uid, profile = group.devices[command.uuid]
    if (profile.opted_out or profile.bar is not None) and not admits(profile, command.edition):
        return Linked(refused=True)
    changed = link_ids(group, profile, command.ids, command, command.at)
    profile.heard = max(profile.heard, command.at)
    note_linked(group.ruling.routing(command.at), profile, changed, command.at)
    group.write(uid, profile, command.at, [], ToTell(()), "file", touched=bool(changed))
    return Linked()
