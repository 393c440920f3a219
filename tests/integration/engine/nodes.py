"""Several intake nodes over one directory and shared shards, drivers of moves, and a leader for privacy: all of it
real, but for the way between them, which takes as long as chance wants.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from arke.background import Pause, until
from arke.catalog import stored
from arke.clock import SeededEntropy
from arke.delivery.channel import Wire
from arke.delivery.secrets import Secrets
from arke.domain.catalog import Catalog, DataSource
from arke.domain.stored_profile import decode_profile
from arke.engine.homes import Homes
from arke.engine.identity import Identity
from arke.engine.ingest import Ingestion
from arke.engine.links import Joins, Links
from arke.engine.live_catalog import LiveCatalog
from arke.engine.moves import HandOver, OwnedMoves
from arke.engine.shards import Shards
from arke.privacy.fulfilment import Privacy
from arke.shard.protocol import Prepare
from arke.shard.shard import Shard
from arke.shard_app import ruling_of
from arke.storage.committer import InlineCommitter
from arke.storage.sqlite.connection import MEMORY
from arke.storage.sqlite.store import SqliteShardStore
from e2e.catalogs import device
from integration.engine.shards import NotingPoster

if TYPE_CHECKING:
    import random
    from collections.abc import Collection, Sequence

    from arke.clock import Clock
    from arke.domain.identity import Claims, IdKey, Move, Owner
    from arke.domain.profile import Profile
    from arke.engine.identity import Away, Naming, Near, Resolved
    from arke.shard.commands import Command, Result
    from arke.storage.ports.directory import Directory
    from arke.storage.ports.identities import Identities, Known

COOKIE, PERSON = 1, 7
NODES, DRIVERS, SHARDS = 3, 2, 4
START = 1_800_000_000
LEAVING = device(4)
"""Asks to be deleted."""
SKEW_S = 0.05
"""Between the clocks of two nodes, at most."""


def shards_of(driver: int) -> range:
    """Those that a node drives the moves of, while all is well."""
    return range(driver, SHARDS, DRIVERS)


class Journey:
    """How long the way to a server takes, and the way back."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    async def pause(self) -> None:
        await asyncio.sleep(self._chance.choice((0.0, 0.0, 0.0005, 0.001, 0.004, 0.02)))


class History:
    """What was stored of all ids, in the order in which it was."""

    def __init__(self) -> None:
        self.moves: dict[IdKey, list[Move]] = defaultdict(list)
        self.asked = 0
        self.lost = 0

    def note(self, claims: Claims, stored: dict[IdKey, Owner], lost: set[IdKey]) -> None:
        """Every change of hands is a move from the device that had the id, under a higher number."""
        self.lost += len(lost)
        for key, owner in claims.owners.items():
            if key in lost:
                continue
            before, moves = stored.get(key), [move for move in claims.moves if move.key == key]
            if before is not None and before.generation != claims.before.get(key, 0):
                assert (before.generation, before.uuid) == (owner.generation, owner.uuid)
                continue  # another node has made the same mapping, and its moves are those that are stored
            self.moves[key] += moves
            if before is None:
                assert claims.before.get(key, 0) == 0
                continue
            assert [move.generation for move in moves] == sorted({move.generation for move in moves})
            ends = [before.uuid, *(move.new_uuid for move in moves)]
            if before.generation != owner.generation:
                assert owner.generation > before.generation
                # Whoever asked to be deleted leaves nothing to move: another device of the person is elected.
                assert ends[-1] == owner.uuid or (before.uuid == LEAVING and not moves)


class FarIdentities:
    """The identities of a directory that others write too."""

    def __init__(self, inner: Identities, journey: Journey, history: History) -> None:
        self._inner = inner
        self._journey = journey
        self._history = history

    def __getattr__(self, name: str) -> Any:
        async def far(*args: Any, **options: Any) -> Any:
            await self._journey.pause()
            answer = await getattr(self._inner, name)(*args, **options)
            await self._journey.pause()
            return answer

        return far

    async def look_up(self, *args: Any, **options: Any) -> Known:
        self._history.asked += 1
        await self._journey.pause()
        known = await self._inner.look_up(*args, **options)
        await self._journey.pause()
        return known

    async def link(self, claims: Claims, *, promised: bool = False) -> set[IdKey]:
        await self._journey.pause()
        stored = (await self._inner.look_up(claims.owners)).owners
        lost = await self._inner.link(claims, promised=promised)
        self._history.note(claims, stored, lost)
        await self._journey.pause()
        return lost


