"""What a lane tells its shard to keep."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from arke.domain.batch import BatchProgress
from arke.domain.ledger import LedgerRow, Owed

if TYPE_CHECKING:
    from arke.storage.ports.shard import Needs


class LaneReport(msgspec.Struct, tag=True, frozen=True):
    """What a lane has done and must be kept: told, owed, settled, and how far it and its batch have come."""

    destination: int
    ledger: tuple[LedgerRow, ...] = ()
    owed: tuple[Owed, ...] = ()
    settled: tuple[int, ...] = ()
    cursor: int | None = None
    batch: BatchProgress | None = None

    @property
    def key(self) -> None:
        return None

    @property
    def weight(self) -> int:
        return len(self.ledger) or 1

    def need(self, needs: Needs) -> None:
        if self.batch is not None:
            needs.batches.add(self.destination)
