"""The suppression list as every event is held against it: in memory, and read once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from arke.domain.event import DeclaredId
    from arke.domain.identity import IdKey
    from arke.storage.ports.suppression import Lifted, SuppressionList


class Suppressed:
    """Who opted out or was deleted, by keyed `hashes`. A change counts here once it is durable."""

    def __init__(self, suppression: SuppressionList, hash_of: Callable[[str], bytes]) -> None:
        self._list = suppression
        self._hash_of = hash_of
        self.hashes: set[bytes] = set()
        self._lifted: dict[bytes, int] = {}
        self._changing = asyncio.Lock()
        """The memory follows the list in the order in which the list changes."""

    async def start(self) -> None:
        """Read the list. Before anything else."""
        self.hashes = await self._list.hashes()
        self._lifted = await self._list.lifted()

    def any_of(self, uuid: str | None, ids: Sequence[DeclaredId]) -> bool:
        """Whether nothing may be taken of an event that names these."""
        if not self.hashes:
            return False
        if uuid is not None and self._hash_of(uuid) in self.hashes:
            return True
        return any(self._hash_of(f"{declared.dpid}:{declared.id}") in self.hashes for declared in ids)

    def device(self, uuid: str) -> bool:
        """Whether nothing may be taken about a device."""
        return bool(self.hashes) and self._hash_of(uuid) in self.hashes

    def id(self, key: IdKey) -> bool:
        """The same for a partner id."""
        return bool(self.hashes) and self._hash_of(f"{key[0]}:{key[1]}") in self.hashes

    async def add(self, texts: Mapping[int, Collection[str]], now: int) -> None:
        """Never take these UUIDs and `dpid:id` again, by the privacy request that wants it. Durable on return."""
        async with self._changing:
            fresh = await self._list.suppress(texts, now)
            self.hashes.update(fresh)
            for digest in fresh & self._lifted.keys():
                del self._lifted[digest]

    async def lift(self, text: str, now: int) -> bool:
        """Take a UUID or `dpid:id` again, whoever wanted it suppressed; False if it was not."""
        digest, device = self._hash_of(text), ":" not in text
        async with self._changing:
            if not await self._list.lift(digest, now, device=device):
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
        self._lifted = await self._list.lifted()
        self.hashes -= digests

    @property
    def any_lifted(self) -> bool:
        return bool(self._lifted)

    def lifted_at(self, uuid: str) -> int | None:
        """When the suppression of a device was lifted that has not been heard of since; else None."""
        return self._lifted.get(self._hash_of(uuid))

    def readmitted(self, uuid: str) -> None:
        """Its shard has taken the device's mark off."""
        self._lifted.pop(self._hash_of(uuid), None)
