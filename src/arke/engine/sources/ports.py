"""What reading a source needs of the topic, and of the intake behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from arke.intake.ports import Ingest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.domain.event import Accepted, IncomingEvent
    from arke.engine.ingest import Decisions
    from arke.errors import EventError
    from arke.intake.room import Reservation
    from arke.intake.topic_messages import TopicMessage


class Bounds(Protocol):
    """Where a partition begins and ends now: its first offset, and the one that the next message gets.
    `topic_id`: empty where the brokers do not say.
    """

    @property
    def low(self) -> int: ...

    @property
    def high(self) -> int: ...

    @property
    def topic_id(self) -> str: ...


class MessageStream(Protocol):
    """The messages of a partition from the offset on at which it was opened. One reader."""

    @property
    def end(self) -> int:
        """The offset that the next message gets, as far as is known."""
        ...

    @property
    def waiting(self) -> bool:
        """Whether messages have arrived that are not read."""
        ...

    async def read(self) -> list[TopicMessage]:
        """All that has arrived; waits for at least one. Empty once the stream is closed. Raises LogGap where the
        topic does not have the offset, StoreUnavailable where its client has failed.
        """
        ...

    def close(self) -> None:
        """Does not wait, and is safe twice."""
        ...


class Topic(Protocol):
    """A topic. Offsets that it leaves out (of transactions, or compacted) are not missed."""

    def open(self, number: int, position: int) -> MessageStream:
        """Read a partition from an offset on. A stream of it that was open is closed."""
        ...

    async def bounds(self, number: int) -> Bounds:
        """Raises StoreUnavailable."""
        ...


class DecidedIngest(Ingest, Protocol):
    """Where events go that are read from a log."""

    async def ingest(
        self,
        events: Sequence[IncomingEvent],
        place: Reservation | None = None,
        *,
        evaluated: bool = True,
        decisions: Decisions | None = None,
    ) -> list[Accepted | EventError]:
        """See `Ingest`, and `Decisions`."""
        ...
