"""Whom and which ids the engine takes: nobody on the suppression list, and at the public door, where anybody may be
asking, no more than what anybody may do (decision 0023).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from arke.domain.event import NOTHING_WITHHELD, Withheld
from arke.domain.homes import is_home
from arke.domain.time import DAY_S
from arke.log import get_logger
from arke.storage.keyed_hash import KeyedHash

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from arke.domain.event import DeclaredId
    from arke.domain.identity import IdKey, Owner
    from arke.domain.ids import IdRules
    from arke.engine.identity.mappings import Mappings
    from arke.engine.identity.people import Sources
    from arke.storage.ports.identities import Identities, Known, Lifted, SuppressionList

TAKEOVERS_PER_DEVICE: Final = 10
"""Ids of other devices that a device may come to have a UTC day at the public door, unless settings say so."""
LOGGED_EVERY_S: Final = 60
"""Between two lines of the log about takeovers that were refused."""

log = get_logger("identity")


class Listed:
    """Who opted out or was deleted, by keyed `hashes`: of all that there are, or of those that were looked up."""

    def __init__(self, keyed: KeyedHash, rules: IdRules | None = None) -> None:
        self._keyed = keyed
        self.hashes: set[bytes] = set()
        self.edition = 0
        """Of the list in which they were looked up; 0 where all are known."""
        self.rules = rules
        """Of the live catalog: an id may have been suppressed in another spelling than it comes in now."""

    def any_of(self, uuid: str | None, ids: Sequence[DeclaredId]) -> bool:
        """Whether nothing may be taken of an event that names these."""
        if not self.hashes:
            return False
        if uuid is not None and self._keyed.digest(uuid) in self.hashes:
            return True
        return any(self.id((declared.dpid, declared.id)) for declared in ids)

    def device(self, uuid: str) -> bool:
        """Whether nothing may be taken about a device."""
        return bool(self.hashes) and self._keyed.digest(uuid) in self.hashes

    def id(self, key: IdKey) -> bool:
        """The same for a partner id."""
        return bool(self.hashes) and any(self._keyed.digest(text) in self.hashes for text in self.texts(key))

    def texts(self, key: IdKey) -> Iterator[str]:
        """All that an id may be on the list as."""
        yield f"{key[0]}:{key[1]}"
        for other in self.rules.spellings(*key) if self.rules is not None else ():
            yield f"{key[0]}:{other}"


class Suppressed(Listed):
    """The suppression list. A change counts here once it is durable.

    Where there are other engines (`look_up` is given) it is not kept: `hashes` are those among what the caller who
    is deciding has just asked for, and anybody else asks by `among`. Shards are told by which edition of the list
    something was decided, and so need not be told who was lifted.
    """

    def __init__(
        self, suppression: SuppressionList, hashes: KeyedHash, look_up: Identities | None = None
    ) -> None:
        super().__init__(hashes)
        self._list = suppression
        self._look_up = look_up
        self.kept = look_up is None
        """Whether nobody has to ask."""
        self._lifted: dict[bytes, int] = {}
        self._changing = asyncio.Lock()
        """The memory follows the list in the order in which the list changes."""

    async def start(self) -> None:
        """Read the list. Before anything else."""
        if self.kept:
            self.hashes = await self._list.hashes()
            self._lifted = await self._list.lifted()

    def recall(self, known: Known) -> None:
        """What the caller who decides next was answered."""
        self.hashes = known.suppressed

    def names(self, key: IdKey, *uuids: str) -> list[tuple[IdKey, bytes]]:
        """What stands on the list for an id and for devices that come to have it, or do."""
        return [(key, self._keyed.digest(text)) for text in (*self.texts(key), *uuids)]

    async def among(self, uuids: Iterable[str] = (), ids: Iterable[IdKey] = ()) -> Listed:
        """Who of these is on the list. Raises StoreUnavailable."""
        if self._look_up is None:
            return self
        texts = {*uuids, *(text for key in ids for text in self.texts(key))}
        known = await self._look_up.look_up((), hashes={self._keyed.digest(text) for text in texts})
        found = Listed(self._keyed, self.rules)
        found.hashes, found.edition = known.suppressed, known.edition
        return found

    async def add(self, texts: Mapping[int, Collection[str]], now: int) -> int:
        """Never take these UUIDs and `dpid:id` again, by the privacy request that wants it. Durable on return:
        in this edition; 0 where nobody else looks into the list.
        """
        async with self._changing:
            listing = await self._list.suppress(texts, now)
            if not self.kept:
                return listing.edition
            self.hashes.update(listing.hashes)
            for digest in listing.hashes & self._lifted.keys():
                del self._lifted[digest]
            return 0

    async def lift(self, text: str, wanted_by: Collection[int], now: int) -> bool:
        """Take a UUID or `dpid:id` again that these requests want suppressed; False if it was not, or another one
        does.
        """
        digest, device = self._keyed.digest(text), ":" not in text
        async with self._changing:
            if not await self._list.lift(digest, wanted_by, now, device=device):
                return False
            await self._off_the_list({digest})
        return True

    async def lift_request(self, number: int, now: int) -> Lifted:
        """Take again all that only this privacy request wanted suppressed."""
        async with self._changing:
            lifted = await self._list.lift_request(number, now)
            await self._off_the_list(lifted.gone)
        return lifted

    async def _off_the_list(self, digests: set[bytes]) -> None:
        if self.kept:
            self._lifted = await self._list.lifted()
            self.hashes -= digests

    @property
    def any_lifted(self) -> bool:
        return bool(self._lifted)

    def lifted_at(self, uuid: str) -> int | None:
        """When the suppression of a device was lifted that has not been heard of since; else None."""
        return self._lifted.get(self._keyed.digest(uuid))

    def readmitted(self, uuid: str) -> None:
        """Its shard has taken the device's mark off."""
        self._lifted.pop(self._keyed.digest(uuid), None)


