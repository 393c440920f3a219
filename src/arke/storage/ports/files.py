"""What the directory keeps of data files: how far each has come, and which devices are to hear what was said of
their people.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from arke.domain.profile import FileMark

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from arke.domain.identity import IdKey
    from arke.storage.ports.feeds import FeedStore, Holding


class FileRecord(NamedTuple):
    """A data file: its number, when it was first begun, the last line that counts, whether it is done, and
    its counters (once done: its receipt), empty at first.
    """

    number: int
    begun: int
    position: int
    done: bool
    body: bytes


class ListedFile(NamedTuple):
    """A data file as it is listed: its record, and under which name it came."""

    name: str
    record: FileRecord


class Filed(msgspec.Struct, array_like=True):
    """What files said of a cross-device id, as earlier versions kept it: now it is in the profile of the person's
    home. `traits` maps those that hold to when they were realised, `memberships` a segment to its status and when
    it was declared; `mark`: how far the last file had come.
    """

    traits: dict[int, int] = {}
    memberships: dict[int, tuple[int, int]] = {}
    mark: FileMark | None = None


class Joining(NamedTuple):
    """A device that is to hear what the home of a person holds."""

    number: int
    dpid: int
    id: str
    uuid: str


class FileStore(Protocol):
    """Writes are durable on return; every call may suspend and raises StoreUnavailable."""

    @property
    def feeds(self) -> FeedStore: ...

    async def begin(self, name: str, digest: bytes, at: int, *, anew: bool = False) -> FileRecord:
        """The record of this very file; made now where it is new. `anew`: whatever became of it counts no more,
        and it has another number.
        """
        ...

    async def advance(
        self,
        number: int,
        position: int,
        body: bytes,
        applied_to: Mapping[IdKey, Sequence[str]],
        gone: Sequence[Holding] = (),
    ) -> None:
        """A file has come to `position`. `applied_to` are the people that it spoke of, each with the
        devices to which it was applied: whoever else has one of these ids joins.
        """
        ...

    async def finish(self, number: int, body: bytes) -> None:
        """A file is done, with its receipt."""
        ...

    async def newest(self, before: int, limit: int) -> list[ListedFile]:
        """Files with numbers below `before`, the newest first."""
        ...

    async def filed(self, keys: Collection[IdKey]) -> dict[IdKey, Filed]:
        """What earlier versions filed under these ids, where it has not moved home."""
        ...

    async def filed_page(self, limit: int) -> dict[IdKey, Filed]:
        """Some of all that has not moved home."""
        ...

    async def joining(self, limit: int) -> list[Joining]:
        """Devices that still have to hear what is held at home, oldest first."""
        ...

    async def joined(self, done: Sequence[Joining]) -> None:
        """They have heard."""
        ...

    async def moved_home(self, keys: Collection[IdKey]) -> None:
        """What was filed under these ids is in the homes of their people."""
        ...

    async def prune(self, before: int) -> None:
        """Drop the records of files begun before this time."""
        ...
