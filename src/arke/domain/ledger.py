"""The ledger: what each partner id was last told about each alias, by one destination.

One row per (device, destination, partner id), because an exit must reach exactly the ids that were told 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    pass

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


class Owed(msgspec.Struct, array_like=True, frozen=True):
    """A device's news that a destination has not acknowledged; `seq` is the journal position it covers."""

    destination: int
    uid: int
    since: int
    seq: int
    reason: str


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(LedgerEntry)
encode_entry = _encoder.encode
decode_entry = _decoder.decode
