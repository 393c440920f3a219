"""One engine knows its suppression list: what it decided before somebody came onto it reaches no shard later."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from arke.app import memory_engine
from arke.clock import SeededEntropy
from arke.domain.catalog import Catalog, DataSource, Segment, Trait
from arke.domain.event import Accepted, DeclaredId, IncomingEvent
from arke.domain.file_lines import Said
from arke.domain.time import DAY_S
from arke.privacy.request import Asked
from arke.shard.commands import FileDevice, Link, Linked, Onboard, Onboarded
from arke.shard.protocol import AskProfile
from arke.virtual_time import VirtualClock, VirtualTimeLoop, run_virtual
from e2e.catalogs import device
from integration.cluster.test_privacy import Gate, Stoppable
from integration.engine.shards import NotingPoster
from patience import eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from arke.domain.profile import Profile
    from arke.operations.engine import Engine

START = 20_000 * DAY_S
DPID, PERSON = 12345, 700
ANN = DeclaredId(PERSON, "ann")
CATALOG = Catalog(
    data_sources=(DataSource(id=DPID), DataSource(id=PERSON, kind="cross_device")),
    traits=(Trait(id=1, rule="c_k == 1"),),
    segments=(Segment(id=10),),
)


def play(story: Callable[[Engine], Awaitable[None]]) -> None:
    """On virtual time, with a person who has a home and a device."""
    loop = VirtualTimeLoop()

    async def work() -> None:
        engine, shard = memory_engine(NotingPoster(), VirtualClock(loop, START), SeededEntropy(1))
        await shard.start()
        await engine.catalogs.apply(CATALOG)
        await seen(engine, device(2), ANN)
        await seen(engine, None, ANN)
        await story(engine)
        await engine.stop()

    run_virtual(work(), loop)


async def seen(engine: Engine, uuid: str | None, *ids: DeclaredId) -> Accepted:
    event = IncomingEvent(uuid=uuid, ids=ids, signals={"c_k": ["1"]}, memberships={10: 1}, browser=False)
    (answer,) = await engine.events.ingest([event])
    assert isinstance(answer, Accepted)
    return answer


async def profile_of(engine: Engine, uuid: str) -> Profile | None:
    return (await engine.shards.ask_about(uuid, AskProfile(uuid))).profile


async def forgotten(engine: Engine, asked: Asked) -> None:
    numbers = await engine.privacy.request([asked])

    async def done() -> bool:
        return all(row.done for row in (await engine.directory.requests.get(numbers)).values())

    await eventually(done, "the request to end")


def held_up(engine: Engine) -> Gate:
    """Where events wait that bring a device to a person: for what the person's home holds."""
    gate, events = Gate(), engine.events
    homes: Any = Stoppable(events._homes, "held", gate)
    events._homes = homes
    gate.close()
    return gate


def test_an_event_that_waited_until_its_device_was_deleted_does_not_make_it_anew() -> None:
    async def story(engine: Engine) -> None:
        await seen(engine, device(1), DeclaredId(DPID, "theirs"))
        gate = held_up(engine)
        late = asyncio.create_task(seen(engine, device(1), ANN))
        await eventually(lambda: gate.waiting, "it to be decided")
        await forgotten(engine, Asked("delete", (device(1),)))
        gate.open()
        assert (await late).opted_out
        assert await profile_of(engine, device(1)) is None

    play(story)


def test_an_event_that_waited_until_its_person_had_opted_out_brings_the_id_to_no_device() -> None:
    async def story(engine: Engine) -> None:
        await seen(engine, device(1), DeclaredId(DPID, "theirs"))
        gate = held_up(engine)
        late = []
        for number, ids in ((1, [ANN]), (2, [ANN]), (3, [DeclaredId(DPID, "third"), ANN])):
            late.append(asyncio.create_task(seen(engine, device(number), *ids)))
            await eventually(lambda: gate.waiting == len(late), "it to be decided")
        await seen(engine, device(3), DeclaredId(DPID, "more"))
        await forgotten(engine, Asked("opt_out", (), ((PERSON, "ann"),)))  # the third goes, which came last
        gate.open()
        assert [one.opted_out for one in await asyncio.gather(*late)] == [True] * 3
        for number, kept in ((1, ["theirs"]), (2, []), (3, [])):
            profile = await profile_of(engine, device(number))
            assert profile is not None
            assert [one.id for one in profile.ids] == kept
            assert bool(profile.opted_out) == (number == 3)

    play(story)


def test_what_a_file_says_of_a_device_that_was_deleted_meanwhile_is_refused() -> None:
    async def story(engine: Engine) -> None:
        await seen(engine, device(1))
        await forgotten(engine, Asked("delete", (device(1),)))
        said = (Said(memberships={10: 1}),)
        answers = await engine.shards.submit(
            engine.shards.number_of(device(1)),
            [
                Onboard(1, START, START, said, (FileDevice(device(1), (1,), (0,)),)),
                Onboard(1, START, START, said, (FileDevice(device(3), (1,), (0,)),)),
            ],
        )
        assert answers == [Onboarded(refused=(0,)), Onboarded(devices=1)]
        link = Link(device(1), (DeclaredId(DPID, "x"),), START)
        assert await engine.shards.one(device(1), link) == Linked(refused=True)
        assert await profile_of(engine, device(1)) is None
        assert await profile_of(engine, device(3)) is not None

    play(story)
