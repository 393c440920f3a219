"""What a lane has open, as data: devices between the journal and an acknowledgement, and their entries."""

from __future__ import annotations

import msgspec

from arke.domain.ledger import LedgerEntry, LedgerRow, Owed
from arke.telling.records import Telling

BATCH = "batch"
"""The kind of devices that a batch brings."""
OWED = "owed"
"""The kind of devices that are owed and sent again by themselves. Their messages are real time's, or a batch's
where the destination takes no others.
"""
BEHIND = frozenset({BATCH, OWED})
"""Kinds that go behind real time. They come from no journal position, so they do not hold the cursor, and they wait
for a full message.
"""

Key = tuple[int, str, int]
"""What one message has in common: (DPID, kind, how many users it may have at most; 0: as many as any)."""


class OpenDevice(msgspec.Struct):
    """A device between the journal and an acknowledgement.

    `first` and `last` are the journal positions it covers, `parts` its entries in buffers or in flight,
    `again_first` and `again` the positions of news that came meanwhile. `catch_up`: it is here only because
    something changed while it was not seen; `caught_up` is its profile's key once something is told for that alone.
    `unsure`: a crash may have hidden what it was told. `rows` are ledger rows to keep that no message tells of.
    `debt` is what is owed about it; `refused`: how many users the largest of its messages had that was refused for
    what it held, 0 where none was.
    """

    uid: int
    first: int
    last: int
    kind: str
    accepted: float
    deadline: float
    parts: int = 0
    reading: bool = False  # its state is being read from the store
    stale: bool = False  # and what is read is not to be told: something has come in between
    sending: bool = False
    recording: bool = False  # an outcome of it is being made durable
    again_first: int = 0
    again: int = 0
    again_kind: str = ""
    again_catch_up: bool = False
    failure: str | None = None
    refused: int = 0
    debt: Owed | None = None
    catch_up: bool = False
    caught_up: str = ""
    unsure: bool = False
    rows: tuple[LedgerRow, ...] = ()

    @property
    def owed(self) -> bool:
        return self.debt is not None

    @property
    def share(self) -> int:
        """How many users its messages may have at most; 0: as many as any."""
        return self.debt.share if self.debt is not None else 0


class OutOfTurn(AssertionError):
    """A device was built or buffered out of turn: a mistake in the lane, whatever its data are."""


class Part(msgspec.Struct):
    """One partner id's entry on its way, with the ledger entry it continues."""

    device: OpenDevice
    telling: Telling
    encoded: bytes
    before: LedgerEntry | None
