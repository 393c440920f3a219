"""What a message's end means for the books: ledger rows, who is owed or no longer is, whose turn is over. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

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
    from arke.domain.catalog import Destination
    from arke.storage.ports.shard import Needs


RESEND_AFTER_S: Final = (60, 300, 1_800, 7_200, 21_600, 86_400)
"""When what is owed is due again after its first, second, ... failure; the last one from then on."""
PART_AFTER_REFUSAL = 10
"""Users of a refused message go, when next sent, in messages of a tenth of its size: alone where they were ten or
fewer.
"""


class RecordDeliveries(msgspec.Struct, tag=True, frozen=True):
    """What a lane has done and its shard is to commit: what was told, who is owed, who no longer is, and how
    far the lane and its batch have come. `remind`: UUIDs of devices that are owed and told when they are next seen.
    `in_hand`: devices that are owed and about to be sent again.
    """

    destination: int
    ledger: tuple[LedgerRow, ...] = ()
    owed: tuple[Owed, ...] = ()
    no_longer_owed: tuple[int, ...] = ()
    cursor: int | None = None
    batch: BatchProgress | None = None
    remind: tuple[str, ...] = ()
    in_hand: tuple[int, ...] = ()

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


class Outcome(msgspec.Struct, frozen=True):
    """What to keep, and the devices that have no other message in flight."""

    rows: tuple[LedgerRow, ...]
    owed: tuple[Owed, ...]
    no_longer_owed: tuple[int, ...]
    finished: tuple[OpenDevice, ...]
    remind: tuple[str, ...] = ()


def conclude(
    parts: Sequence[Part], message: Message, delivery: Delivery, feed: BatchFeed | None, now: float
) -> Outcome:
    """The outcome of a message, which ended `now`, for the devices in it, which are marked as being recorded until
    `release`.

    `feed`, which brings a batch's devices, knows whether one may have been told the same before.
    """
    destination_id, batch = message.destination.id, message.kind == BATCH
    acknowledged, sent = delivery.acknowledged, delivery.sent
    at = int(message.at)
    attempt = Try(at, message.id, delivery.answer, message.kind).stored()
    rows: list[LedgerRow] = []
    owed: list[Owed] = []
    no_longer_owed: list[int] = []
    finished: list[OpenDevice] = []
    remind: list[str] = []
    for part in parts:
        device, telling = part.device, part.telling
        entry = record(
            part.before,
            telling.ones,
            telling.zeros,
            attempt,
            acknowledged=acknowledged,
            sent=sent or device.unsure,
            doubted=feed is not None and device.kind == BATCH and feed.resyncs(device.uid),
            seq=device.last,
            stamp=telling.stamp,
        )
        if batch and acknowledged:
            entry = after_batch(entry, telling.ones, telling.zeros, telling.dropped)
        rows.append(LedgerRow(device.uid, destination_id, telling.dpid, telling.id, entry))
        device.recording = True
        device.parts -= 1
        if not acknowledged:
            device.failure = delivery.answer
            device.refused = max(device.refused, len(parts) * delivery.refused)
        if device.parts == 0:
            finished.append(device)
            rows += device.rows
            if device.failure is not None:
                owed.append(owe(message.destination, device, device.failure, at, now))
                remind.append(telling.entry.uuid)
            elif device.owed:
                no_longer_owed.append(device.uid)
    if message.destination.owed == "strict" or not message.destination.realtime:
        remind.clear()
    return Outcome(tuple(rows), tuple(owed), tuple(no_longer_owed), tuple(finished), tuple(remind))


def owe(destination: Destination, device: OpenDevice, reason: str, at: int, now: float) -> Owed:
    """What is owed about a device since a message of `at` failed that ended `now`: when it is due again, and with
    how many others it may be sent.
    """
    before = device.debt
    tries = 1 if before is None else before.tries + 1
    pause_s = RESEND_AFTER_S[min(tries, len(RESEND_AFTER_S)) - 1]
    share = device.share
    if device.refused:
        part = max(1, device.refused // PART_AFTER_REFUSAL)
        share = min(share, part) if share else part
    return Owed(
        destination.id,
        device.uid,
        at,
        device.last,
        reason,
        tries,
        tried=now,
        due=int(now) + pause_s,
        share=share,
    )


def release(parts: Sequence[Part], *, recorded: bool) -> None:
    """The outcome is durable, or the lane is stopping without: then its devices stay open."""
    for part in parts:
        part.device.recording = False
        part.device.parts += not recorded
