"""Who owns a shard in PostgreSQL: taking it, proving it again, letting it go.

An owner's epoch is the highest there is. Whoever takes the shard draws a higher one, and from then on nothing that
the owner before writes finds its row.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import msgspec

from arke.errors import StoreUnavailable
from arke.storage.postgres.shard_reads import SQL
from arke.storage.postgres.standing import Standing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.storage.postgres.connection import Connection, Session


SETTLED_STRIDE: Final = 1 << 20
"""How far ahead the number of commits is put once it is known whether the last one is stored."""


class TakenShard(msgspec.Struct, frozen=True):
    """A shard in the hands of its owner: where it stands, and the key of its hashes. `clean`: the owner before let
    it go, so that nothing of it can be on the way to destinations. `proved_at` as in `PostgresShardStore`;
    `taken_at`, on the same clock, is when the owner before can have proved nothing more.
    """

    shard: int
    standing: Standing
    key: bytes
    clean: bool
    proved_at: float
    taken_at: float


async def take_shard(session: Session, shard: int, owner: str, above: int = 0) -> TakenShard:
    """Own a shard from now on, whoever did before, under an epoch above this one. May be repeated. Raises
    StoreUnavailable, also where the shard is not there or is being moved.
    """

    def take(connection: Connection) -> TakenShard:
        asked_at = time.monotonic()
        row = connection.execute(SQL["take"], (owner, above, shard), binary=True).fetchone()
        if row is None:
            raise StoreUnavailable(f"{session.server.name}: shard {shard} is not there, or is being moved")
        *standing, key, clean = row
        taken = TakenShard(shard, Standing(*standing), key, clean, asked_at, time.monotonic())
        connection.execute(SQL["forget_sizes"], (shard, taken.standing.epoch))
        return taken

    return await session.run(take)


def prove(connection: Connection, epochs: Sequence[tuple[int, int]]) -> dict[int, Standing]:
    """Note of each (shard, epoch) that the shard is still owned under it. Returns where those stand that are."""
    shards, owned_under = [shard for shard, _ in epochs], [epoch for _, epoch in epochs]
    rows = connection.execute(SQL["prove"], (shards, owned_under), binary=True)
    return {shard: Standing(*standing) for shard, *standing in rows}


def settle(connection: Connection, shard: int, before: Standing) -> tuple[Standing, bool] | None:
    """Where a shard stands after a commit whose answer was lost, and whether that is stored; if it is not, it
    cannot be any more. None: the shard has another owner, or is in a state from before its last known commit.
    """
    mark = before.commits + SETTLED_STRIDE
    parameters = {"shard": shard, "epoch": before.epoch, "commits": before.commits, "mark": mark}
    row = connection.execute(SQL["settle"], parameters, binary=True).fetchone()
    if row is None:
        return None
    standing = Standing(*row)
    return standing, standing.commits == mark + 1


def release(connection: Connection, shard: int, epoch: int) -> None:
    """Let a shard go, if it is still owned under this epoch."""
    connection.execute(SQL["release"], (shard, epoch))
