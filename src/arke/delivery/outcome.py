"""What a message's end means for the books: ledger rows, who is owed or no longer is, whose turn is over. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from arke.delivery.open_device import BATCH
from arke.delivery.report import Outcome
from arke.domain.ledger import LedgerRow, Owed, Try
from arke.domain.recording import after_batch, record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.delivery.batch_feed import BatchFeed
    from arke.delivery.channel import Delivery, Message
    from arke.delivery.open_device import OpenDevice, Part
    from arke.domain.catalog import Destination


RESEND_AFTER_S: Final = (60, 300, 1_800, 7_200, 21_600, 86_400)
"""When what is owed is due again after its first, second, ... failure; the last one from then on."""
PART_AFTER_REFUSAL = 10
"""Users of a refused message go, when next sent, in messages of a tenth of its size: alone where they were ten or
fewer.
"""


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
    caught_up: list[str] = []
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
            if device.caught_up:
                caught_up.append(device.caught_up)
            if device.failure is not None:
                owed.append(owe(message.destination, device, device.failure, at, now))
                remind.append(telling.entry.uuid)
            elif device.owed:
                no_longer_owed.append(device.uid)
    if message.destination.owed == "strict" or not message.destination.realtime:
        remind.clear()
    return Outcome(
        tuple(rows), tuple(owed), tuple(no_longer_owed), tuple(finished), tuple(remind), tuple(caught_up)
    )


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
