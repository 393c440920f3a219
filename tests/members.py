"""Counts the members of segments by looking at every profile, and says where a shard's own sizes are not those.

Every shard over SQLite that a test opens in its own process is looked at when its store is closed, however that
comes.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest.mock import patch

from arke.domain.stored_profile import decode_profile
from arke.shard.shard import Shard
from arke.shard.sizes import members_of
from arke.storage.sqlite.store import SqliteShardStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arke.storage.ports.shard import ShardReader

PAGE = 1_000


async def counted(store: ShardReader, up_to: int | None = None) -> dict[int, int]:
    """The members by segment of all profiles up to a uid, one by one; `up_to` None: of all."""
    found: Counter[int] = Counter()
    after = -1
    while page := await store.profile_bodies(after, PAGE):
        after = page[-1][0]
        for uid, body in page:
            if up_to is None or uid <= up_to:
                found.update(members_of(decode_profile(body)))
    return dict(found)


async def check_sizes(store: ShardReader) -> None:
    """What the store has of the profiles that are counted is what they say."""
    up_to = await store.members_counted_to()
    sizes = await store.segment_sizes(None)
    expected = await counted(store, up_to) if up_to is not None else {}
    found = {segment: size for segment, size in sizes.items() if size}
    if found != expected:
        raise AssertionError(f"segments have {found}, and by their profiles {expected}, up to {up_to}")


class Watched:
    """Stores that shards were opened over, and what was wrong with those that were closed."""

    def __init__(self) -> None:
        self._stores: list[SqliteShardStore] = []
        self.wrong: list[str] = []
        self.checked = 0

    def opened(self, store: object) -> None:
        if isinstance(store, SqliteShardStore):
            self._stores.append(store)

    async def closes(self, store: SqliteShardStore) -> None:
        if store not in self._stores:
            return
        self._stores.remove(store)
        self.checked += 1
        try:
            await check_sizes(store)
        except AssertionError as error:
            self.wrong.append(str(error))


@contextmanager
def watching() -> Iterator[Watched]:
    """While shards are opened and closed."""
    watched = Watched()
    start, close = Shard.start, SqliteShardStore.close

    async def started(shard: Shard) -> None:
        watched.opened(getattr(shard.store, "_store", shard.store))
        await start(shard)

    async def closed(store: SqliteShardStore) -> None:
        await watched.closes(store)
        await close(store)

    with patch.object(Shard, "start", started), patch.object(SqliteShardStore, "close", closed):
        yield watched
