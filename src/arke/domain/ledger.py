"""The ledger: what each partner id was last told about each alias, by one destination.

One row per (device, destination, partner id), because an exit must reach exactly the ids that were told 1.
"""

from __future__ import annotations

import msgspec

TOLD_0 = 0
TOLD_1 = 1
MAYBE_1 = 2
"""A 1 was attempted and not acknowledged: the destination may know it."""
MAYBE_0 = 3
"""A 0 was attempted and not acknowledged: the destination may still believe 1."""

TRIES_KEPT = 5


class Try(msgspec.Struct, array_like=True, frozen=True):
    """One delivery of this id: when and how it ended (`200`, `timeout`, ...), the message's id and its kind."""

    at: int
    message: str
    answer: str
    kind: str

    def stored(self) -> msgspec.Raw:
        """As a ledger entry keeps it."""
        return msgspec.Raw(_encoder.encode(self))


class LedgerEntry(msgspec.Struct, array_like=True):
    """What one destination was told about one partner id.

    `told` maps an alias to what was told last (TOLD_0, TOLD_1, MAYBE_1, MAYBE_0). `seq` is the journal position
    that the last message covered; 0 says that the id came from another device, and that no message about this
    one was acknowledged since. `tries` are the last deliveries, oldest first. `stamp` is the newest DateTime
    that was told, in epoch seconds: a later change must not look older. `batched` has the aliases that the id
    was in after the last acknowledged batch: the next batch tells the net changes since.

    Tries are kept as they are stored: a lane reads and writes them with every message and looks at none.
    """

    seq: int
    told: dict[str, int]
    stored_tries: list[msgspec.Raw]
    stamp: int = 0
    batched: dict[str, int] = {}

    @property
    def tries(self) -> list[Try]:
        return [_decode_try(one) for one in self.stored_tries]

    def acknowledges(self, alias: str, *, active: bool) -> bool:
        """Whether the destination has acknowledged this state of an alias. A 0 needs none where no 1 was told."""
        status = self.told.get(alias)
        return status == TOLD_1 if active else status in (None, TOLD_0)


class LedgerRow(msgspec.Struct, array_like=True):
    """A ledger entry with its key: (device, destination, DPID, partner id)."""

    uid: int
    destination: int
    dpid: int
    id: str
    entry: LedgerEntry


class Owed(msgspec.Struct, array_like=True, frozen=True):
    """A device whose state a destination should know and has not acknowledged after its second attempt.

    `since` in epoch seconds; `seq` is the journal position that the message covered; `reason` is how it failed.
    `tries` messages have failed since, the last of them at `tried`; at `due` it is sent again by itself. `share`:
    how many users a message with this one may have at most, because one of more was refused; 0: as many as any.
    """

    destination: int
    uid: int
    since: int
    seq: int
    reason: str
    tries: int = 1
    tried: float = 0.0
    due: int = 0
    share: int = 0


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(LedgerEntry)
encode_entry = _encoder.encode
decode_entry = _decoder.decode
_decode_try = msgspec.msgpack.Decoder(Try).decode