class FarDirectory:
    """A directory as one node sees it."""

    def __init__(self, inner: Directory, journey: Journey, history: History) -> None:
        self._inner = inner
        self.identities = FarIdentities(inner.identities, journey, history)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class FarShard:
    """A shard as one node sees it."""

    def __init__(self, inner: Shard, journey: Journey) -> None:
        self._inner = inner
        self._journey = journey

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def append(self, commands: Sequence[Command], *, evaluated: bool = True) -> list[Result]:
        await self._journey.pause()
        results = await self._inner.append(commands, evaluated=evaluated)
        await self._journey.pause()
        return results


class SkewedClock:
    """A clock that goes wrong by the same amount always."""

    def __init__(self, clock: Clock, ahead_s: float) -> None:
        self._clock = clock
        self._ahead_s = ahead_s

    def now(self) -> float:
        return self._clock.now() + self._ahead_s


class WatchedLinks(Links):
    """Keeps every answer that counts."""

    answers: list[Resolved]

    async def resolve(
        self,
        named: Sequence[Naming],
        now: int,
        *,
        away: Away | None = None,
        near: Near | None = None,
        promised: bool = False,
    ) -> list[Resolved]:
        answers = await super().resolve(named, now, away=away, near=near, promised=promised)
        self.answers += answers
        return answers


class Node:
    """An intake node, with a driver of moves for the shards that are `owned`."""

    def __init__(
        self, number: int, directory: Directory, shards: Sequence[Shard], cluster: Cluster, seed: int
    ) -> None:
        chance = cluster.chance
        journey = Journey(chance)
        far: Any = FarDirectory(directory, journey, cluster.history)
        self.owned: Collection[int] = ()
        clock = SkewedClock(cluster.clock, chance.uniform(-SKEW_S, SKEW_S))
        self.identity = identity = Identity(
            far, SeededEntropy(100 * seed + number), clock, cached=False, takeovers_per_device=3
        )
        identity.know(frozenset({PERSON}))
        self.shards = Shards([FarShard(shard, journey) for shard in shards], identity.suppressed)
        self.homes = Homes(identity, far.files, self.shards, clock)
        hand_over = HandOver(identity, clock, self.shards, self.homes)
        self.moves = OwnedMoves(far.identities, hand_over, self.shards, lambda: self.owned)
        self.joins = Joins(far.files, self.homes)
        self.links = WatchedLinks(identity, self.moves, self.joins, far)
        self.links.answers = cluster.answers
        self.events = Ingestion(cluster.live, identity, self.links, self.homes, self.shards, clock)
        self.privacy = Privacy(far, identity, self.homes, self.shards, cluster.live, clock)

    async def stop(self) -> None:
        await self.moves.stop()
        await self.joins.stop()
        await self.privacy.stop()


class Cluster:
    """The nodes, and what is true of all of them. `answers` are all that counted, `history` what was stored."""

    def __init__(
        self,
        directory: Directory,
        clock: Clock,
        chance: random.Random,
        seed: int,
    ) -> None:
        self.directory = directory
        self.chance = chance
        self.clock = clock
        self.history = History()
        self.answers: list[Resolved] = []
        self.live = LiveCatalog()
        sources = (DataSource(id=COOKIE), DataSource(id=PERSON, kind="cross_device"))
        catalog = Catalog(data_sources=sources)
        self.live.use(1, catalog)
        self._shards = [
            Shard(
                SqliteShardStore(MEMORY, committer=InlineCommitter(), key=b"fixed"),
                ruling_of(Prepare(1, stored.to_json(catalog), {})),
                wire=Wire(NotingPoster(), Secrets()),
                clock=self.clock,
                compiler=InlineCommitter(),
                load_ruling=ruling_of,
                housekeeping=False,
            )
            for _ in range(SHARDS)
        ]
        self.nodes = [Node(number, directory, self._shards, self, seed) for number in range(NODES)]

    async def start(self) -> None:
        await self.directory.shards(SHARDS)
        for shard in self._shards:
            await shard.start()
        for number, node in enumerate(self.nodes):
            await node.identity.start()
            if number < DRIVERS:
                node.owned = shards_of(number)
                node.moves.start()

    async def settle(self) -> None:
        """Wait until every id has arrived and every request has ended."""
        assert await until(self._settled, Pause(0.5), 600)
        for node in self.nodes:
            await node.joins.until_idle(600)

    async def _settled(self) -> bool:
        requests, moves = await self.directory.requests.unfinished(), await self.directory.identities.moves()
        return not requests and not moves

    async def profiles(self) -> list[Profile]:
        """Everything that is stored in any shard."""
        pages = [await shard.store.profile_bodies(-1, 10_000) for shard in self._shards]
        return [decode_profile(body) for page in pages for _, body in page]

    async def stop(self) -> None:
        for node in self.nodes:
            await node.stop()
        for shard in self._shards:
            await shard.stop()
        await self.directory.close()
