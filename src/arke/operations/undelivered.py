"""What destinations are owed: listed, counted, sent again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from arke.domain.token import LOCAL
from arke.errors import InvalidInput
from arke.shard.protocol import AskOwed, OwedDevice

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from arke.engine.audit import Audit
    from arke.engine.live_catalog import LiveCatalog
    from arke.engine.shards import Shards
    from arke.engine.undelivered import Undelivered

__all__ = ["OWED_PAGE", "OwedDevice", "ReplayReport", "UndeliveredOperations"]

OWED_PAGE = 500


class ReplayReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """How many devices were set off again; `owed`: how many are owed afterwards, where the command saw the end."""

    devices: int
    owed: int | None = None


class UndeliveredOperations:
    """Lists and replays what is owed. Every use is audited but counting."""

    def __init__(self, undelivered: Undelivered, live: LiveCatalog, shards: Shards, audit: Audit) -> None:
        self._undelivered = undelivered
        self._live = live
        self._shards = shards
        self._audit = audit

    async def each(self, destination: int | None, *, actor: str = LOCAL) -> AsyncIterator[OwedDevice]:
        """Everything that is owed, shard by shard. Raises InvalidInput."""
        owed = self._owed(destination)
        first = await anext(owed, None)
        await self._audit.record(actor, "undelivered_listed", _whom(destination))
        if first is not None:
            yield first
        async for device in owed:
            yield device

    async def count(self, destination: int | None) -> int:
        """How many devices are owed something. Raises InvalidInput."""
        return sum([1 async for _ in self._owed(destination)])

    async def replay(self, destination: int | None, *, actor: str = LOCAL) -> ReplayReport:
        """Send what is owed as current state; delivery follows. Raises InvalidInput, Unavailable."""
        devices = await self._undelivered.replay(destination)
        await self._audit.record(actor, "undelivered_replayed", f"{devices} devices to {_whom(destination)}")
        return ReplayReport(devices)

    async def _owed(self, destination: int | None) -> AsyncIterator[OwedDevice]:
        if destination is not None and not self._live.has_destination(destination):
            raise InvalidInput(f"no destination {destination} in the catalog")
        for shard in range(len(self._shards)):
            after: tuple[int, int] | None = (0, -1)
            while after is not None:
                page = await self._shards.ask(shard, AskOwed(destination, after, OWED_PAGE))
                for device in page.devices:
                    yield device
                after = page.next


def _whom(destination: int | None) -> str:
    return "all destinations" if destination is None else f"destination {destination}"
