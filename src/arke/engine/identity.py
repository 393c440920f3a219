"""Identity: which device an event is about, and who owns a partner id now (SPEC section 7, dossier 13).

Rules: a UUID given beats what ids map to. Otherwise the first id that belongs to a device decides, device ids
before cross-device ones; if none is known, a new UUID is made. Every id of the event then belongs to that
device: the newest mapping wins. A cookie or advertising id that belonged to another device leaves it (a
move); a cross-device id may stay on several.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from arke.clock import new_uuid
from arke.errors import StoreUnavailable
from arke.storage.ports import Move

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.clock import Entropy
    from arke.domain.event import DeclaredId
    from arke.engine.committer import Committer
    from arke.storage.ports import Directory, IdKey

CACHED_IDS = 500_000
"""Ids whose owner is kept in memory."""


class Resolved(msgspec.Struct, frozen=True):
    """The device of an event, and the ids that leave other devices for it."""

    uuid: str
    moves: tuple[Move, ...] = ()
    suppressed: bool = False


class _Batch:
    """Links and moves that become durable together."""

    def __init__(self) -> None:
        self.links: dict[IdKey, tuple[str, int]] = {}
        self.moves: list[Move] = []
        self.done = False
        self.error: StoreUnavailable | None = None


class Identity:
    """Resolves devices. `resolve` sees its own earlier answers; `flush` makes them durable."""

    def __init__(self, directory: Directory, committer: Committer, entropy: Entropy) -> None:
        self._directory = directory
        self._committer = committer
        self._entropy = entropy
        self._owners: dict[IdKey, str] = {}
        self._batch = _Batch()
        self._writing: _Batch | None = None
        self._lock = asyncio.Lock()
        self._suppressed = directory.suppressed()
        self._cross_device: frozenset[int] = frozenset()

    def know(self, cross_device: frozenset[int]) -> None:
        """The DPIDs of people rather than devices, from the live catalog."""
        self._cross_device = cross_device

    def owner(self, key: IdKey) -> str | None:
        uuid = self._owners.get(key)
        if uuid is None:
            uuid = self._directory.find((key,)).get(key)
            if uuid is not None:
                self._remember(key, uuid)
        return uuid

    def resolve(self, uuid: str | None, ids: Sequence[DeclaredId], now: int) -> Resolved:
        """Find or make the device. New mappings take effect at once and are durable after `flush`."""
        if self._suppressed and self._is_suppressed(uuid, ids):
            return Resolved(uuid or "", suppressed=True)
        owners = {(declared.dpid, declared.id): self.owner((declared.dpid, declared.id)) for declared in ids}
        if uuid is None:
            uuid = self._device_of(owners)
        moves = []
        for key, owner in owners.items():
            if owner == uuid:
                continue
            if owner is not None and key[0] not in self._cross_device:
                moves.append(Move(key[0], key[1], owner, uuid, now))
            self._batch.links[key] = (uuid, now)
            self._remember(key, uuid)
        self._batch.moves.extend(moves)
        if self._suppressed and self._is_suppressed(uuid, ()):
            return Resolved(uuid, suppressed=True)
        return Resolved(uuid, tuple(moves))

    def _device_of(self, owners: dict[IdKey, str | None]) -> str:
        for of_people in (False, True):
            for key, owner in owners.items():
                if owner is not None and (key[0] in self._cross_device) == of_people:
                    return owner
        return new_uuid(self._entropy)

    def _remember(self, key: IdKey, uuid: str) -> None:
        if len(self._owners) >= CACHED_IDS:
            self._forget(self._writing, self._batch)
        self._owners[key] = uuid

    def _forget(self, *kept: _Batch | None) -> None:
        """Empty the cache but for what only these batches know: the directory cannot tell it yet."""
        batches = [batch for batch in kept if batch is not None]
        self._owners = {known: owner for batch in batches for known, (owner, _) in batch.links.items()}

    async def flush(self) -> None:
        """Durable up to here, what another caller is just writing included. Raises StoreUnavailable."""
        before, batch = self._writing, self._batch
        if before is None and not batch.links:
            return
        async with self._lock:
            for leaned_on in (before, batch):
                if leaned_on is not None and leaned_on.error is not None:
                    raise StoreUnavailable(str(leaned_on.error))
            if batch.done or not batch.links:
                return
            self._batch, self._writing = _Batch(), batch
            try:
                await self._committer.run(self._directory.link, batch.links, batch.moves)
            except StoreUnavailable as error:
                batch.error = error
                self._forget(self._batch)
                raise
            finally:
                self._writing = None
            batch.done = True

    async def moved(self, move: Move) -> None:
        await self._committer.run(self._directory.moved, move)

    # --- suppression ------------------------------------------------------------------------------------

    def _is_suppressed(self, uuid: str | None, ids: Sequence[DeclaredId]) -> bool:
        hash_of = self._directory.hash_of
        if uuid is not None and hash_of(uuid) in self._suppressed:
            return True
        return any(hash_of(f"{declared.dpid}:{declared.id}") in self._suppressed for declared in ids)

    async def suppress(self, uuids: Sequence[str], ids: Sequence[DeclaredId], now: int) -> None:
        """Never take these again; durable on return."""
        texts = [*uuids, *(f"{declared.dpid}:{declared.id}" for declared in ids)]
        self._suppressed.update(await self._committer.run(self._directory.suppress, texts, now))
