"""The adapters of a shard's store, and what their suites put into them. An adapter joins by adding to `STORES`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from arke.domain.change import Change, JournalRecord
from arke.domain.ledger import LedgerEntry, LedgerRow, Try
from arke.domain.membership import Membership
from arke.domain.profile import Profile, TraitState
from arke.storage.committer import InlineCommitter, ThreadCommitter
from arke.storage.ports.shard import GroupWrites, Needs
from arke.storage.postgres.connection import Server
from arke.storage.postgres.ownership import take_shard
from arke.storage.postgres.schema import initialise
from arke.storage.postgres.shard_session import ShardSession
from arke.storage.postgres.shard_store import PostgresShardStore
from arke.storage.sqlite.connection import MEMORY
from arke.storage.sqlite.store import SqliteShardStore
from servers.postgres import KINDS, schema_for

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from arke.storage.ports.shard import ShardStore

    Open = Callable[[Path], Awaitable[ShardStore]]

FIRST = (-1, -1)
"""Before all pages of what is owed."""


async def in_a_file(folder: Path) -> ShardStore:
    return SqliteShardStore(folder / "shard-00.db", committer=ThreadCommitter("test"), key=b"fixed")


async def in_memory(_: Path) -> ShardStore:
    return SqliteShardStore(MEMORY, committer=InlineCommitter(), key=b"fixed")


class OpenedStore(PostgresShardStore):
    """One with sessions of its own, which end with it."""

    async def close(self) -> None:
        await super().close()
        await self._writing.close()
        await self._reading.close()


async def open_in_postgres(dsn: str, owner: str = "test", shard: int = 1, **options: Any) -> OpenedStore:
    """The store of a shard that `owner` takes."""
    server = Server(dsn)
    writing, reading = ShardSession(server, f"{owner}-writing"), ShardSession(server, f"{owner}-reading")
    taken = await take_shard(writing, shard, owner)
    return OpenedStore(taken, writing=writing, reading=reading, **options)


def make_cluster(dsn: str) -> None:
    """Two shards, whose hashes have the key of the other adapters' in these tests."""
    with Server(dsn).connect() as connection:
        if not initialise(connection, 2, "test"):
            connection.execute("UPDATE shard SET uid_key = 'fixed'")


def in_postgres(kind: str) -> Open:
    """A shard of a cluster that stays the same for a folder."""

    async def opened(folder: Path) -> ShardStore:
        dsn = schema_for(kind, folder)
        make_cluster(dsn)
        return await open_in_postgres(dsn)

    opened.__name__ = f"in_postgres_{kind}"
    return opened


IN_POSTGRES: Final = [in_postgres(kind) for kind in KINDS]
STORES: Final[list[Open]] = [in_a_file, in_memory, *IN_POSTGRES]
DURABLE: Final[list[Open]] = [in_a_file, *IN_POSTGRES]


def uuid(number: int) -> str:
    return f"{number:038d}"


def held(number: int, seen: int = 7) -> Profile:
    profile = Profile(uuid(number), seen=seen)
    profile.traits = {1000: TraitState(seen, 0, [seen])}
    profile.memberships = {10329: Membership(1, seen, seen, "rule")}
    return profile


def record(seq: int, uid: int = 1, at: int = 100) -> JournalRecord:
    return JournalRecord(seq, at, uid, (Change(10329, 1, "rule"),), (1,))


def row(uid: int, told: dict[str, int], destination: int = 1, partner: str = "p") -> LedgerRow:
    entry = LedgerEntry(3, told, [Try(100, "message", "200", "realtime").stored()])
    return LedgerRow(uid, destination, 12345, partner, entry)


async def load(store: ShardStore, *numbers: int) -> dict[str, tuple[int, Profile]]:
    """The devices of these numbers, as a group has them."""
    return (await store.load(Needs(devices=[uuid(number) for number in numbers]))).devices


async def put(store: ShardStore, *profiles: Profile) -> dict[str, int]:
    """Store profiles as a group does; returns their uids."""
    loaded = (await store.load(Needs(devices=[profile.uuid for profile in profiles]))).devices
    uids = {profile.uuid: loaded[profile.uuid][0] for profile in profiles}
    await store.commit(GroupWrites(profiles={uids[profile.uuid]: profile for profile in profiles}))
    return uids


async def profiles(store: ShardStore, *uids: int) -> dict[int, Profile]:
    return (await store.devices(list(uids), 0)).profiles


async def ledger_of(store: ShardStore, uid: int) -> list[LedgerRow]:
    return (await store.rows([uid]))[uid].ledger
