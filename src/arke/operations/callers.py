"""Who may call, and what was done: API tokens and the audit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from arke import tokens
from arke.domain.token import LOCAL
from arke.operations.paging import page_size
from arke.storage.ports.directory import AuditEnd, AuditEntry

if TYPE_CHECKING:
    from arke.clock import Clock
    from arke.engine.audit import Audit
    from arke.storage.ports.directory import Audit as StoredAudit
    from arke.storage.ports.directory import Tokens


class TokenFacts(msgspec.Struct, frozen=True):
    """A token without its secret. Times in epoch seconds."""

    id: str
    name: str
    scopes: list[str]
    created: int
    expires: int | None
    revoked: int | None


class NewToken(msgspec.Struct, frozen=True):
    """The only time a token's secret is shown."""

    id: str
    secret: str
    scopes: list[str]
    expires: int | None


class Revoked(msgspec.Struct, frozen=True):
    """The id of the token that is of no use any more."""

    revoked: str


class TokenOperations:
    """Makes, lists and revokes tokens. Every change is audited."""

    def __init__(self, store: Tokens, clock: Clock, audit: Audit) -> None:
        self._store = store
        self._clock = clock
        self._audit = audit

    async def create(
        self, scopes: str, name: str, expires: str | None = None, *, actor: str = LOCAL
    ) -> NewToken:
        """`scopes` are comma separated; `expires` is a lifetime as `90d`, None for ever. Raises InvalidInput."""
        lifetime_s = tokens.parse_lifetime_s(expires) if expires is not None else None
        secret, token = tokens.mint(
            name, scopes.split(","), now=int(self._clock.now()), lifetime_s=lifetime_s
        )
        await self._store.add(token)
        await self._audit.record(actor, "token_created", f"{token.id} with scope {','.join(token.scopes)}")
        return NewToken(token.id, secret, list(token.scopes), token.expires)

    async def every(self) -> list[TokenFacts]:
        """All tokens, also those that are revoked or expired, oldest first."""
        return [
            TokenFacts(t.id, t.name, list(t.scopes), t.created, t.expires, t.revoked)
            for t in await self._store.list()
        ]

    async def revoke(self, token_id: str, *, actor: str = LOCAL) -> Revoked:
        """At once and for good. Raises InvalidInput where there is no such token."""
        now = int(self._clock.now())
        await self._store.revoke(token_id, now)
        await self._audit.record(actor, "token_revoked", token_id)
        return Revoked(token_id)


PAGE = 1_000
NEWEST = 50


__all__ = ["AuditEnd", "AuditEntry", "AuditOperations", "TokenOperations"]


class AuditReport(msgspec.Struct, frozen=True):
    """What operators did, oldest first, and whether the chain of seals is whole. `next`: where to go on."""

    intact: bool
    entries: list[AuditEntry]
    next: str | None = None


class AuditOperations:
    """Reads the audit."""

    def __init__(self, entries: StoredAudit) -> None:
        self._entries = entries

    async def newest(self, before: int | None = None, limit: int = NEWEST) -> list[AuditEntry]:
        """The newest entries, or those with a number below `before`, newest first. Looks at nothing else."""
        end = (await self._entries.end()).entries + 1
        below = end if before is None else max(1, min(before, end))
        found = await self._entries.entries(max(0, below - 1 - limit), limit)
        return [one for one in reversed(found) if one.number < below]

    async def end(self) -> AuditEnd:
        """How many entries there are, and the seal of the last."""
        return await self._entries.end()

    async def intact(self) -> bool:
        """Whether the chain of seals is whole. Reads every entry."""
        return await self._entries.intact()

    async def read(self, after: int = 0, limit: int = PAGE) -> AuditReport:
        """Up to `limit` entries with a number above `after`. Raises InvalidInput."""
        size = page_size(limit)
        found = await self._entries.entries(after, size + 1)
        following = str(found[size - 1].number) if len(found) > size else None
        return AuditReport(await self._entries.intact(), found[:size], following)