class PublicDoor:
    """Ids of data sources that only a token may declare are read and never linked, nor is any other to a device
    that such an id led to; and a device comes to have only so many ids of others a day. `refused` counts since the
    start.
    """

    def __init__(self, mappings: Mappings, takeovers_per_device: int) -> None:
        self._mappings = mappings
        self._takeovers_per_device = takeovers_per_device
        self._logged_at = -LOGGED_EVERY_S
        self.refused = 0

    def grant(
        self,
        ids: Sequence[DeclaredId],
        owners: Sequence[Owner | None],
        uuid: str,
        now: int,
        sources: Sources,
        *,
        closed: bool,
    ) -> tuple[Sequence[DeclaredId], Sequence[Owner | None], Withheld]:
        """The ids that a public request may declare, with their owners, and the others. `closed`: the device gets
        no id that it does not have.
        """
        by_token, takeovers = [], []
        granted: list[tuple[DeclaredId, Owner | None]] = []
        for declared, owner in zip(ids, owners, strict=True):
            key = (declared.dpid, declared.id)
            foreign = owner is not None and owner.uuid != uuid
            elsewhere = owner is not None and foreign and not is_home(owner.uuid)  # on another device
            if key[0] in sources.by_token or (closed and (owner is None or foreign)):
                by_token.append(declared)
            elif elsewhere and not self._may_take(uuid, key, now, sources):
                takeovers.append(declared)
            else:
                granted.append((declared, owner))
        if not by_token and not takeovers:
            return ids, owners, NOTHING_WITHHELD
        withheld = Withheld(ids=tuple(by_token), takeovers=tuple(takeovers))
        return [one for one, _ in granted], [owner for _, owner in granted], withheld

    def _may_take(self, uuid: str, key: IdKey, now: int, sources: Sources) -> bool:
        """Whether an id may come to this device though it leads to another; counts it if so. Between the devices
        of one person it goes back and forth freely.
        """
        memory, today = self._mappings.memory, (uuid, now // DAY_S)
        if key[0] in sources.cross_device and (*key, uuid) in memory.people:
            return True
        if memory.takeovers.get(today, 0) < self._takeovers_per_device:
            self._mappings.count_takeover(today)
            return True
        self.refused += 1
        if now - self._logged_at >= LOGGED_EVERY_S:
            self._logged_at = now
            log.warning("takeovers_refused", since_start=self.refused)
        return False
