"""Data files that were sent to any node of a cluster, with their bytes, until one of them has loaded them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence


class Upload(msgspec.Struct, frozen=True):
    """A file under its ticket: what it is (`job`), how far it is loaded, and its `receipt` once it is."""

    job: bytes
    lines: int
    total: int
    receipt: bytes | None


class Uploads(Protocol):
    """Writes are durable on return; every call may suspend and raises StoreUnavailable."""

    async def begin(self, ticket: str, job: bytes) -> None:
        """A file is coming, under a ticket that no other has."""
        ...

    async def add(self, ticket: str, number: int, body: bytes) -> None:
        """Its next bytes. Parts are numbered from 0 without a gap."""
        ...

    async def complete(self, ticket: str) -> None:
        """All of it is there."""
        ...

    async def drop(self, ticket: str) -> None:
        """It will not be complete: nothing of it stays."""
        ...

    async def get(self, ticket: str) -> Upload | None:
        """None where there is no such file."""
        ...

    async def part(self, ticket: str, number: int) -> bytes | None:
        """Some of its bytes; None after the last."""
        ...

    async def waiting(self) -> Sequence[str]:
        """The tickets of complete files that have no receipt, in their order."""
        ...

    async def show(self, ticket: str, lines: int, total: int) -> None:
        """How far it is loaded."""
        ...

    async def finish(self, ticket: str, receipt: bytes) -> None:
        """It is loaded, or refused: the bytes go. The first receipt stays."""
        ...

    async def prune(self, receipts_s: float, unfinished_s: float) -> None:
        """Drop those that have had their receipts for so long, and those that nothing has come of for so long."""
        ...
