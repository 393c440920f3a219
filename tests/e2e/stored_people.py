"""Data directories with many people in them, stored directly: a catalog is applied, then profiles are put in."""

from __future__ import annotations

import asyncio
import time
import zlib
from typing import TYPE_CHECKING

from arke.api.client import Client
from arke.api.in_process import InProcess
from arke.bench.stores import fill
from arke.data_directory import DIRECTORY_FILE
from arke.domain.profile import Profile, TraitState
from arke.settings import Server, Settings
from arke.storage.committer import InlineCommitter
from arke.storage.sqlite.directory import SqliteDirectory
from arke.storage.sqlite.store import SqliteShardStore
from e2e.catalogs import device

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from arke.operations.catalog import AppliedReport


class People:
    """A data directory that no engine has open, and the operations on it as commands use them."""

    def __init__(self, folder: Path, catalog: str, *, shards: int = 1) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.file = folder / "catalog.yaml"
        self._shards = shards
        settings = Settings(server=Server(shards=shards))
        self.client = Client(InProcess(self.data, settings))
        self.data.mkdir(mode=0o700)
        asyncio.run(self._begin())
        for shard in range(shards):
            # A fixed key: which people a sample has is the same in every run.
            asyncio.run(self._open(shard, key=b"people").close())
        self.apply(catalog)

    async def _begin(self) -> None:
        directory = SqliteDirectory(self.data / DIRECTORY_FILE, committer=InlineCommitter())
        await directory.shards(self._shards)
        await directory.close()

    def _open(self, shard: int, key: bytes | None = None) -> SqliteShardStore:
        return SqliteShardStore(self._file(shard), committer=InlineCommitter(), key=key)

    def _file(self, shard: int) -> Path:
        return self.data / f"shard-{shard:02d}.db"

    def apply(self, catalog: str, *, dry_run: bool = False) -> AppliedReport:
        """Plan a catalog, and put it in force."""
        self.file.write_text(catalog)
        return self.client.apply(self.file, catalog, dry_run=dry_run)

    def store(self, count: int, traits: Callable[[int], Sequence[int]], *, age_s: int = 60) -> None:
        """Put in people 0 to `count`, each with these traits, realised `age_s` ago."""
        at = int(time.time()) - age_s
        for shard in range(self._shards):
            numbers = [n for n in range(count) if zlib.crc32(device(n).encode()) % self._shards == shard]
            people = [person(number, traits(number), at) for number in numbers]
            asyncio.run(self._fill(shard, people))

    async def _fill(self, shard: int, people: Sequence[Profile]) -> None:
        store = self._open(shard)
        await fill(store, [one.uuid for one in people], people.__getitem__)
        await store.close()

    def bodies(self) -> list[tuple[int, bytes]]:
        """Everybody as stored."""
        return [body for shard in range(self._shards) for body in asyncio.run(self._bodies(shard))]

    async def _bodies(self, shard: int) -> list[tuple[int, bytes]]:
        store = self._open(shard)
        found = await store.profile_bodies(-1, 1_000_000)
        await store.close()
        return found


def person(number: int, traits: Sequence[int], at: int) -> Profile:
    """A stored profile that no catalog has been applied to yet."""
    held = {trait: TraitState(at, 0, [at]) for trait in traits}
    return Profile(device(number), seen=at, realisations=len(held), traits=held, heard=at)
