"""What a lane tells its shard to keep."""

from __future__ import annotations

import msgspec

from arke.domain.batch import BatchProgress
from arke.domain.ledger import LedgerRow, Owed


class LaneReport(msgspec.Struct, tag=True, frozen=True):
    """What a lane has done and must be kept: told, owed, settled, and how far it and its batch have come."""

    destination: int
    ledger: tuple[LedgerRow, ...] = ()
    owed: tuple[Owed, ...] = ()
    settled: tuple[int, ...] = ()
    cursor: int | None = None
    batch: BatchProgress | None = None
