"""What is said of people rather than devices: heard at home, and brought to the person's devices."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from arke.domain.traces import admits
from arke.evaluation.evaluate import apply_held
from arke.shard.commands import Done
from arke.shard.handlers.sightings import link_ids
from arke.telling.records import ToTell
from arke.telling.triggers import note_linked

if TYPE_CHECKING:
    from arke.domain.profile import Profile
    from arke.shard.commands import AtHome, Join, Onboard, Result
    from arke.shard.group import Group


class _Arrival(NamedTuple):
    """See `Linking`."""

    arriving: tuple[tuple[int, str], ...]
    edition: int


def move_in(group: Group, uid: int, profile: Profile, home: AtHome, command: Onboard) -> None:
    """The home of a person that a file speaks of has the person's id, as a device has its ids."""
    changed = link_ids(group, profile, home.ids, _Arrival(home.arriving, command.edition), command.at)
    if changed:
        note_linked(group.ruling.routing(command.at), profile, changed, command.at)
        group.write(uid, profile, command.at, [], ToTell(()), "file", touched=True)


def join(group: Group, command: Join) -> Result:
    uid, profile = group.devices[command.uuid]
    if not (profile.opted_out or profile.bar is not None) or admits(profile, command.edition):
        before = _state(profile)
        changes = apply_held(group.ruling.compiled, profile, command.held, command.at, command.declared)
        if changes or _state(profile) != before:
            group.write_unseen(uid, profile, command.at, changes, "file")
    return Done()


def _state(profile: Profile) -> bytes:
    """What a join may change."""
    return msgspec.msgpack.encode((profile.traits, profile.segments))
