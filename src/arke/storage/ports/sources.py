"""How far the topics of others are read, which node reads which partition, and what of them was refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

REFUSED_KEPT: Final = 1_000
"""The newest refused events kept of a topic."""
NO_TOPIC_ID: Final = "AAAAAAAAAAAAAAAAAAAAAA"
"""What Kafka's clients say of topics on brokers that give them no id, and what was stored for them once."""
CLAIMS_KEPT_S: Final = 86_400
"""As long as event ids: what was decided before that keeps nothing from counting twice."""


class PartitionKey(NamedTuple):
    """A partition of a topic as a consumer group reads it."""

    group: str
    topic: str
    number: int


class Progress(msgspec.Struct, frozen=True):
    """How far a partition is read: all before offset `next` is taken, None before anything was; `end` is the offset
    that the next message gets, as far as is known. `topic_id` is the topic's as its brokers have it, empty where
    they do not say; `life` counts how often it was found made anew or cut off. Totals of all time: `events` taken,
    `refused`, and offsets `skipped` because the topic did not have them any more.
    """

    next: int | None = None
    end: int = 0
    topic_id: str = ""
    life: int = 0
    events: int = 0
    refused: int = 0
    skipped: int = 0


class Taken(msgspec.Struct, frozen=True):
    """A partition that is its reader's from now on, under `epoch`. `claim` is what the reader before had decided of
    the messages that it had not finished, at `claimed_at` (epoch seconds); empty: it had finished all.
    """

    epoch: int
    progress: Progress
    claim: bytes
    claimed_at: int


class RefusedEvent(msgspec.Struct, frozen=True):
    """An event that was not taken: where it is (`item` counts the events of its message from 0, -1
    is all of it), and why."""

    group: str
    topic: str
    partition: int
    offset: int
    item: int
    at: int
    code: str
    message: str


class PartitionState(msgspec.Struct, frozen=True):
    """A partition as the store has it: `reader` is the name of a node, empty where none reads it, `at` when it was
    last heard of.
    """

    key: PartitionKey
    reader: str
    progress: Progress
    at: int


class SourceStore(Protocol):
    """A partition has one reader, whoever took it last: what any other writes raises Fenced and changes nothing.

    Writes are durable on return; every call may suspend and raises StoreUnavailable.
    """

    async def take(self, key: PartitionKey, reader: str, at: int) -> Taken:
        """The partition is this reader's, under a higher epoch than ever."""
        ...

    async def holds(self, key: PartitionKey, epoch: int) -> bool:
        """Whether nobody has taken it since."""
        ...

    async def advance(
        self,
        key: PartitionKey,
        epoch: int,
        progress: Progress,
        at: int,
        *,
        claim: bytes = b"",
        claimed_at: int = 0,
        refused: Sequence[RefusedEvent] = (),
    ) -> None:
        """Note how far it is read, what is decided of the messages after that, since when, and what was refused of
        those before. May be repeated. Raises Fenced.
        """
        ...

    async def release(self, key: PartitionKey, epoch: int) -> None:
        """Nobody reads it; nothing happens where somebody has taken it since."""
        ...

    async def partitions(self) -> list[PartitionState]:
        """All that were ever read, by group, topic and number."""
        ...

    async def refused(self, limit: int) -> list[RefusedEvent]:
        """The newest, of all topics."""
        ...

    async def forget_claims(self, before: int) -> None:
        """Forget what was decided before then."""
        ...
