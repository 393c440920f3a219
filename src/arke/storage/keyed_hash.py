"""A store's keyed hash: numbers for devices, and names for what must be recognised and not be kept. Pure."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from arke.domain.placement import shard_of

if TYPE_CHECKING:
    from collections.abc import Iterable

_MASK = (1 << 62) - 1


class KeyedHash:
    """The same key gives the same hashes, in every process and in every adapter."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._keyed = hashlib.blake2b(key=key, digest_size=8)

    def uid(self, uuid: str) -> int:
        """Where a device stands, 0 to 2**62 - 1; another may stand there already."""
        digest = self._keyed.copy()  # cheaper than to begin one with the key
        digest.update(uuid.encode())
        return int.from_bytes(digest.digest(), "little") & _MASK

    def digest(self, text: str) -> bytes:
        """What stands for a UUID or `dpid:id` where neither may be stored."""
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=self._key, digest_size=16).digest()

    def name(self, text: str) -> str:
        """The same as text, shorter: what a shard's store may keep of an id."""
        return hashlib.blake2b(
            text.encode("utf-8", "surrogatepass"), key=self._key, digest_size=12
        ).hexdigest()


KEY_BYTES: Final = 16
"""Of a shard's key."""


class DeviceHashes:
    """The hashes that a shard makes of its devices. A device's are made with the key of the shard that it was
    in first, however its shard was put together of others since: what is stored of them stays true. `keys` are
    those of all shards that there were then, by their numbers, one behind the other; mostly it is one.
    """

    def __init__(self, keys: bytes) -> None:
        self.keys = keys
        parts = [keys]
        if len(keys) > KEY_BYTES and len(keys) % KEY_BYTES == 0:
            parts = [keys[start : start + KEY_BYTES] for start in range(0, len(keys), KEY_BYTES)]
        self._hashes = [KeyedHash(part) for part in parts]

    def of(self, uuid: str) -> KeyedHash:
        """Those of one device, by its UUID."""
        if len(self._hashes) == 1:
            return self._hashes[0]
        return self._hashes[shard_of(uuid, len(self._hashes))]

    def uid(self, uuid: str) -> int:
        """Where a device stands: see `KeyedHash.uid`."""
        return self.of(uuid).uid(uuid)

    def uids(self, uuids: Iterable[str]) -> list[int]:
        """The same of many devices."""
        if len(self._hashes) == 1:
            return list(map(self._hashes[0].uid, uuids))
        return list(map(self.uid, uuids))

    def name(self, uuid: str) -> str:
        """A device's own name, where it may not be stored."""
        return self.of(uuid).name(uuid)


def next_uid(uid: int) -> int:
    """Where to look for a device whose place is taken."""
    return (uid + 1) & _MASK
