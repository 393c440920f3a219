"""What a message's end means for the books: ledger rows, who is owed or no longer is, whose turn is over. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from arke.delivery.window import BATCH, OpenDevice
from arke.domain.batch import BatchProgress
from arke.domain.ledger import LedgerRow, Owed, Try
from arke.domain.recording import after_batch, record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.delivery.batch_feed import BatchFeed
    from arke.delivery.channel import Delivery, Message
    from arke.delivery.window import Part
    from arke.storage.ports.shard import Needs


class RecordDeliveries(msgspec.Struct, tag=True, frozen=True):
    """What a lane has done and its shard is to commit: what was told, who is owed, who no longer is, and how
    far the lane and its batch have come.
    """

    destination: int
    ledger: tuple[LedgerRow, ...] = ()
    owed: tuple[Owed, ...] = ()
    no_longer_owed: tuple[int, ...] = ()
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


class Outcome(msgspec.Struct, frozen=True):
    """What to keep, and the devices that have no other message in flight."""

    rows: tuple[LedgerRow, ...]
    owed: tuple[Owed, ...]
    no_longer_owed: tuple[int, ...]
    finished: tuple[OpenDevice, ...]


def conclude(parts: Sequence[Part], message: Message, delivery: Delivery, feed: BatchFeed | None) -> Outcome:
    """The outcome of a message for the devices in it, which are marked as being recorded until `release`.

    `feed`, which brings a batch's devices, knows whether one may have been told the same before.
    """
    destination_id = message.destination.id
    at = int(message.at)
    attempt = Try(at, message.id, delivery.answer, message.kind)
    rows: list[LedgerRow] = []
    owed: list[Owed] = []
    no_longer_owed: list[int] = []
    finished: list[OpenDevice] = []
    for part in parts:
        device, telling = part.device, part.telling
        entry = record(
            part.before,
            telling.ones,
            telling.zeros,
            attempt,
            acknowledged=delivery.acknowledged,
            sent=delivery.sent or device.unsure,
            doubted=device.kind == BATCH and feed is not None and feed.resyncs(device.uid),
            seq=device.last,
            stamp=max(state.verified_ts for state in telling.entry.segments),
        )
        if delivery.acknowledged and message.kind == BATCH:
            entry = after_batch(entry, telling.ones, telling.zeros, telling.dropped)
        rows.append(LedgerRow(device.uid, destination_id, telling.dpid, telling.id, entry))
        device.recording = True
        device.parts -= 1
        if not delivery.acknowledged:
            device.failure = delivery.answer
        if device.parts == 0:
            finished.append(device)
            rows += device.rows
            if device.failure is not None:
                owed.append(Owed(destination_id, device.uid, at, device.last, device.failure))
            elif device.owed:
                no_longer_owed.append(device.uid)
    return Outcome(tuple(rows), tuple(owed), tuple(no_longer_owed), tuple(finished))


def release(parts: Sequence[Part], *, recorded: bool) -> None:
    """The outcome is durable, or the lane is stopping without: then its devices stay open."""
    for part in parts:
        part.device.recording = False
        part.device.parts += not recorded
