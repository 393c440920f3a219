"""What telling is about, as data: a destination's route, whom a sighting sets off, what one id is to be told."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from arke.domain.catalog import Destination
from arke.domain.message import UserEntry

if TYPE_CHECKING:
    from collections.abc import Iterator


SAMPLE_SALT = b"arke sample"
"""Of the hash that draws samples."""


class Route(msgspec.Struct, frozen=True):
    """One destination as it stands now: `aliases_of` has, per mapped segment, its aliases with their rank in
    the catalog; `frozen` are the aliases of paused segments, about which nothing is said; `retired` those that
    an earlier catalog or date mapped, with their segments; `mark` is the state of its mappings. `doubt`: since when
    ids of which nothing is known may have been told anything, in epoch seconds, because what was told before is not
    known any more; 0: no more than what is known was told.
    """

    destination: Destination
    aliases_of: dict[int, tuple[tuple[int, str], ...]]
    segment_of: dict[str, int]
    frozen: frozenset[str]
    retired: dict[str, int]
    mark: int
    doubt: int = 0

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
    that the destination is not to hear the end of; where there is nothing else, the entry has no segments.
    """

    dpid: int
    id: str
    entry: UserEntry
    ones: tuple[str, ...]
    zeros: tuple[str, ...]
    partner_ids: dict[int, str] = {}
    dropped: tuple[str, ...] = ()
    seen_ts: int | None = None
