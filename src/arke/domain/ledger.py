"""The ledger: what each partner id was last told about each alias, by one destination.

One row per (device, destination, partner id), because an exit must reach exactly the ids that were told 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

TOLD_0 = 0
TOLD_1 = 1
MAYBE_1 = 2
"""A 1 was attempted and not acknowledged: the destination may know it."""
MAYBE_0 = 3
"""A 0 was attempted and not acknowledged: the destination may still believe 1."""

TRIES_KEPT = 5


class Try(msgspec.Struct, array_like=True, frozen=True):
    """One delivery of this id: when, in which message, and how it ended (`200`, `500`, `timeout`, ...)."""

    at: int
    message: str
    answer: str
    kind: str


class LedgerEntry(msgspec.Struct, array_like=True):
    """`seq` is the journal position the last message covered, `told` the state per alias.

    `seq` 0: the id came from another device, and this one has not had an acknowledgement for it yet. `stamp`
    is the newest DateTime that the id was told, in epoch seconds: a change told later must not look older.
    `batched` has the aliases that the last batch left this id with: the next one tells the net change since.
    """

    seq: int
    told: dict[str, int]
    tries: list[Try]
    stamp: int = 0
    batched: dict[str, int] = {}

    def settles(self, alias: str, *, active: bool) -> bool:
        """Whether the id has acknowledged this state of an alias; a 0 also if it was never told a 1."""
        status = self.told.get(alias)
        return status == TOLD_1 if active else status in (None, TOLD_0)


class LedgerRow(msgspec.Struct, array_like=True):
    """A ledger entry with its key."""

    uid: int
    destination: int
    dpid: int
    id: str
    entry: LedgerEntry


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(LedgerEntry)
encode_entry = _encoder.encode
decode_entry = _decoder.decode


def record(
    before: LedgerEntry | None,
    ones: Collection[str],
    zeros: Collection[str],
    attempt: Try,
    *,
    acknowledged: bool,
    sent: bool = True,
    doubted: bool = False,
    seq: int,
    stamp: int = 0,
) -> LedgerEntry:
    """The ledger entry after one delivery that told `ones` and `zeros`, the newest as of `stamp`; not `sent`,
    it told nothing. `doubted`: it was a resync's, which takes no 1 for known that was acknowledged before: it
    stays to be told until it is acknowledged anew.
    """
    told = dict(before.told) if before is not None else {}
    if doubted:
        told |= {alias: MAYBE_1 for alias in ones if told.get(alias) == TOLD_1}
    if not sent:
        ones = zeros = ()
        stamp = 0
    for alias in ones:
        told[alias] = TOLD_1 if acknowledged or told.get(alias) == TOLD_1 else MAYBE_1
    for alias in zeros:
        told[alias] = TOLD_0 if acknowledged else MAYBE_0
    tries = [*(before.tries if before is not None else ()), attempt][-TRIES_KEPT:]
    if before is not None:
        seq = max(seq, before.seq) if acknowledged or before.seq else 0
        stamp = max(stamp, before.stamp)
    batched = before.batched if before is not None else {}
    return LedgerEntry(seq, told, tries, stamp, batched)


def after_batch(
    entry: LedgerEntry, ones: Iterable[str], zeros: Iterable[str], dropped: Iterable[str] = ()
) -> LedgerEntry:
    """The entry once a batch is acknowledged that told `ones` and `zeros`; `dropped` no longer hold, and the
    destination is not to hear of it.
    """
    over = {*zeros, *dropped}
    batched = {alias: 1 for alias in entry.batched if alias not in over} | dict.fromkeys(ones, 1)
    return LedgerEntry(entry.seq, entry.told, entry.tries, entry.stamp, batched)
