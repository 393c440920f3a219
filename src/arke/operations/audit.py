"""The audit: who changed what, and who looked at whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from arke.storage.ports.directory import AuditEntry

if TYPE_CHECKING:
    from arke.engine.engine import Engine

PAGE = 1_000


class AuditReport(msgspec.Struct, frozen=True):
    """What operators did, oldest first, and whether the chain of seals is whole."""

    intact: bool
    entries: list[AuditEntry]


class AuditOperations:
    """Reads and adds to the audit."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def read(self, after: int = 0) -> AuditReport:
        """Up to PAGE entries with a number above `after`."""
        directory = self._engine.directory
        return AuditReport(directory.audit_intact(), directory.audit_entries(after, PAGE))

    async def add(self, actor: str, action: str, detail: str) -> None:
        """`actor` is a token's id, or `local`; `detail` holds no personal data. Raises StoreUnavailable."""
        await self._engine.audit(actor, action, detail)
