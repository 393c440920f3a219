"""Assignment of shards by leases in PostgreSQL: every second a worker says that it is there and takes its share."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from arke.background import Background
from arke.errors import StoreUnavailable
from arke.log import get_logger
from arke.storage.sql_files import statements

if TYPE_CHECKING:
    from arke.storage.postgres.connection import Connection, Session
    from arke.transport.ports import ShardOwner

SQL: Final = statements(Path(__file__).parent / "queries" / "leases.sql")
LEASE_S: Final = 6.0
RENEW_S: Final = 1.0
FINISH_S: Final = 3.0
"""How long an owner may finish what is revoked."""
FORGET_S: Final = 3_600.0

log = get_logger("leases")


class _State(msgspec.Struct, frozen=True):
    """What the table says: this worker's shards, and how many would be its share."""

    shards: frozenset[int]
    share: int


class LeaseAssignment:
    """An `Assignment` by one row a worker and one a shard. Shares differ by one at most. Needs no session state: a
    pooler may stand in between.
    """

    def __init__(self, session: Session, worker: str, shards: int) -> None:
        """`worker` is a name that no other process has or had."""
        self._session = session
        self._worker = worker
        self._all = shards
        self._owner: ShardOwner | None = None
        self._mine: frozenset[int] = frozenset()
        self._giving: frozenset[int] = frozenset()
        self._proved_at = time.monotonic()
        self._keeping, self._handing_over = Background(), Background()
        self._stopped = False

    async def start(self, owner: ShardOwner) -> None:
        self._owner = owner
        await self._session.run(self._join)
        self._keeping.spawn(self._keep(owner), "leases")

    def proved_at(self, shard: int) -> float | None:
        return self._proved_at if shard in self._mine else None

    # --- while it runs ----------------------------------------------------------------------------------

    async def _keep(self, owner: ShardOwner) -> None:
        while True:
            asked_at, giving = time.monotonic(), self._giving
            renewal = asyncio.ensure_future(self._session.run(self._renew))
            await asyncio.wait({renewal}, timeout=max(0.0, self._proved_at + LEASE_S - asked_at))
            if time.monotonic() - self._proved_at > LEASE_S:
                self._lose(owner, self._mine)  # whatever the table says: others may have had them meanwhile
            try:
                state = await renewal
            except StoreUnavailable as error:
                log.warning("lease_not_renewed", message=str(error))
            else:
                if time.monotonic() - asked_at > LEASE_S:
                    continue  # the lease that this answer speaks of may have ended: others may have the shards
                self._proved_at = asked_at
                self._see(owner, state, giving)
            await asyncio.sleep(RENEW_S)

    def _see(self, owner: ShardOwner, state: _State, giving: frozenset[int]) -> None:
        """`giving`: what the answer may still have, though it is others' by now."""
        self._lose(owner, self._mine - state.shards)
        new = state.shards - self._mine - self._giving - giving
        if new:
            log.info("shards_assigned", shards=sorted(new))
            self._mine |= new
            owner.assigned(new)
        too_many = len(self._mine) - state.share
        if too_many > 0 and not self._giving:
            self._giving = frozenset(sorted(self._mine)[-too_many:])
            self._handing_over.spawn(self._give(owner, self._giving), "lease-give")

    def _lose(self, owner: ShardOwner, shards: frozenset[int]) -> None:
        if shards:
            log.warning("shards_lost", shards=sorted(shards))
            self._mine -= shards
            owner.lost(shards)

    async def _give(self, owner: ShardOwner, shards: frozenset[int]) -> None:
        """Others have too few."""
        await self._revoke(owner, shards)
        with contextlib.suppress(StoreUnavailable):  # the next round gives what is still here
            await self._session.run(lambda connection: self._release(connection, shards))
        self._giving = frozenset()

    async def _revoke(self, owner: ShardOwner, shards: frozenset[int]) -> None:
        log.info("shards_revoked", shards=sorted(shards))
        self._mine -= shards
        try:
            async with asyncio.timeout(FINISH_S):
                await owner.revoked(shards)
        except Exception as error:  # noqa: BLE001 - whatever it was, the shards change hands now
            log.error("revoke_failed", error=type(error).__name__)
            owner.lost(shards)

    async def stop(self) -> None:
        if self._stopped:
            return
        self._stopped = True
        await self._keeping.stop()  # the leases last longer than an owner may take to finish
        await self._handing_over.until_idle(FINISH_S)
        if self._owner is not None:
            await self._revoke(self._owner, self._mine)
            with contextlib.suppress(StoreUnavailable):  # leases end by themselves
                await self._session.run(self._leave)
        await self._session.close()

    # --- in the session's thread ------------------------------------------------------------------------

    def _join(self, connection: Connection) -> None:
        connection.execute(SQL["make_leases"], (self._all,))
        connection.execute(SQL["forget_workers"], (FORGET_S,))

    def _renew(self, connection: Connection) -> _State:
        with connection.pipeline(), connection.transaction():
            connection.execute(SQL["renew"], (self._worker,))
            share = connection.execute(SQL["take"], {"lease_s": LEASE_S, "worker": self._worker})
            mine = connection.execute(SQL["mine"], (self._worker,))
        size = share.fetchone()
        return _State(frozenset(shard for (shard,) in mine.fetchall()), 0 if size is None else size[0])

    def _release(self, connection: Connection, shards: frozenset[int]) -> None:
        connection.execute(SQL["release"], (self._worker, sorted(shards)))

    def _leave(self, connection: Connection) -> None:
        with connection.transaction():
            connection.execute(SQL["release_all"], (self._worker,))
            connection.execute(SQL["leave"], (self._worker,))
