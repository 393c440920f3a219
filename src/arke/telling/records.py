"""What telling is about, as data: a destination's route, whom a sighting sets off, what one id is to be told."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import msgspec

from arke.domain.catalog import Destination
from arke.domain.ledger import LedgerEntry, Owed
from arke.domain.message import UserEntry

if TYPE_CHECKING:
    from collections.abc import Iterator


SAMPLE_SALT = b"arke sample"
"""Of the hash that draws samples."""


class Route(msgspec.Struct, frozen=True):
    """One destination as it stands now: `aliases_of` has, per mapped segment, its aliases with their rank in
    the catalog; `frozen` are the aliases of paused segments, about which nothing is said, with their segments;
    `retired` those that an earlier catalog or date mapped; `mark` is the state of its mappings. `unsaid` has, per
    segment that is mapped or was and of which no 1 is told now, why not. `doubt`: until when ids may have been told
    anything, in epoch seconds, because what was told before is not known any more; 0: no more than is known.
    """

    destination: Destination
    aliases_of: dict[int, tuple[tuple[int, str], ...]]
    segment_of: dict[str, int]
    frozen: dict[str, int]
    retired: dict[str, int]
    mark: int
    doubt: int = 0
    unsaid: dict[int, str] = {}

    def ever_told(self) -> Iterator[tuple[str, int]]:
        """Every alias that the destination may have heard of a segment, now or under an earlier catalog."""
        yield from self.segment_of.items()
        yield from self.retired.items()

    def samples(self, uuid: str) -> bool:
        """Whether the device is in this destination's outbound sample: stable for a device, and by another hash
        than the one that chooses its shard, so that every shard has its part of the sample.
        """
        denominator = self.destination.sample_rate_denominator
        if denominator == 1:
            return True
        digest = hashlib.blake2b(uuid.encode(), digest_size=8, salt=SAMPLE_SALT).digest()
        return int.from_bytes(digest, "big") % denominator == 0


class ToTell(msgspec.Struct, frozen=True):
    """Destinations that a sighting sets off, ascending; `catch_up` only for what changed unseen."""

    destinations: tuple[int, ...]
    catch_up: tuple[int, ...] = ()


class Telling(msgspec.Struct, frozen=True):
    """What one partner id is to be told: the user as it goes into a message, and its aliases by status.

    `partner_ids` are all ids of the device, for destinations with a template of their own; `seen_ts` is for those
    too, None for a device that only files speak of. `dropped` are aliases that the last batch left the id with and
    that the destination is not to hear the end of; where there is nothing else, the entry has no segments. `stamp`
    is the newest DateTime that is told; a message about it was not executed before `executed`, whatever the clock
    says by now.
    """

    dpid: int
    id: str
    entry: UserEntry
    ones: tuple[str, ...]
    zeros: tuple[str, ...]
    partner_ids: dict[int, str] = {}
    dropped: tuple[str, ...] = ()
    seen_ts: int | None = None
    stamp: int = 0
    executed: int = 0


Hand = Literal["", "in_flight", "circuit_open", "retry_after", "waiting", "behind"]
"""Where a lane has a device: nowhere, in a message that is on its way, or before that, with what it waits for;
`behind`: the lane has yet to come to it in the journal.
"""


class Around(msgspec.Struct, frozen=True):
    """What one destination was told of a device by (DPID, id), what it is owed, and where its lane has it."""

    ledger: Mapping[tuple[int, str], LedgerEntry]
    owed: Owed | None = None
    hand: Hand = ""


class Account(msgspec.Struct, frozen=True):
    """How a destination stands with a user of a segment: the one `bucket` that the user is in, and why. `sent`: a
    message has told it, or tried to.
    """

    bucket: str
    reason: str
    sent: bool = False


class Believed(msgspec.Struct, frozen=True):
    """That a destination may believe of a user what is not so any more: by what becomes of the 0, the `bucket`, and
    why the user is out of the segment.
    """

    bucket: str
    reason: str
