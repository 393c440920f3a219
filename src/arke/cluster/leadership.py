"""One node does what only one may do, and stops in time when it cannot be sure any more that it is the one."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

from arke.background import Background
from arke.errors import StoreUnavailable, Unavailable
from arke.log import get_logger
from arke.storage.ports.nodes import LEADS_FOR_S

if TYPE_CHECKING:
    from arke.storage.ports.nodes import Nodes

ASKED_EVERY_S: Final = 1.0
TRIES: Final = 5
"""So often in a row what a leader does may fail to begin, before another node is let try."""
STANDS_BACK_S: Final = 3 * ASKED_EVERY_S
"""For as long it does not ask then: every other node does in that time."""
SURE_FOR_S: Final = LEADS_FOR_S - 2.0
"""So long after an answer a leader is sure: what it has begun by then ends before another one begins."""

log = get_logger("leader")


class Led(Protocol):
    """What a leader does."""

    async def begin(self) -> None:
        """Go on where the leader before stopped, and return soon. Raises Unavailable: then it is tried again."""
        ...

    async def end(self) -> None:
        """Stop. Safe where `begin` has raised."""
        ...


class Leadership:
    """Asks to lead, once a second, for as long as it runs."""

    def __init__(self, nodes: Nodes, name: str, led: Led) -> None:
        self._nodes = nodes
        self._name = name
        self._led = led
        self._background = Background()
        self._failed = 0
        self.leads = False

    def start(self) -> None:
        self._background.spawn(self._run(), "leadership")

    async def stop(self) -> None:
        """Lead no more, and say so."""
        await self._background.stop()
        await self._end()
        with suppress(StoreUnavailable):
            await self._nodes.resign(self._name)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        sure_until = loop.time()
        while True:
            if self._failed >= TRIES:
                await self._stand_back()
            asked_at = loop.time()
            try:
                async with asyncio.timeout_at(max(sure_until, asked_at + ASKED_EVERY_S)):
                    turn = await self._nodes.lead(self._name)
            except (StoreUnavailable, TimeoutError):
                if loop.time() >= sure_until:
                    await self._end()
            else:
                if turn is None:
                    await self._end()
                else:
                    sure_until = asked_at + SURE_FOR_S
                    await self._begin(turn)
            await asyncio.sleep(ASKED_EVERY_S)

    async def _begin(self, turn: int) -> None:
        if self.leads:
            return
        try:
            await self._led.begin()
        except Unavailable as error:
            log.warning("lead_postponed", code=error.code)
        except Exception as error:  # noqa: BLE001 - whatever it was: nobody else leads as long as we ask to
            log.error("lead_failed", error=type(error).__name__)
        else:
            self._failed = 0
            self.leads = True
            log.info("leads", turn=turn)
            return
        self._failed += 1
        await self._led.end()

    async def _stand_back(self) -> None:
        """What fails here may not fail elsewhere."""
        self._failed = 0
        with suppress(StoreUnavailable):
            await self._nodes.resign(self._name)
        log.warning("lead_given_up", again_in_s=STANDS_BACK_S)
        await asyncio.sleep(STANDS_BACK_S)

    async def _end(self) -> None:
        if self.leads:
            self.leads = False
            log.info("leads_no_more")
            await self._led.end()
