"""Which shard a device lives in, for ever: a pure function of its UUID and the number of shards."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def shard_of(key: str, shards: int) -> int:
    """The number of the shard, from 0, of a device's UUID or of a person's home."""
    return zlib.crc32(key.encode()) % shards


def shards_of(keys: Iterable[str], shards: int) -> list[int]:
    """The same for many."""
    crc32 = zlib.crc32
    return [crc32(key.encode()) % shards for key in keys]
