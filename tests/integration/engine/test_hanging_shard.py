"""A shard that does not answer, and is not known to be gone: only those wait for it whose devices it has."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from arke.domain.event import Accepted, DeclaredId, IncomingEvent
from arke.engine.ingest import FEW, TOGETHER
from arke.errors import EventError
from arke.shard.protocol import NOTHING_COUNTED
from integration.engine.test_new_devices import Noting, engine_of, unknown
from patience import eventually

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.operations.engine import Engine
    from arke.shard.commands import Command, Result

UNKNOWN_DPID = 4711


class Hanging(Noting):
    """It answers once `go` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.go = asyncio.Event()
        self.go.set()

    async def append(self, commands: Sequence[Command], *, evaluated: bool = True) -> list[Result]:
        results = await super().append(commands, evaluated=evaluated)
        await self.go.wait()
        return results


class Town:
    """An engine over a shard that answers and one that hangs, with so many known events of each."""

    def __init__(self, engine: Engine, healthy: Noting, hangs: Hanging) -> None:
        self.engine = engine
        self.healthy = healthy
        self.hangs = hangs
        self.of_healthy: list[IncomingEvent] = []
        self.of_hanging: list[IncomingEvent] = []


async def town() -> Town:
    healthy, hangs = Noting(), Hanging()
    engine = await engine_of([healthy, hangs])
    found = Town(engine, healthy, hangs)
    for answer, event in zip(
        await engine.events.ingest(unknown(0, TOGETHER + 1)), unknown(0, TOGETHER + 1), strict=True
    ):
        assert isinstance(answer, Accepted)
        known = found.of_hanging if engine.shards.number_of(answer.uuid) else found.of_healthy
        known.append(event)
    healthy.groups.clear()
    hangs.groups.clear()
    hangs.go.clear()
    return found


async def test_an_event_of_a_shard_that_answers_does_not_wait_for_one_that_hangs() -> None:
    """They have come in one turn of the event loop, and so went in one call."""
    at = await town()
    ingest = at.engine.events.ingest
    waits = [asyncio.ensure_future(ingest([event])) for event in at.of_hanging[:3]]
    answers = await asyncio.gather(*(ingest([event]) for event in at.of_healthy[:5]))
    assert all(isinstance(answer, Accepted) for (answer,) in answers)
    assert not any(one.done() for one in waits)
    assert [len(group) for group in at.healthy.groups] == [5]
    assert [len(group) for group in at.hangs.groups] == [3]
    await asyncio.gather(
        *(ingest([event]) for event in at.of_healthy)
    )  # and so do those that come afterwards
    at.hangs.go.set()
    assert all(isinstance(answer, Accepted) for (answer,) in await asyncio.gather(*waits))


async def test_nor_does_an_event_that_is_refused() -> None:
    at = await town()
    ingest = at.engine.events.ingest
    wrong = IncomingEvent(ids=(DeclaredId(UNKNOWN_DPID, "x"),))
    waits, refused = asyncio.ensure_future(ingest(at.of_hanging[:1])), asyncio.ensure_future(ingest([wrong]))
    (answer,) = await refused
    assert isinstance(answer, EventError)
    assert answer.reason == "unknown_data_source"
    assert not waits.done()
    at.hangs.go.set()
    await waits


async def test_a_body_of_events_waits_for_its_own_shards_only() -> None:
    at = await town()
    ingest = at.engine.events.ingest
    mixed = [*at.of_healthy[:2], *at.of_hanging[:1]]
    waits = [asyncio.ensure_future(ingest(mixed)), asyncio.ensure_future(ingest(at.of_hanging))]
    assert len(await ingest(at.of_healthy[:FEW])) == FEW
    many = at.of_healthy[:1] * (FEW + 1)
    assert len(await ingest(many)) == FEW + 1
    assert not any(one.done() for one in waits)
    at.hangs.go.set()
    assert [len(answers) for answers in await asyncio.gather(*waits)] == [3, len(at.of_hanging)]


async def test_a_shard_that_is_back_is_tried_though_another_does_not_say_whether_it_is() -> None:
    """It went away, and hangs since it is back."""

    class Asked(Hanging):
        async def call(self, question: object) -> Any:
            await self.go.wait()
            return msgspec.structs.replace(NOTHING_COUNTED, ready=True)

    shards = [Asked(), Asked(), Asked()]
    engine = await engine_of([*shards])
    for one in shards[:2]:
        one.down = True
    shards[0].go.clear()
    await asyncio.gather(*(engine.events.ingest(unknown(9 * n, 1)) for n in range(3)), return_exceptions=True)
    await asyncio.gather(engine.events.ingest(unknown(100, TOGETHER + 1)), return_exceptions=True)
    engine.shards.watch()
    assert {0} <= engine.shards.away <= {0, 1}
    await eventually(lambda: engine.shards.away == {0}, "the other to be tried again")
    shards[0].go.set()
    await eventually(lambda: not engine.shards.away, "all to be there")
    await engine.shards.stop()
