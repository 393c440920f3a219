"""The audit: what operators did, sealed entry by entry in the directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.log import get_logger

if TYPE_CHECKING:
    from arke.clock import Clock
    from arke.storage.ports import directory

log = get_logger("engine")


class Audit:
    """Adds entries, each with its actor: a token's id, or `local`."""

    def __init__(self, entries: directory.Audit, clock: Clock) -> None:
        self._entries = entries
        self._clock = clock

    async def record(self, actor: str, action: str, detail: str) -> None:
        """Durable on return. The log gets the audit's new end, without who and what: a cut is found out by it."""
        now = int(self._clock.now())
        end = await self._entries.add(now, actor, action, detail)
        log.info("audited", action=action, entries=end.entries, seal=end.seal)

    async def log_end(self) -> None:
        """Say how far the audit goes, and whether it is whole."""
        end = await self._entries.end()
        log.info("audit", entries=end.entries, seal=end.seal)
        if not await self._entries.intact():
            log.error("audit_broken", entries=end.entries)
