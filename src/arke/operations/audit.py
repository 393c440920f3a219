"""The audit: who changed what, and who looked at whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from arke.storage.ports.directory import AuditEntry

if TYPE_CHECKING:
    from arke.storage.ports.directory import Audit

PAGE = 1_000


class AuditReport(msgspec.Struct, frozen=True):
    """What operators did, oldest first, and whether the chain of seals is whole."""

    intact: bool
    entries: list[AuditEntry]


class AuditOperations:
    """Reads the audit."""

    def __init__(self, entries: Audit) -> None:
        self._entries = entries

    async def read(self, after: int = 0) -> AuditReport:
        """Up to PAGE entries with a number above `after`."""
        return AuditReport(await self._entries.intact(), await self._entries.entries(after, PAGE))
