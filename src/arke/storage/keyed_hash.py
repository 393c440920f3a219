"""A store's keyed hash: numbers for devices, and names for what must be recognised and not be kept. Pure."""

from __future__ import annotations

import hashlib

_MASK = (1 << 62) - 1


class KeyedHash:
    """The same key gives the same hashes, in every process and in every adapter."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def uid(self, uuid: str) -> int:
        """Where a device stands, 0 to 2**62 - 1; another may stand there already."""
        digest = hashlib.blake2b(uuid.encode(), key=self._key, digest_size=8).digest()
        return int.from_bytes(digest, "little") & _MASK

    def digest(self, text: str) -> bytes:
        """What stands for a UUID or `dpid:id` where neither may be stored."""
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=self._key, digest_size=16).digest()

    def name(self, text: str) -> str:
        """The same as text, shorter: what a shard's store may keep of an id."""
        return hashlib.blake2b(
            text.encode("utf-8", "surrogatepass"), key=self._key, digest_size=12
        ).hexdigest()


def next_uid(uid: int) -> int:
    """Where to look for a device whose place is taken."""
    return (uid + 1) & _MASK
