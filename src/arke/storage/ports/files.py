"""What the directory keeps of data files: how far each has come, and what was said of cross-device ids."""

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


class Filed(msgspec.Struct, array_like=True):
    """What files said of a cross-device id. `traits` maps those that hold to when they were realised,
    `memberships` a segment to its status and when it was declared; `mark`: how far the last file has come.
    """

    traits: dict[int, int] = {}
    memberships: dict[int, tuple[int, int]] = {}
    mark: FileMark | None = None


class Joining(NamedTuple):
    """A device that is to hear what is filed under an id."""

    number: int
    dpid: int
    id: str
    uuid: str


class FileStore(Protocol):
    """Writes are durable on return; every call may suspend and raises StoreUnavailable."""

    @property
    def feeds(self) -> FeedStore: ...

    async def begin(self, name: str, digest: bytes, at: int, *, anew: bool = False) -> FileRecord:
        """The record of this very file; made now where it is new, or to be begun `anew`."""
        ...

    async def advance(
        self,
        number: int,
        position: int,
        body: bytes,
        filed: dict[IdKey, Filed],
        applied_to: Mapping[IdKey, Sequence[str]],
        at: int,
        gone: Sequence[Holding] = (),
    ) -> None:
        """A file has come to `position`. `applied_to` are the devices to which what is now filed was applied
        already: whoever else owns one of these ids joins.
        """
        ...

    async def finish(self, number: int, body: bytes) -> None:
        """A file is done, with its receipt."""
        ...

    async def filed(self, keys: Collection[IdKey]) -> dict[IdKey, Filed]:
        """What is filed under these ids, where anything is."""
        ...

    async def joining(self, limit: int) -> list[Joining]:
        """Devices that still have to hear what is filed, oldest first."""
        ...

    async def joined(self, done: Sequence[Joining]) -> None:
        """They have heard."""
        ...

    async def forget_filed(self, keys: Collection[IdKey]) -> None:
        """Erase what is filed under these ids."""
        ...

    async def prune(self, filed_before: int, files_before: int) -> None:
        """Drop what was filed, and the records of files begun, before these times."""
        ...
