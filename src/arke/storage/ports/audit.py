"""What operators did, each entry sealed with all before it."""

from __future__ import annotations

from typing import Protocol

import msgspec


class AuditEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing an operator did. `actor` is a token's id, or `local`; `detail` holds no personal data. `seal`: the
    hash of this and of all before it, hexadecimal.
    """

    number: int
    at: int
    actor: str
    action: str
    detail: str
    seal: str = ""


class AuditEnd(msgspec.Struct, frozen=True):
    """How many entries the audit has, and the seal of the last: whoever keeps both finds out if any is gone."""

    entries: int
    seal: str


class Audit(Protocol):
    """Entries are only added. Every call may suspend and raises StoreUnavailable."""

    async def add(self, at: int, actor: str, action: str, detail: str) -> AuditEnd:
        """Add an entry, sealed with the one before it, durable on return; the end that the audit now has."""
        ...

    async def end(self) -> AuditEnd:
        """The end that the audit had when it was last written, whatever has been taken out since."""
        ...

    async def entries(self, after: int, limit: int) -> list[AuditEntry]:
        """Entries with number > after, ascending."""
        ...

    async def intact(self) -> bool:
        """Whether every seal still fits, up to the end: nothing was changed or taken out. Reads all entries."""
        ...
