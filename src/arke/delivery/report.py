"""What a lane reports to its shard, and what a message's end means for the books, as data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from arke.delivery.open_device import OpenDevice
from arke.domain.batch import BatchProgress
from arke.domain.ledger import LedgerRow, Owed

if TYPE_CHECKING:
    from arke.storage.ports.shard import Needs


class RecordDeliveries(msgspec.Struct, tag=True, frozen=True):
    """What a lane has done and its shard is to commit: what was told, who is owed, who no longer is, and how
    far the lane and its batch have come. `remind`: UUIDs of devices that are owed and told when they are next seen.
    `caught_up`: keys of devices that were told at `at` what had changed while they were not seen.
    `in_hand`: devices that are owed and about to be sent again. `may_wait`: nothing waits for it to be durable.
    """

    destination: int
    ledger: tuple[LedgerRow, ...] = ()
    owed: tuple[Owed, ...] = ()
    no_longer_owed: tuple[int, ...] = ()
    cursor: int | None = None
    batch: BatchProgress | None = None
    remind: tuple[str, ...] = ()
    in_hand: tuple[int, ...] = ()
    caught_up: tuple[str, ...] = ()
    at: int = 0
    may_wait: bool = False

    @property
    def key(self) -> None:
        return None

    @property
    def weight(self) -> int:
        return len(self.ledger) or 1

    def need(self, needs: Needs) -> None:
        if self.batch is not None:
            needs.batches.add(self.destination)
        needs.devices.extend(self.remind)
        needs.devices.extend(self.caught_up)


class Outcome(msgspec.Struct, frozen=True):
    """What to keep, and the devices that have no other message in flight."""

    rows: tuple[LedgerRow, ...]
    owed: tuple[Owed, ...]
    no_longer_owed: tuple[int, ...]
    finished: tuple[OpenDevice, ...]
    remind: tuple[str, ...] = ()
    caught_up: tuple[str, ...] = ()
