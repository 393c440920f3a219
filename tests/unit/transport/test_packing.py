"""What a writer makes of its carrier's answers, on virtual time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from arke.domain.event import Event
from arke.errors import ArkeError, InvalidInput, ShardDown, StoreUnavailable
from arke.shard.commands import Sight
from arke.transport.message import encode_sight
from arke.transport.packing import Bounds, Packed, PackedWriter
from arke.virtual_time import VirtualTimeLoop, run_virtual

if TYPE_CHECKING:
    from collections.abc import Coroutine

SIGHT = Sight(Event(uuid="1" * 38, at=1, ts=1))
SIZE = len(encode_sight(SIGHT))


class Notebook:
    """A carrier that only notes what it is given."""

    def __init__(self) -> None:
        self.sent: list[Packed] = []

    def send(self, message: Packed) -> None:
        self.sent.append(message)

    async def check(self) -> None:
        return

    async def close(self, timeout_s: float) -> None:
        return


def lengths(messages: list[Packed]) -> list[tuple[int, int]]:
    return [(message.shard, len(message.pieces)) for message in messages]


def play(story: Coroutine[Any, Any, None]) -> None:
    run_virtual(story, VirtualTimeLoop())


def test_a_message_lingers_for_those_who_come_next_and_leaves_at_once_when_it_is_full() -> None:
    async def story() -> None:
        carrier = Notebook()
        writer = PackedWriter(carrier, Bounds(linger_s=0.003, message_events=3))
        first = asyncio.create_task(writer.append(1, [SIGHT]))
        await asyncio.sleep(0.002)
        second = asyncio.create_task(writer.append(1, [SIGHT]))
        await asyncio.sleep(0)
        assert carrier.sent == []
        await asyncio.sleep(0.0011)
        assert lengths(carrier.sent) == [(1, 2)]
        full = asyncio.create_task(writer.append(2, [SIGHT] * 3))
        await asyncio.sleep(0)
        assert lengths(carrier.sent) == [(1, 2), (2, 3)]
        for message, position in zip(carrier.sent, (7, 1), strict=True):
            message.answered(position)
        assert [await first, await second, await full] == [7, 7, 1]
        assert writer.waiting == (0, 0)

    play(story())


def test_what_failed_as_a_whole_says_so_and_what_failed_in_part_leaves_nobody_knowing() -> None:
    async def story() -> None:
        carrier = Notebook()
        writer = PackedWriter(carrier, Bounds(message_events=1))
        refused = StoreUnavailable("refused")

        async def answered(*answers: int | ArkeError) -> int:
            carrier.sent.clear()
            appending = asyncio.create_task(writer.append(0, [SIGHT] * len(answers)))
            await asyncio.sleep(0)
            for message, answer in zip(carrier.sent, answers, strict=True):
                message.answered(answer)
            return await appending

        assert await answered(1, 2) == 2
        with pytest.raises(StoreUnavailable, match=r"^refused$"):
            await answered(refused, refused)
        with pytest.raises(ShardDown, match="some are not"):
            await answered(3, refused)
        with pytest.raises(InvalidInput):
            await answered()

    play(story())


def test_of_what_no_message_holds_nothing_is_in_the_log_nor_of_what_came_with_it() -> None:
    async def story() -> None:
        carrier = Notebook()
        writer = PackedWriter(carrier, Bounds(message_events=1))
        wrong = msgspec.structs.replace(SIGHT, edition=1 << 70)
        with pytest.raises(InvalidInput, match="no message holds it"):
            await writer.append(0, [SIGHT, wrong])
        assert not carrier.sent
        assert writer.waiting == (0, 0)

    play(story())


def test_whoever_waits_too_long_is_let_go_and_a_log_that_stalls_is_asked_no_more() -> None:
    async def story() -> None:
        carrier = Notebook()
        writer = PackedWriter(carrier, Bounds(answer_s=20, stalled_s=15))
        early = asyncio.create_task(writer.append(0, [SIGHT]))
        await asyncio.sleep(14)
        late = asyncio.create_task(writer.append(0, [SIGHT]))
        await asyncio.sleep(2)
        with pytest.raises(StoreUnavailable, match="has not answered for 16 s"):
            await writer.append(0, [SIGHT])
        with pytest.raises(ShardDown, match="nobody knows"):
            await early
        assert writer.waiting == (2, 2 * SIZE)
        carrier.sent[0].answered(1)  # it was there after all
        carrier.sent[1].answered(2)
        assert await late == 2
        again = asyncio.create_task(writer.append(0, [SIGHT]))
        await asyncio.sleep(0.01)
        carrier.sent[2].answered(3)
        assert await again == 3

    play(story())


def test_who_is_cancelled_takes_nobody_along() -> None:
    async def story() -> None:
        carrier = Notebook()
        writer = PackedWriter(carrier)
        gone, stays = (asyncio.create_task(writer.append(0, [SIGHT])) for _ in range(2))
        await asyncio.sleep(0.01)
        gone.cancel()
        await asyncio.sleep(0)
        carrier.sent[0].answered(5)
        assert await stays == 5
        assert gone.cancelled()

    play(story())


def test_closing_sends_what_lingers_and_leaves_nobody_waiting() -> None:
    async def story() -> None:
        carrier = Notebook()
        writer = PackedWriter(carrier)
        waiting = asyncio.create_task(writer.append(0, [SIGHT]))
        await asyncio.sleep(0)
        await writer.close()
        assert lengths(carrier.sent) == [(0, 1)]
        with pytest.raises(ShardDown, match="closed"):
            await waiting
        with pytest.raises(StoreUnavailable, match="being closed"):
            await writer.append(0, [SIGHT])

    play(story())
