"""The network and the destinations: requests take time, get lost or answered wrongly, and arrive all the same."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, NamedTuple

from arke.delivery.https.ports import Answer, Failure
from reachable import Reachable

if TYPE_CHECKING:
    from arke.clock import Clock
    from arke.delivery.https.endpoint import Endpoint
    from arke.delivery.https.request import OutboundRequest
    from arke.domain.catalog import Tls
    from simulation.fate import Fate

RESET, TIMEOUT, REFUSED = (
    Answer(reason="reset", cause="reset", sent=True),
    Answer(reason="timeout", cause="timeout_headers", sent=True),
    Answer(reason="connect", cause="connect_refused", sent=False),
)

UNREACHABLE = Failure("connect", "connect_refused", "nobody listens")
STATUSES = {"ok": 200, "500": 500, "429": 429, "204": 204, "400": 400, "later": 503}
RETRY_AFTER_S = (1, 30, 1_000)


class Arrival(NamedTuple):
    """A request as its destination got it, the status it answered with (0: it never came to that), and its
    message's id.
    """

    at: float
    life: int
    destination: int
    status: int
    body: str
    message: str


class Network:
    """All destinations, and what each of them was sent. Lives on when an engine dies."""

    def __init__(self, clock: Clock, fate: Fate) -> None:
        self._clock = clock
        self._fate = fate
        self.arrivals: list[Arrival] = []
        self.down: set[int] = set()
        self.tries: dict[int, tuple[bytes, int]] = {}
        self._on_the_way: dict[int, Arrival] = {}
        self._number = 0

    def cut(self) -> None:
        """The engine died: what was on its way arrives now or never, and no one hears the answer."""
        for arrival in self._on_the_way.values():
            if self._fate.random.random() < 0.5:
                self.arrivals.append(arrival._replace(at=self._clock.now()))
        self._on_the_way.clear()

    async def connect(self, destination: int) -> Failure | None:
        """A destination that refused the last request refuses connections for a while, too."""
        await asyncio.sleep(0.001)
        if destination in self.down and self._fate.verdict(destination) == "refused":
            return UNREACHABLE
        self.down.discard(destination)
        return None

    async def carry(self, life: int, payload: bytes, message: str, timeout_s: float) -> Answer:
        """One request. A post of a dead engine ends in `Fate.point` or is cancelled; it never arrives late.

        Both attempts of a message carry the very same bytes object: so requests are counted per message.
        """
        fate, body = self._fate, payload.decode()
        self.tries[id(payload)] = (payload, self.tries.get(id(payload), (payload, 0))[1] + 1)
        destination = int(json.loads(body)["AAM_Destination_Id"])
        verdict = fate.verdict(destination)
        if verdict == "refused":
            self.down.add(destination)
            await asyncio.sleep(0.001)
            return REFUSED
        self.down.discard(destination)
        self._number += 1
        number = self._number
        status = STATUSES.get(verdict, 0)
        self._on_the_way[number] = Arrival(0.0, life, destination, status, body, message)
        await asyncio.sleep(fate.latency_s())
        await fate.point()
        arrival = self._on_the_way.pop(number)._replace(at=self._clock.now())
        if verdict != "unheard":
            self.arrivals.append(arrival)
        await fate.point()
        if verdict in ("unheard", "slow"):
            await asyncio.sleep(timeout_s)
            return TIMEOUT
        await asyncio.sleep(fate.latency_s())
        wait_s = float(fate.random.choice(RETRY_AFTER_S)) if verdict == "later" else None
        return RESET if verdict == "reset" else Answer(status=status, sent=True, retry_after_s=wait_s)


class Uplink(Reachable):
    """One engine's way into the network (a `Poster`)."""

    def __init__(self, network: Network, life: int) -> None:
        self._network = network
        self._life = life

    async def post(self, request: OutboundRequest, *, timeout_s: float) -> Answer:
        return await self._network.carry(self._life, request.body, request.message, timeout_s)

    async def connect(
        self, destination: int, endpoint: Endpoint, tls: Tls, *, timeout_s: float
    ) -> Failure | None:
        return await self._network.connect(destination)
