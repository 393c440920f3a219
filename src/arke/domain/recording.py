"""Computes the ledger entry that follows a delivery. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.domain.ledger import MAYBE_0, MAYBE_1, TOLD_0, TOLD_1, TRIES_KEPT, LedgerEntry

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from msgspec import Raw


def record(
    before: LedgerEntry | None,
    ones: Collection[str],
    zeros: Collection[str],
    attempt: Raw,
    *,
    acknowledged: bool,
    sent: bool = True,
    doubted: bool = False,
    seq: int,
    stamp: int = 0,
) -> LedgerEntry:
    """The entry after one delivery (`attempt`, as it is stored) that told the aliases `ones` and `zeros`, as of
    DateTime `stamp`.

    An alias that was not acknowledged becomes MAYBE_1 or MAYBE_0; a 1 that was acknowledged before stays TOLD_1.
    If nothing was `sent`, the entry keeps what was told. `doubted` says that the delivery belonged to a resync,
    which takes no earlier acknowledgement for granted: a 1 must be acknowledged anew.
    """
    told = before.told.copy() if before is not None else {}
    if doubted:
        told |= {alias: MAYBE_1 for alias in ones if told.get(alias) == TOLD_1}
    if not sent:
        ones = zeros = ()
        stamp = 0
    if acknowledged:
        for alias in ones:
            told[alias] = TOLD_1
    else:
        for alias in ones:
            told[alias] = TOLD_1 if told.get(alias) == TOLD_1 else MAYBE_1
    for alias in zeros:
        told[alias] = TOLD_0 if acknowledged else MAYBE_0
    if before is None:
        return LedgerEntry(seq, told, [attempt], stamp, {})
    seq = max(seq, before.seq) if acknowledged or before.seq else 0
    tries = [*before.stored_tries, attempt][-TRIES_KEPT:]
    return LedgerEntry(seq, told, tries, max(stamp, before.stamp), before.batched)


def after_batch(
    entry: LedgerEntry, ones: Iterable[str], zeros: Iterable[str], dropped: Iterable[str] = ()
) -> LedgerEntry:
    """The entry after an acknowledged batch that told `ones` and `zeros`. The aliases `dropped` no longer hold
    either, but the destination takes no 0 for them.
    """
    over = {*zeros, *dropped}
    batched = {alias: 1 for alias in entry.batched if alias not in over} | dict.fromkeys(ones, 1)
    return LedgerEntry(entry.seq, entry.told, entry.stored_tries, entry.stamp, batched)
