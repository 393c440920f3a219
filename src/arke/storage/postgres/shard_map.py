"""Which server each shard of a cluster is on, and who owns it: in the directory, so that one question tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from arke.errors import StoreUnavailable
from arke.storage.postgres.database import queries

if TYPE_CHECKING:
    from arke.storage.postgres.database import Database

SQL = queries("shard_map")


class ShardPlace(msgspec.Struct, frozen=True):
    """A shard's row of the map. `target`: the server that it is being copied to, while nobody may own it;
    `leftover`: the one that still has rows of it which nobody reads any more. `owner`, `epoch`: as its server had
    them when they were noted here.
    """

    shard: int
    server: str
    made: bool
    target: str | None
    leftover: str | None
    owner: str | None
    epoch: int


class ShardMap:
    """`database` is the directory's, or one of its own. Everything raises StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> list[ShardPlace]:
        return [ShardPlace(*row) for row in await self._database.rows(SQL["all"])]

    async def of(self, shard: int) -> ShardPlace:
        rows = await self._database.rows(SQL["of"], (shard,))
        if not rows:
            raise StoreUnavailable(f"there is no shard {shard} in this cluster")
        return ShardPlace(*rows[0])

    async def moving(self) -> frozenset[int]:
        """The shards that nobody may own for now."""
        return frozenset(shard for (shard,) in await self._database.rows(SQL["moving"]))

    async def aim(self, shard: int, target: str) -> bool:
        """From now on nobody takes the shard: it is to go there. False where it is going elsewhere already."""
        return bool(await self._database.rows(SQL["aim"], {"shard": shard, "target": target}))

    async def switch(self, shard: int, target: str) -> bool:
        """It is there now; False if it is not going there."""
        return bool(await self._database.rows(SQL["switch"], (shard, target)))

    async def stay(self, shard: int) -> None:
        """It goes nowhere: what it left where it was going is a leftover."""
        await self._database.rows(SQL["stay"], (shard,))

    async def tidied(self, shard: int, server: str) -> None:
        """Nothing of it is left there."""
        await self._database.rows(SQL["tidied"], (shard, server))

    async def own(self, shard: int, owner: str, epoch: int) -> None:
        """Note who has taken a shard, so that it is asked there."""
        await self._database.rows(SQL["own"], {"shard": shard, "owner": owner, "epoch": epoch})

    async def let_go(self, shard: int, epoch: int) -> None:
        """Note that whoever owned it under this epoch does no more."""
        await self._database.rows(SQL["let_go"], (shard, epoch))
