"""Privacy requests: how far each has come, and the proof of those that have ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from arke.domain.identity import IdKey


class StoredRequest(NamedTuple):
    """A privacy request; `done` is when it ended, 0 while it is open."""

    number: int
    at: int
    done: int
    body: bytes


class Requests(Protocol):
    """Writes are durable on return; every call may suspend and raises StoreUnavailable."""

    async def open(self, bodies: Sequence[bytes], at: int) -> list[int]:
        """Store new requests; returns their numbers, ascending."""
        ...

    async def save(self, bodies: Mapping[int, bytes]) -> None:
        """Store how far requests have come."""
        ...

    async def finish(
        self, bodies: Mapping[int, bytes], uuids: Collection[str], ids: Collection[IdKey], at: int
    ) -> list[IdKey]:
        """Requests end: store what remains of them, and forget devices and ids with whatever else the directory has
        under a UUID or an id, but for whose the ids were first. Returns the ids forgotten.

        It reaches into what other facets keep, since it is one transaction: a request that ended while its
        devices stay known would never be looked at again, and one that goes on without them could not tell any
        more whom it is about. From then on `Directory.remains` is true.
        """
        ...

    async def get(self, numbers: Collection[int]) -> dict[int, StoredRequest]:
        """Requests by their numbers, for those that there are."""
        ...

    async def unfinished(self) -> list[int]:
        """The numbers of requests that have not ended, oldest first."""
        ...

    async def page(self, before: int, limit: int) -> list[StoredRequest]:
        """Requests with number < before, the newest first."""
        ...
