"""Visitors who send until they are answered, an operator who edits the catalog, and what is true after them.

What they do may be done twice without harm: traits in events with an `event_id`, tellings at given times, ids.
So an event whose answer was lost is sent again as it was, some are sent twice at once, and the truth is that of the
events in order.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from arke.domain.event import Accepted, DeclaredId, IncomingEvent
from arke.errors import ArkeError
from model.oracle import Device
from simulation.catalogs import COOKIES, DEVICES, EDITIONS, NEWCOMERS, PARTNER_IDS, catalog, world
from simulation.machine import Died

if TYPE_CHECKING:
    from arke.clock import Clock
    from simulation.fate import Fate
    from simulation.machine import Machine

PAUSES_S = (0.0, 0.0, 0.01, 0.15, 0.15, 5.0, 3_600.0, 40_000.0)
EVENTS_EACH = 10
VISITS_EACH = 3
EDITS = 2
AGAIN_S = 0.3


class Visitors:
    """Three devices, and newcomers of whom only an id is known, by it. `owned`, `devices` and `newcomers` are what
    is true once everybody has been answered; `refused`: how often a device was not given an id.
    """

    def __init__(self, machine: Machine, clock: Clock, fate: Fate) -> None:
        self._machine = machine
        self._clock = clock
        self._fate = fate
        self._linking = asyncio.Lock()
        self.devices = [Device() for _ in DEVICES]
        self.newcomers = {partner_id: Device() for partner_id in NEWCOMERS}
        self.uuids: dict[str, str] = {}
        self.owned: dict[str, int] = {}
        self.refused = 0
        self.edition = 0

    async def live(self) -> None:
        """Everything that happens before the calm."""
        await self._apply(0)
        tasks = [self._visit(number) for number in range(len(DEVICES))]
        tasks += [self._arrive(partner_id) for partner_id in NEWCOMERS]
        await self._all(*tasks, self._edit(), self._disturb())

    async def look_in(self) -> None:
        """Every device is seen once more."""
        for number in range(len(DEVICES)):
            await self._send(number, IncomingEvent(uuid=DEVICES[number], ts=self._now()), set(), {})
        for partner_id in NEWCOMERS:
            await self._come(partner_id, "once more", set())

    async def _all(self, *actions: object) -> None:
        tasks = [self._machine.outsider(asyncio.ensure_future(action)) for action in actions]  # type: ignore[call-overload]
        await asyncio.gather(*tasks)

    def _now(self) -> int:
        return int(self._clock.now())

    async def _pause(self) -> None:
        await asyncio.sleep(self._fate.random.choice(PAUSES_S))

    async def _visit(self, number: int) -> None:
        chance = self._fate.random
        for nth in range(EVENTS_EACH):
            await self._pause()
            if chance.random() < 0.3:
                await self._link(number, chance.choice(PARTNER_IDS))
                continue
            traits = set(chance.sample((1, 2, 3), chance.randint(0, 2)))
            told = {21: chance.randint(0, 1)} if chance.random() < 0.4 else {}
            event = IncomingEvent(
                uuid=DEVICES[number],
                ts=self._now(),
                signals={"c_trait": [str(trait) for trait in sorted(traits)]} if traits else {},
                memberships=told,
                event_id=f"visit {nth}",
            )
            await self._send(number, event, traits, told, copies=chance.choice((1, 1, 2)))

    async def _arrive(self, partner_id: str) -> None:
        chance = self._fate.random
        for nth in range(VISITS_EACH):
            await self._pause()
            await self._come(partner_id, f"visit {nth}", set(chance.sample((1, 2, 3), chance.randint(0, 2))))

    async def _come(self, partner_id: str, event_id: str, traits: set[int]) -> None:
        """Whoever has been answered is the same device from then on, whatever dies."""
        event = IncomingEvent(
            ts=self._now(),
            ids=(DeclaredId(COOKIES, partner_id),),
            signals={"c_trait": [str(trait) for trait in sorted(traits)]} if traits else {},
            event_id=event_id,
        )
        answer = await self._answered(event)
        known = self.uuids.setdefault(partner_id, answer.uuid)
        assert known == answer.uuid, f"{partner_id} was {known}, and is {answer.uuid} now"
        assert event.ts is not None
        device = self.newcomers[partner_id]
        device.see(world(self.edition), self._now(), event.ts, traits, {})

    async def _link(self, number: int, partner_id: str) -> None:
        """One after the other: of two at once nobody could say which mapping is the newer. At the public door a
        device may have taken as many ids from others as it may: then it is seen, and the id stays where it was.
        """
        async with self._linking:
            ids = (DeclaredId(COOKIES, partner_id),)
            public = self._fate.random.random() < 0.5
            event = IncomingEvent(uuid=DEVICES[number], ts=self._now(), ids=ids, public=public)
            answer = await self._send(number, event, set(), {})
            if answer.withheld.takeovers:
                self.refused += 1
            else:
                self.owned[partner_id] = number

    async def _send(
        self, number: int, event: IncomingEvent, traits: set[int], told: dict[int, int], *, copies: int = 1
    ) -> Accepted:
        assert event.ts is not None
        answer = await self._answered(event, copies)
        self.devices[number].see(world(self.edition), self._now(), event.ts, traits, told)
        return answer

    async def _answered(self, event: IncomingEvent, copies: int = 1) -> Accepted:
        while True:
            try:
                answer, *_ = await self._machine.ask(lambda engine: engine.events.ingest([event] * copies))
            except (Died, ArkeError):
                answer = None
            if isinstance(answer, Accepted):
                return answer
            await asyncio.sleep(AGAIN_S)

    async def _edit(self) -> None:
        for _ in range(EDITS):
            await self._pause()
            await self._pause()
            await self._apply(self._fate.random.randrange(EDITIONS))

    async def _apply(self, edition: int) -> None:
        while True:
            try:
                await self._machine.ask(lambda engine: engine.catalogs.apply(catalog(edition)))
            except (Died, ArkeError):
                await asyncio.sleep(AGAIN_S)
            else:
                self.edition = edition
                return

    async def _disturb(self) -> None:
        """Destinations fail for a while, now and then."""
        from simulation.catalogs import DESTINATIONS

        for _ in range(6):
            await self._pause()
            self._fate.fail_for_a_while(self._fate.random.choice(DESTINATIONS))
