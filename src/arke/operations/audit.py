"""The audit: who changed what, and who looked at whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from arke.storage.ports.directory import AuditEntry

if TYPE_CHECKING:
    from arke.storage.ports.directory import Directory

PAGE = 1_000


class AuditReport(msgspec.Struct, frozen=True):
    """What operators did, oldest first, and whether the chain of seals is whole."""

    intact: bool
    entries: list[AuditEntry]


class AuditOperations:
    """Reads the audit."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    async def read(self, after: int = 0) -> AuditReport:
        """Up to PAGE entries with a number above `after`."""
        return AuditReport(self._directory.audit_intact(), self._directory.audit_entries(after, PAGE))
