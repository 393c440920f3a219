"""Batches as operators begin and follow them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.domain.token import LOCAL
from arke.engine.batches import DestinationBatches, RunFacts

if TYPE_CHECKING:
    from arke.engine.audit import Audit
    from arke.engine.batches import Batches

__all__ = ["BatchOperations", "DestinationBatches", "RunFacts"]


class BatchOperations:
    """Begins batch runs and says how far they are. Every beginning is audited."""

    def __init__(self, batches: Batches, audit: Audit) -> None:
        self._batches = batches
        self._audit = audit

    async def every(self) -> list[DestinationBatches]:
        """Every destination's batches: what ran, what runs, what is due."""
        return await self._batches.status()

    async def show(self, destination: int, number: int) -> RunFacts:
        """One run, with how far it is. Raises InvalidInput."""
        return await self._batches.run(destination, number)

    async def run(self, destination: int, *, actor: str = LOCAL) -> RunFacts:
        """Begin a batch now; answers at once. Raises InvalidInput, BatchRunning."""
        record = await self._batches.start(destination, "command")
        await self._audit.record(actor, "batch_begun", f"batch {record.number} of destination {destination}")
        return await self.show(destination, record.number)

    async def resync(self, destination: int, *, actor: str = LOCAL) -> RunFacts:
        """Begin to send the full current state; answers at once. Raises InvalidInput, BatchRunning."""
        record = await self._batches.start(destination, "resync")
        await self._audit.record(actor, "resync_begun", f"batch {record.number} of destination {destination}")
        return await self.show(destination, record.number)
