"""What a delivery makes of the ledger: pure functions over its entries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.domain.ledger import MAYBE_0, MAYBE_1, TOLD_0, TOLD_1, TRIES_KEPT, LedgerEntry, Try

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable


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
