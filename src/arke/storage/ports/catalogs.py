"""Every catalog version that was ever applied."""

from __future__ import annotations

from typing import Protocol

import msgspec


class StoredCatalog(msgspec.Struct, frozen=True):
    """One applied catalog: canonical JSON, and per destination the version of its last mapping change and the
    aliases that it was told by earlier ones and not by this, with the segment each stood for.
    """

    version: int
    at: int
    body: bytes
    mapping_versions: dict[int, int]
    note: str
    retired: dict[int, dict[str, int]] = {}


class Catalogs(Protocol):
    """Versions are never changed. Every call may suspend and raises StoreUnavailable."""

    async def get(self, version: int | None = None) -> StoredCatalog | None:
        """A stored catalog; the newest where no version is given."""
        ...

    async def versions(self) -> list[tuple[int, int, str]]:
        """(version, at, note) of every catalog, newest first."""
        ...

    async def add(self, stored: StoredCatalog) -> None:
        """Durable on return. Raises StoreUnavailable also for a version that is stored already."""
        ...
