"""Events of a log go into a shard in order and once, whatever fails on the way; and who asks hears what became."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

import pytest

from arke.domain.event import Accepted, Event
from arke.errors import Fenced, ShardDown, StoreUnavailable
from arke.shard.commands import Failed, Result, Seen, Sight
from arke.shard.feed import GROUP, MOST_AHEAD, Answers, Feed
from arke.virtual_time import VirtualTimeLoop, run_virtual

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.shard.commands import Command


def sight(number: int) -> Sight:
    return Sight(Event(uuid=f"{number:038d}", at=1, ts=1))


class Message(NamedTuple):
    position: int
    sights: list[Sight]


def message(position: int, events: int = 1) -> Message:
    return Message(position, [sight(position * 1_000 + number) for number in range(events)])


class Store:
    """A taker that keeps what it takes; the next calls fail as `failures` says, with nothing kept."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.taken: list[str] = []
        self.positions: list[int] = []

    async def submit(self, commands: list[Command], seen_to: int = 0) -> list[Result]:
        await asyncio.sleep(0.01)
        if self.failures:
            raise self.failures.pop(0)
        uuids = [command.event.uuid for command in commands if isinstance(command, Sight)]
        self.taken += uuids
        self.positions.append(seen_to)
        return [Failed("internal", "") if uuid.endswith("7") else Seen(Accepted(uuid=uuid)) for uuid in uuids]


def fed(store: Store, messages: Sequence[Message]) -> list[Result]:
    """What became of the events of these messages, all of which a feed has taken."""
    answers = Answers(0)
    feed = Feed("shard-00", store, answers, lambda: None)

    async def play() -> list[Result]:
        running = asyncio.create_task(feed.run())
        feed.offer(messages)
        found = [await answers.of(each.position, 100) or {} for each in messages]
        feed.close()
        await running
        return [result for of_message in found for result in of_message.values()]

    return run_virtual(play(), VirtualTimeLoop())


def test_messages_are_taken_in_order_and_whole_and_small_ones_together() -> None:
    store = Store()
    messages = [message(position, 200) for position in range(1, 8)]
    fed(store, messages)
    assert store.taken == [one.event.uuid for each in messages for one in each.sights]
    assert store.positions == [2, 4, 6, 7]
    assert 2 * 200 <= GROUP < 3 * 200


def test_a_group_that_fails_is_tried_again_before_anything_behind_it() -> None:
    store = Store(StoreUnavailable("away"), StoreUnavailable("away"))
    messages = [message(position, GROUP) for position in (1, 2, 3)]
    fed(store, messages)
    assert store.taken == [one.event.uuid for each in messages for one in each.sights]
    assert store.positions == [1, 2, 3]


def test_it_ends_when_the_shard_has_another_owner() -> None:
    async def play() -> None:
        feed = Feed("shard-00", Store(Fenced("another epoch")), Answers(0), lambda: None)
        feed.offer([message(1)])
        with pytest.raises(Fenced):
            await feed.run()

    run_virtual(play(), VirtualTimeLoop())


def test_it_is_full_with_much_to_do_and_says_when_it_is_not_any_more() -> None:
    async def play() -> None:
        drained = asyncio.Event()
        answers = Answers(0)
        feed = Feed("shard-00", Store(), answers, drained.set)
        running = asyncio.create_task(feed.run())
        positions = range(1, MOST_AHEAD // GROUP + 1)
        feed.offer([message(position, GROUP) for position in positions])
        fullness = [feed.full]
        await answers.of(positions[-1], 100)
        assert drained.is_set()
        fullness.append(feed.full)
        assert fullness == [True, False]
        feed.close()
        await running

    run_virtual(play(), VirtualTimeLoop())


def test_an_event_that_cannot_be_applied_is_answered_so_and_costs_no_other() -> None:
    store = Store()
    results = fed(store, [message(1, 10)])
    assert len(store.taken) == 10
    assert [isinstance(result, Failed) for result in results].count(True) == 1
    assert [isinstance(result, Seen) for result in results].count(True) == 9


def test_answers_are_there_before_and_after_they_are_asked_for_and_not_for_ever() -> None:
    async def play() -> None:
        answers = Answers(10, kept=2)
        waiting = asyncio.create_task(answers.of(11, 5))
        await asyncio.sleep(0)
        sent = message(11)
        came = Seen(Accepted(uuid=sent.sights[0].event.uuid))
        answers.note(sent, [came])
        assert await waiting == {came.accepted.uuid: came}
        assert await answers.of(11, 5) == {came.accepted.uuid: came}
        assert await answers.of(9, 5) is None
        assert await answers.of(14, 5) is None
        answers.note(message(12), [came])
        answers.note(message(13), [came])
        assert await answers.of(11, 5) is None
        asking = asyncio.create_task(answers.of(20, 5))
        await asyncio.sleep(0)
        answers.close()
        with pytest.raises(ShardDown):
            await asking

    run_virtual(play(), VirtualTimeLoop())
