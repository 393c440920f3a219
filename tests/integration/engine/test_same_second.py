"""What is declared of a person within one second: what came last holds, on every device and at home."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from arke.domain.event import Accepted, DeclaredId, IncomingEvent
from arke.domain.homes import home_of
from e2e.catalogs import device
from integration.engine.test_late_in_one_engine import ANN, PERSON, play, profile_of
from patience import eventually

if TYPE_CHECKING:
    from collections.abc import Collection

    from arke.domain.identity import IdKey
    from arke.domain.profile import Held
    from arke.engine.homes import Homes
    from arke.operations.engine import Engine

SEGMENT = 10
HOME = home_of((PERSON, "ann"))


async def said(engine: Engine, uuid: str | None, *ids: DeclaredId, status: int | None = None) -> None:
    """Somebody is seen, and a status declared of them if there is one."""
    memberships = {} if status is None else {SEGMENT: status}
    event = IncomingEvent(uuid=uuid, ids=ids, signals={"c_k": ["1"]}, memberships=memberships, browser=False)
    (answer,) = await engine.events.ingest([event])
    assert isinstance(answer, Accepted)


async def statuses(engine: Engine, *uuids: str) -> list[int]:
    found = []
    for uuid in uuids:
        profile = await profile_of(engine, uuid)
        assert profile is not None
        found.append(profile.segments[SEGMENT].status)
    return found


class Slow:
    """What homes hold, as it was when they were asked while this was `on`; told once this is off."""

    def __init__(self, homes: Homes) -> None:
        self._held = homes.held
        self.waiting = 0
        self._told = asyncio.Event()
        homes.held = self  # type: ignore[method-assign]
        self.on = True

    async def __call__(self, keys: Collection[IdKey]) -> dict[IdKey, Held]:
        held = await self._held(keys)
        if self.on and held:
            self.waiting += 1
            await self._told.wait()
        return held

    def tell(self) -> None:
        self._told.set()


def homes_of(engine: Engine) -> Homes:
    return engine.events._homes


@pytest.mark.parametrize("first", [0, 1])
def test_what_a_home_held_before_does_not_take_back_what_its_person_was_told_since(first: int) -> None:
    """A device logs in, by its event and by the join behind it; what the home held comes late."""
    last = 1 - first

    async def story(engine: Engine) -> None:
        await said(engine, None, ANN, status=first)
        slow = Slow(homes_of(engine))
        login = asyncio.create_task(said(engine, device(1), ANN))
        await eventually(lambda: slow.waiting >= 2, "the event and the join to know what the home held")
        slow.on = False
        await said(engine, None, ANN, status=last)
        slow.tell()
        await login
        await engine.drain(60)
        assert await statuses(engine, HOME, device(1), device(2)) == [last] * 3

    play(story)


def test_every_device_of_a_person_follows_within_a_second() -> None:
    async def story(engine: Engine) -> None:
        await said(engine, device(1), ANN)
        await engine.drain(60)
        for status in (0, 1, 0, 1, 1, 0):
            await said(engine, None, ANN, status=status)
            assert await statuses(engine, HOME, device(1), device(2)) == [status] * 3

    play(story)


def test_what_a_device_declares_itself_is_not_taken_back_by_what_its_home_held_in_that_second() -> None:
    async def story(engine: Engine) -> None:
        await said(engine, None, ANN, status=1)
        await said(engine, device(1), ANN, status=0)
        await engine.drain(60)
        await said(engine, None, ANN)
        assert await statuses(engine, HOME, device(1), device(2)) == [1, 0, 1]

    play(story)
