"""The events of one call on their way to the shards: to devices, and to the homes of people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from arke.domain.homes import is_home
from arke.shard.commands import Sight

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from arke.domain.event import Event
    from arke.domain.identity import Housed, IdKey
    from arke.domain.profile import Held
    from arke.engine.identity import Identity, Resolved
    from arke.engine.shards import Shards


class Sightings:
    """What the shards are to be told of the events of one call, each with the event's number: `by_shard`. Of the
    events about people, `homes` has where they are kept and `declared` which segments they name; `joined` the
    people to whom the event brings its device. `lists`: whether somebody asked which segments the devices are in.
    """

    def __init__(self, shards: Shards, identity: Identity, *, lists: bool) -> None:
        self._shards = shards
        self._identity = identity
        self._lists = lists
        self.by_shard: dict[int, list[tuple[int, Sight]]] = {}
        self.homes: dict[int, tuple[Housed, ...]] = {}
        self.declared: dict[int, Collection[int]] = {}
        self.joined: dict[int, Sequence[IdKey]] = {}

    def add(self, number: int, event: Event, resolved: Resolved) -> None:
        """An event goes to its device, and one about people to their homes."""
        if resolved.homes:
            self.homes[number] = resolved.homes
            self.declared[number] = event.memberships
            for housed in resolved.homes:
                self._put(number, self._at_home(event, housed, resolved.edition))
            if is_home(resolved.uuid):
                return
        promise = self._identity.promise(event.ids)
        self._put(
            number,
            Sight(event, resolved.arriving, edition=resolved.edition, lists=self._lists, promise=promise),
        )
        if resolved.joined:
            self.joined[number] = resolved.joined

    def _at_home(self, event: Event, housed: Housed, edition: int) -> Sight:
        """An event as the home of a person hears it: in no region, under the person's id alone."""
        heard = msgspec.structs.replace(event, uuid=housed.home, ids=(housed.id,), region=None)
        return Sight(heard, housed.arriving, edition=edition, lists=self._lists)

    def _put(self, number: int, sight: Sight) -> None:
        self.by_shard.setdefault(self._shards.number_of(sight.event.uuid), []).append((number, sight))

    def carry(self, known: Mapping[IdKey, Held]) -> None:
        """Give devices what is known to be held at the homes of the people whom they have come to."""
        for sights in self.by_shard.values():
            for place, (number, sight) in enumerate(sights):
                held = tuple(known[key] for key in self.joined.get(number, ()) if key in known)
                if held and not is_home(sight.event.uuid):
                    sights[place] = number, msgspec.structs.replace(sight, held=held)
