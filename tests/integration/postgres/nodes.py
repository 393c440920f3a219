"""Several nodes of one cluster, each with a directory and connections of its own."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from arke.domain.identity import Claims, Move, Owner
from arke.storage.postgres.connection import Server
from arke.storage.postgres.directory import PostgresDirectory
from arke.storage.postgres.schema import initialise

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from arke.domain.identity import IdKey
    from arke.storage.ports.directory import Directory

SHARDS = 4


@asynccontextmanager
async def nodes(dsn: str, count: int) -> AsyncIterator[list[PostgresDirectory]]:
    """Directories on one cluster, which is made first."""
    server = Server(dsn)
    with server.connect() as connection:
        initialise(connection, SHARDS, server.name)
    opened = [PostgresDirectory(server) for _ in range(count)]
    try:
        yield opened
    finally:
        for directory in opened:
            await directory.close()


async def take(node: Directory, ids: Iterable[IdKey], uuid: str) -> int:
    """Give ids to a device, as an engine does: look up, decide, claim, and again where the race was lost. Returns
    how many races were.
    """
    wanted, races = set(ids), 0
    while wanted:
        owners = (await node.identities.look_up(wanted)).owners
        claims, now = Claims(at=1), time.time_ns() // 1000
        for key in wanted:
            before = owners.get(key)
            generation = max(now, before.generation + 1 if before else 0)
            claims.owners[key] = Owner(uuid, generation)
            if before is not None:
                claims.before[key] = before.generation
                claims.moves.append(Move(*key, before.uuid, uuid, 1, generation))
        wanted = await node.identities.link(claims)
        races += len(wanted)
    return races
