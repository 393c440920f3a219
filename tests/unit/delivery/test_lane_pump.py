"""A lane never idles while there is room and something to send. On virtual time, to the microsecond."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from arke.app import memory_engine
from arke.clock import SeededEntropy
from arke.delivery.channel import RETRY_DELAY_S
from arke.delivery.https.ports import Answer
from arke.domain.catalog import Catalog, DataSource, Destination, Mapping, Segment, Trait
from arke.domain.event import DeclaredId, IncomingEvent
from arke.virtual_time import VirtualClock, VirtualTimeLoop, run_virtual
from reachable import Reachable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from arke.delivery.https.request import OutboundRequest
    from arke.operations.engine import Engine

DPID = 12345
CATALOG = Catalog(
    data_sources=(DataSource(id=DPID),),
    traits=(Trait(id=1, rule="c_k == 1"),),
    segments=(Segment(id=9, rule="1T"),),
    destinations=(
        Destination(
            id=7,
            url="https://dsp.example.com/",
            client_id="1",
            user_dpids=(DPID,),
            max_users_per_request=1,
            linger_ms=0,
            segments=(Mapping(segment=9),),
        ),
    ),
)


class ScriptedPoster(Reachable):
    """Answers each attempt with the next status, then with 200; notes when each came."""

    def __init__(self, loop: VirtualTimeLoop, statuses: Iterable[int] = ()) -> None:
        self._loop = loop
        self._statuses = list(statuses)
        self.attempts: list[tuple[float, int]] = []

    async def post(self, request: OutboundRequest, *, timeout_s: float) -> Answer:
        status = self._statuses.pop(0) if self._statuses else 200
        self.attempts.append((self._loop.time(), status))
        return Answer(status=status, sent=True)


def seen(*partner_ids: str) -> list[IncomingEvent]:
    """One event a device; an empty partner id is a device without one."""
    return [
        IncomingEvent(ids=(DeclaredId(DPID, text),) if text else (), signals={"c_k": ["1"]})
        for text in partner_ids
    ]


async def _started(poster: ScriptedPoster, clock: VirtualClock) -> Engine:
    engine, shard = memory_engine(poster, clock, SeededEntropy(1))
    await shard.start()
    await engine.catalogs.apply(CATALOG)
    return engine


def test_the_next_message_leaves_as_soon_as_a_failed_one_has_made_room() -> None:
    """With room for one message at a time, its failure must wake whatever waits behind it, at once."""
    loop = VirtualTimeLoop()
    poster = ScriptedPoster(loop, [500] * 8)

    async def play() -> None:
        engine = await _started(poster, VirtualClock(loop, 1_800_000_000.0))
        for number in range(3):  # each failure halves what may be under way: 8, 4, 2, 1
            await engine.events.ingest(seen(f"failing-{number}"))
            await engine.drain(10)
        await engine.events.ingest(seen("first", "second"))
        await engine.drain(10)
        await engine.stop()

    run_virtual(play(), loop)
    first, again, second = poster.attempts[6:]
    assert [status for _, status in (first, again, second)] == [500, 500, 200]
    assert again[0] - first[0] == pytest.approx(RETRY_DELAY_S, abs=1e-6)
    assert second[0] - again[0] < 0.001


def test_devices_with_nothing_to_say_do_not_hold_up_the_one_behind_them() -> None:
    """A thousand devices without a partner id take no room in messages, so the next one leaves at once."""
    loop = VirtualTimeLoop()
    poster = ScriptedPoster(loop)

    async def play() -> float:
        engine = await _started(poster, VirtualClock(loop, 1_800_000_000.0))
        await engine.events.ingest(seen(*[""] * 1_000, "told"))
        accepted = loop.time()
        await engine.drain(60)
        await engine.stop()
        return accepted

    accepted = run_virtual(play(), loop)
    assert [status for _, status in poster.attempts] == [200]
    assert poster.attempts[0][0] - accepted < 0.001
