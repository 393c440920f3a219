"""Which device owns a partner id, the devices of a person, ids on their way, and who is never to be taken again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from arke.domain.identity import (
        Claims,
        DeviceDay,
        IdKey,
        Move,
        Owner,
        PersonKey,
        PersonRow,
        SharedId,
    )

PRUNED_AT_ONCE: Final = 500
"""Counts of takeovers of days gone by that go with each write: more than it adds, and no event waits for many."""
SHARED_DAYS: Final = 120
"""How long it is kept that an id was shared by very many devices."""


class Known(NamedTuple):
    """Answers to a look-up; what is not known is left out. `firsts`: of ids that nobody owns and that were
    forgotten with a device, the keyed hash of the device that each was linked to first. `unsettled`: ids that have
    an owner and a move that is not finished. Of the hashes asked for, `suppressed` are on the suppression list, in
    its `edition` (see `SuppressionList`); 0 where no hash was asked for.
    """

    owners: dict[IdKey, Owner]
    firsts: dict[IdKey, bytes]
    people: dict[PersonKey, PersonRow]
    takeovers: dict[DeviceDay, int]
    unsettled: set[IdKey]
    suppressed: set[bytes]
    edition: int


class Identities(Protocol):
    """The one facet of the directory that any number of engines may write at once, by compare-and-set: `link`
    stores a mapping only in the place of the mapping that it was decided from. All others are written by one writer
    each, and the last write counts.

    Mappings of one id are numbered: a newer one has the higher generation. Those of two ids have nothing to do with
    each other.

    Every call may suspend, for as long as the database takes. Raises StoreUnavailable.
    """

    async def look_up(
        self,
        ids: Collection[IdKey],
        people: Collection[PersonKey] = (),
        takeovers: Collection[DeviceDay] = (),
        hashes: Collection[bytes] = (),
    ) -> Known:
        """All that a call needs to know, in one question. What is committed before the call is seen; what is
        committed while it runs may be.
        """
        ...

    async def owned(self, dpid: int, ids: Sequence[str]) -> dict[str, str]:
        """Whose the ids of one data source are, for those that have an owner. Sees what `look_up` does."""
        ...

    async def link(self, claims: Claims, *, promised: bool = False) -> set[IdKey]:
        """Store owners of ids, the moves that follow from them, devices of people, which are to hear of what is
        filed, counts of takeovers (the higher count stays), and ids that very many devices share. Durable on
        return, in one transaction; where it raises, nothing is stored.

        Returns the ids whose race was lost: those whose stored mapping is not `claims.before[id]` any more, also
        where it was forgotten meanwhile, or where there is one though nobody was to have the id; and those of which
        one of `claims.names` is on the suppression list. Of such an id
        nothing is stored, neither owner nor moves nor people: whoever asked looks it up again and decides anew.
        Where that would leave an invented device with a part of its ids, nothing at all is stored, and the race is
        lost for all of `claims.keys`.

        Of the devices of a person the oldest beyond MAX_DEVICES go, but never the owner.

        `promised`: claims of new devices (`Claims.of_new_devices`), which shards keep as well until they are on
        disk. Then it may return as soon as the directory answers by them: a loss of power may take them, and all
        that was promised after them, until something is stored that is not, or `settle` has returned.
        """
        ...

    async def settled(self) -> int:
        """Up to this mapping all are known to have been durable, whatever has become of them since: what shards
        still keep of these does not count. 0: nothing is known.
        """
        ...

    async def settle(self, generation: int) -> None:
        """All that was linked is durable on return; no mapping that comes later is older than `generation`."""
        ...

    async def links_begun(self) -> int:
        """A mark in time, for `links_ended`."""
        ...

    async def links_ended(self, begun: int) -> bool:
        """Whether every `link` of any engine has ended, stored or not, that began before this mark was made: what
        is stored later has seen all that was on the suppression list then.
        """
        ...

    async def devices(self, keys: Collection[IdKey]) -> dict[IdKey, list[str]]:
        """The devices of each cross-device id that has any, the newest first; at most MAX_DEVICES each."""
        ...

    async def ids_of(self, uuids: Collection[str]) -> dict[str, list[IdKey]]:
        """The ids that each of these devices owns; devices without one are left out."""
        ...

    async def shared(self) -> list[tuple[bytes, SharedId]]:
        """The ids that very many devices shared on one of the last 120 days, by their keyed hashes, those that were
        shared last at the end.
        """
        ...

    async def moves(self) -> list[Move]:
        """Moves not yet finished; those of one id oldest first."""
        ...

    async def moves_from(self, shards: Collection[int]) -> list[Move]:
        """Of every id the oldest move not yet finished, where its old device lives in one of these shards (see
        `arke.domain.placement`).
        """
        ...

    async def unsettled(self, uuids: Collection[str]) -> set[str]:
        """Those of these devices from which or to which an id is on its way."""
        ...

    async def moved(self, move: Move) -> None:
        """A move is finished: the old device has let go and the new one has taken over. May be repeated."""
        ...


class Lifted(NamedTuple):
    """What became of all that a privacy request had suppressed: `gone` from the list, or `kept` because another
    request wants it there.
    """

    gone: set[bytes]
    kept: set[bytes]


class Listing(NamedTuple):
    """Hashes that were put on the list, and the edition that this has made."""

    hashes: set[bytes]
    edition: int


class SuppressionList(Protocol):
    """Hashes, with the privacy requests that want each there. Writes are durable on return; every call may
    suspend and raises StoreUnavailable.

    Each change makes another edition. They are numbered from 1, and whoever sees one sees all before it.
    """

    async def edition(self) -> int:
        """The newest one."""
        ...

    async def suppress(self, texts: Mapping[int, Iterable[str]], at: int) -> Listing:
        """Never take these UUIDs and `dpid:id` again, by the number of the request that wants it. Raises
        StoreUnavailable where one of the requests has ended: it may have been lifted since.
        """
        ...

    async def hashes(self) -> set[bytes]:
        """The whole list."""
        ...

    async def wanted_by(self, digest: bytes) -> list[int]:
        """The requests that want a hash on the list, ascending; 0 stands for those before schema version 2."""
        ...

    async def lift(self, digest: bytes, wanted_by: Collection[int], at: int, *, device: bool) -> bool:
        """Take a hash off the list where none but these requests want it there; False if it is not on it, or stays
        for another one. `device`: it is a UUID's.
        """
        ...

    async def lift_request(self, number: int, at: int) -> Lifted:
        """Take off the list all that this request, and no other one, wants on it."""
        ...

    async def lifted(self) -> dict[bytes, int]:
        """Hashes of devices that were taken off the list and are not on it again, and when."""
        ...
