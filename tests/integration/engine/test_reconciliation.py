"""A town of devices and destinations of all kinds: statements add up at any moment, and say what `explain` says."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import TYPE_CHECKING, Final

import pytest

from arke.app import memory_engine
from arke.clock import SeededEntropy
from arke.delivery.https.ports import Answer
from arke.domain.catalog import Catalog, DataSource, Destination, Mapping, Segment, Trait
from arke.domain.event import DeclaredId, IncomingEvent
from arke.engine import reconciliation
from arke.errors import Unavailable
from arke.operations.explain import PeopleOperations
from arke.operations.reconciliation import ReconciliationOperations
from arke.operations.sizes import SegmentSizes, SizeOperations
from arke.privacy.request import Asked
from arke.shard.tally import SAMPLES
from arke.telling.accounts import BUCKETS, LEFT_BUCKETS
from arke.virtual_time import VirtualClock, VirtualTimeLoop, run_virtual
from reachable import Reachable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.delivery.https.request import OutboundRequest
    from arke.operations.engine import Engine
    from arke.operations.explain import Explanation
    from arke.operations.reconciliation import Statement

START: Final = 1_800_000_000
COOKIE: Final = 12345
PERSON: Final = 22222
PEOPLE: Final = 4
DEVICES: Final = [f"{number:038d}" for number in range(16)]
UNMAPPED: Final = (30, 40)
TURNS: Final = 200
SEGMENTS: Final = (10, 20, 30, 40)
WELL, FAILING, SLOW, SAMPLED, BATCHES, DARK, SILENT, LATER = DESTINATIONS = range(1, 9)


def _destination(number: int, **options: object) -> Destination:
    mapped = tuple(Mapping(segment=segment) for segment in SEGMENTS)
    fields = {"user_dpids": (COOKIE, PERSON), "segments": mapped, "max_users_per_request": 3} | options
    return Destination(id=number, url=f"https://dsp{number}.test/", client_id="c", **fields)  # type: ignore[arg-type]


def town(*, edited: bool = False) -> Catalog:
    """Four segments, one of them declared and one that is paused by the edit; destinations of eight kinds."""
    return Catalog(
        data_sources=(DataSource(id=COOKIE), DataSource(id=PERSON, kind="cross_device")),
        traits=tuple(Trait(id=number, rule=f"c_k == {number}", ttl_days=number) for number in (1, 2)),
        segments=(
            Segment(id=10, rule="1T"),
            Segment(id=20, rule="2T"),
            Segment(id=30, rule="1T AND NOT 2T", paused=edited),
            Segment(id=40),
        ),
        destinations=(
            _destination(WELL),
            _destination(FAILING),
            _destination(SLOW),
            _destination(SAMPLED, sample_rate_denominator=3),
            _destination(BATCHES, realtime=False),
            _destination(DARK, enabled=not edited),
            _destination(SILENT, supports_unsegment=False, user_dpids=(0,)),
            _destination(LATER, segments=(Mapping(segment=10, start="2100-01-01"), Mapping(segment=20))),
        ),
    )


class Endpoints(Reachable):
    """One fails, one takes its time, the others are well."""

    async def post(self, request: OutboundRequest, *, timeout_s: float) -> Answer:
        await asyncio.sleep(2.0 if request.destination == SLOW else 0.01)
        return Answer(status=500 if request.destination == FAILING else 200, sent=True)


class Town:
    """An engine over one shard in memory, and whoever comes by."""

    def __init__(self, engine: Engine, seed: int) -> None:
        self._engine = engine
        self._chance = random.Random(seed)
        self._people = PeopleOperations(engine)
        self._reconciliation = ReconciliationOperations(
            engine.reconciliation, engine.live, SizeOperations(engine.shards), engine.audit, engine.clock
        )

    async def live(self, edited: Catalog) -> Counter[str]:
        """Returns which buckets were met on the way, and how often."""
        chance = self._chance
        met: Counter[str] = Counter()
        for turn in range(45):
            await self._engine.events.ingest([self._event() for _ in range(chance.randint(1, 4))])
            await asyncio.sleep(chance.choice((0.0, 0.05, 0.3, 2.5, 3_000.0, 90_000.0)))
            if turn == 15:
                await self._engine.batches.start(BATCHES, "command")
            if turn == 28:
                await self._engine.catalogs.apply(edited)
            if turn == 42:
                await self._engine.privacy.request([Asked("opt_out", (chance.choice(DEVICES),))])
            if turn % 15 == 14:
                met += await self.compare()
        return met

    def _event(self) -> IncomingEvent:
        chance = self._chance
        keys = [(COOKIE, f"c{chance.randrange(20)}"), (PERSON, f"p{chance.randrange(PEOPLE)}")]
        ids = tuple(DeclaredId(*key, int(key[0] == PERSON)) for key in keys if chance.random() < 0.4)
        return IncomingEvent(
            uuid=chance.choice(DEVICES),
            ids=ids,
            signals={"c_k": [str(chance.randint(1, 3))]},
            memberships={40: chance.randint(0, 1)} if chance.random() < 0.3 else {},
        )

    async def _everybody(self) -> list[Explanation]:
        """Devices, and people for whom none speaks."""
        found = [await self._people.look_up(uuid, None) for uuid in DEVICES]
        found += [await self._people.look_up(None, f"{PERSON}:p{number}") for number in range(PEOPLE)]
        return list({one.uuid: one for one in found if one.known}.values())

    async def compare(self) -> Counter[str]:
        """Every statement with what `explain` says of everybody. Returns how often each bucket was met."""
        for _ in range(TURNS):  # what happens at this moment has happened, and time stands still meanwhile
            await asyncio.sleep(0)
        explained: Counter[tuple[int, int, str]] = Counter()
        members: Counter[int] = Counter()
        for one in await self._everybody():
            members.update(facts.id for facts in one.segments if facts.status)
            explained.update(
                (side.id, account.segment, account.bucket)
                for side in one.destinations
                for account in side.accounts
            )
        met: Counter[str] = Counter()
        for destination in DESTINATIONS:
            for segment in SEGMENTS:
                statement = await self._reconciliation.statement(segment, destination)
                expected = {
                    bucket: users
                    for (number, mapped, bucket), users in explained.items()
                    if (number, mapped) == (destination, segment)
                }
                if destination == LATER and segment in UNMAPPED:
                    expected = {"not_mapped": members[segment]} if members[segment] else {}
                assert statement.buckets == expected, (destination, segment)
                assert statement.users == statement.members == members[segment]
                self._check(statement)
                met.update(statement.buckets)
                met.update(f"left:{bucket}" for bucket in statement.left)
            funnel = await self._reconciliation.funnel(destination)
            assert sum(funnel.buckets.values()) == funnel.qualified
            assert funnel.qualified >= funnel.partner_id >= funnel.acknowledged + funnel.owed
            assert funnel.sent >= funnel.acknowledged
        return met

    @staticmethod
    def _check(statement: Statement) -> None:
        assert sum(statement.buckets.values()) == statement.users
        assert statement.buckets.keys() <= set(BUCKETS)
        assert statement.left.keys() <= set(LEFT_BUCKETS)
        for bucket, users in statement.buckets.items():
            assert sum(statement.reasons[bucket].values()) == users
        assert statement.exact


@pytest.mark.parametrize("seed", range(6))
def test_statements_add_up_and_say_what_explain_says(seed: int) -> None:
    loop = VirtualTimeLoop()

    async def play() -> Counter[str]:
        engine, shard = memory_engine(Endpoints(), VirtualClock(loop, START), SeededEntropy(seed))
        await shard.start()
        await engine.catalogs.apply(town())
        await engine.privacy.start()
        met = await Town(engine, seed).live(town(edited=True))
        await engine.stop()
        return met

    met = run_virtual(play(), loop)
    assert met["acknowledged"]


def test_of_a_large_store_a_sample_is_shown_until_all_were_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sample has bounds; the count of all is exact, and holds until the catalog is another."""
    monkeypatch.setattr(reconciliation, "ALL_UP_TO", 0)
    monkeypatch.setattr(reconciliation, "LOOKED_AT", 5)
    monkeypatch.setattr(reconciliation, "PART", 4)
    loop = VirtualTimeLoop()

    async def play() -> None:
        engine, shard = memory_engine(Endpoints(), VirtualClock(loop, START), SeededEntropy(1))
        await shard.start()
        await engine.catalogs.apply(town())
        seen = [
            IncomingEvent(uuid=uuid, ids=(DeclaredId(COOKIE, uuid[-2:]),), signals={"c_k": ["1"]})
            for uuid in DEVICES
        ]
        await engine.events.ingest(seen)
        await asyncio.sleep(60)
        sizes = SizeOperations(engine.shards)
        asked = ReconciliationOperations(
            engine.reconciliation, engine.live, sizes, engine.audit, engine.clock
        )
        sample = await asked.statement(10, WELL)
        assert (sample.basis, sample.exact, sample.looked_at, sample.stored) == ("sample", False, 5, 16)
        assert sample.buckets == {"acknowledged": 16}
        low, high = sample.ranges["acknowledged"]
        assert low < 16 == high
        assert (await asked.begin(WELL)).running
        assert (await asked.begin(WELL)).running  # the same one
        while (counting := await asked.counting(WELL)).running:
            await asyncio.sleep(0.1)
        assert (counting.share, counting.looked_at, counting.error) == (1.0, 16, None)
        whole = await asked.statement(10, WELL)
        assert (whole.basis, whole.exact, whole.buckets) == ("count", True, {"acknowledged": 16})
        assert len((await asked.samples(WELL, "acknowledged")).uuids) == SAMPLES
        actions = [entry.action for entry in await engine.directory.audit.entries(0, 100)]
        assert actions.count("count_begun") == 2
        await engine.catalogs.apply(town(edited=True))
        assert (await asked.statement(10, WELL)).basis == "sample"
        await engine.stop()

    run_virtual(play(), loop)


class HalfCounted(SizeOperations):
    """A store whose sizes are being gone through, as after `arke reshard`: none is known yet."""

    async def of(self, segments: Sequence[int] | None = None) -> SegmentSizes:
        return SegmentSizes(dict.fromkeys(segments or (), 0), 0.5)


def test_sizes_that_are_not_counted_yet_are_not_told_as_nobody() -> None:
    loop = VirtualTimeLoop()

    async def play() -> None:
        engine, shard = memory_engine(Endpoints(), VirtualClock(loop, START), SeededEntropy(1))
        await shard.start()
        await engine.catalogs.apply(town())
        asked = ReconciliationOperations(
            engine.reconciliation, engine.live, HalfCounted(engine.shards), engine.audit, engine.clock
        )
        assert (await asked.statement(10, WELL)).members is None
        with pytest.raises(Unavailable, match="being counted"):
            await asked.overlap(10, 20)
        await engine.stop()

    run_virtual(play(), loop)
