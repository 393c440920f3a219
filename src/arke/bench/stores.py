"""Stores for benches: filling one with very many profiles, an in-memory bound, and the bare loop."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from arke.domain.identity import Claims, Owner
from arke.domain.profile import Profile
from arke.domain.stored_profile import decode_head, decode_profile, encode_profile
from arke.storage.committer import InlineCommitter
from arke.storage.ports.shard import GroupWrites, Loaded, Needs
from arke.storage.sqlite.connection import MEMORY, open_database, transaction
from arke.storage.sqlite.directory import SqliteDirectory
from arke.storage.sqlite.schema import SHARD
from arke.storage.sqlite.store import SqliteShardStore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from arke.storage.ports.shard import ShardStore

LOOKED_UP = 2_000
WRITTEN = 20_000
TIDIED_EVERY_S = 1.0

_encode = msgspec.msgpack.Encoder().encode


class BlobStore(SqliteShardStore):
    """Profiles as blobs in a dict: the same decoding and encoding, and nothing durable. The upper bound."""

    def __init__(self) -> None:
        super().__init__(MEMORY, committer=InlineCommitter(), key=b"bench")
        self._blobs: dict[str, tuple[int, bytes]] = {}
        self._journal: list[bytes] = []

    async def load(self, needs: Needs) -> Loaded:
        loaded = Loaded()
        for uuid in needs.devices:
            if uuid in loaded.devices or uuid in loaded.stored:
                continue
            known = self._blobs.get(uuid)
            if known is None:
                uid = self.hashes.uid(uuid)
                loaded.fresh.add(uid)
                loaded.devices[uuid] = (uid, Profile(uuid))
            elif needs.as_stored:
                loaded.stored[uuid] = (*known, decode_head(known[1]).routing_mark)
            else:
                loaded.devices[uuid] = (known[0], decode_profile(known[1]))
        return loaded

    async def commit(self, writes: GroupWrites) -> None:
        for uid, profile in writes.profiles.items():
            self._blobs[profile.uuid] = (uid, encode_profile(profile))
        for uid, body in writes.encoded.items():
            self._blobs[decode_head(body).uuid] = (uid, body)
        self._journal = [_encode(record) for record in writes.journal]


async def uids_of(store: ShardStore, uuids: Sequence[str]) -> list[int]:
    """Where devices stand, or will."""
    uids: list[int] = []
    for start in range(0, len(uuids), LOOKED_UP):
        part = list(uuids[start : start + LOOKED_UP])
        devices = (await store.load(Needs(devices=part))).devices
        uids += [devices[uuid][0] for uuid in part]
    return uids


async def fill(store: ShardStore, uuids: Sequence[str], profile: Callable[[int], Profile]) -> None:
    """Store the profiles of many devices, in key order: appending to a tree is fast, scattering is not."""
    keyed = sorted((uid, number) for number, uid in enumerate(await uids_of(store, uuids)))
    for start in range(0, len(keyed), WRITTEN):
        part_of = {uid: profile(number) for uid, number in keyed[start : start + WRITTEN]}
        await store.commit(GroupWrites(profiles=part_of))
        await store.tidy()


async def index_due(store: ShardStore, at: int) -> None:
    """Let every stored profile stand in the index as due at this moment."""
    after = -1
    while uids := await store.uids(after, WRITTEN):
        await store.commit(GroupWrites(wakes=dict.fromkeys(uids, (at + 1, at))))
        after = uids[-1]
    await store.tidy()


async def link_cookies(path: Path, dpid: int, uuids: Sequence[str], *, shards: int | None = None) -> None:
    """Let every device be known by a cookie, `cookie-` and its place in nine digits. `shards`: where there are
    files of some already, how many.
    """
    directory = SqliteDirectory(path, committer=InlineCommitter())
    if shards is not None:
        await directory.shards(shards)
    for start in range(0, len(uuids), WRITTEN):
        part = enumerate(uuids[start : start + WRITTEN], start)
        owners = {(dpid, f"cookie-{number:09d}"): Owner(uuid, number + 1) for number, uuid in part}
        await directory.identities.link(Claims(0, owners))
    await directory.close()


class BareLoop:
    """Reads and writes profile blobs as they are, a transaction a group: what the store alone can do."""

    def __init__(self, path: Path) -> None:
        self._where = str(path)
        self._connection = open_database(path, SHARD)
        self._checkpointed = time.perf_counter()

    def group(self, uids: Sequence[int]) -> None:
        numbers = ",".join(map(str, uids))
        sql = f"SELECT uid, body FROM profile WHERE uid IN ({numbers})"  # noqa: S608 - integers only
        blobs = dict(self._connection.execute(sql))
        with transaction(self._connection, self._where):
            self._connection.executemany(
                "INSERT INTO profile VALUES (?, ?) ON CONFLICT (uid) DO UPDATE SET body = excluded.body",
                ((uid, blobs[uid]) for uid in sorted(blobs)),
            )
        now = time.perf_counter()
        if now - self._checkpointed >= TIDIED_EVERY_S:
            self._checkpointed = now
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def close(self) -> None:
        self._connection.close()
