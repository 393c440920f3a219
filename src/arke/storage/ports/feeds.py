"""What the directory keeps of files that are the whole audience: who is in by which feed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from arke.domain.identity import IdKey


class Subject(NamedTuple):
    """What somebody is in: an onboarded trait, or an external segment."""

    kind: Literal["trait", "segment"]
    number: int

    def __str__(self) -> str:
        return f"{self.kind} {self.number}"


class Feed(NamedTuple):
    """One subject of a feed, for ids of one data source. `file` is the data file that last began (0: none has),
    `at` the newest time in a file's name. `shared`: others feed the subject, too.
    """

    number: int
    dpid: int
    subject: Subject
    file: int
    at: int
    shared: bool


class Holding(NamedTuple):
    """An id in a feed, by its number."""

    feed: int
    id: str


class Census(NamedTuple):
    """How many ids are in a feed, and how many of them a file does not name."""

    held: int
    absent: int


class FeedStore(Protocol):
    """Writes are durable on return; every call may suspend and raises StoreUnavailable."""

    async def open(self, name: str, dpid: int, subjects: Collection[Subject]) -> list[Feed]:
        """The feeds of these subjects; made now where they are new."""
        ...

    async def name(self, file: int, named: Sequence[Holding]) -> None:
        """A file is found to name ids: noted of those that are in."""
        ...

    async def count(self, feed: int, file: int) -> Census:
        """Who is in a feed, against what was found of a file."""
        ...

    async def begin(self, file: int, at: int, feeds: Collection[int]) -> None:
        """A file begins to rule feeds."""
        ...

    async def hold(self, file: int, held: Sequence[Holding], unsure: Sequence[Holding]) -> None:
        """A file says that ids are in. Of those `unsure` it cannot be read: they stay in if they are."""
        ...

    async def page(self, feed: int, after: str, limit: int) -> list[tuple[str, int]]:
        """Ids that are in, behind `after`, each with the file that said so last."""
        ...

    async def is_held(self, feed: Feed, file: int, key: IdKey, device: str) -> bool:
        """Whether an id keeps a device in, or itself, that leaves this feed: by another feed, or as another id
        of the device by this one.
        """
        ...
