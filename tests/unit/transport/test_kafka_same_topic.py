"""Whether a topic is the one that positions are of, where brokers say little."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import pytest

from arke.errors import LogGap, SecretUnresolved, SettingsError, StoreUnavailable
from arke.storage.ports.sources import NO_TOPIC_ID
from arke.transport.kafka import client
from arke.transport.kafka.topic import SameTopic, TopicFacts, problems

if TYPE_CHECKING:
    from arke.errors import ArkeError
    from arke.transport.kafka.topic import Topic


class FakeTopic:
    """Answers once `gate` is open."""

    name = "t-events"

    def __init__(self, answer: str | ArkeError | None) -> None:
        self.answer = answer
        self.asked = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def id(self) -> str | None:
        self.asked += 1
        await self.gate.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def same(topic: FakeTopic, known_id: str = "known") -> SameTopic:
    return SameTopic(lambda: cast("Topic", topic), known_id)


def facts(topic_id: str) -> TopicFacts:
    return TopicFacts(
        topic_id, 6, led=True, copies=3, min_insync=2, cleanup="delete", retention_ms=7 * 86_400_000
    )


async def test_it_is() -> None:
    await same(FakeTopic("known")).check()


async def test_another_one() -> None:
    with pytest.raises(LogGap, match="t-events was made anew"):
        await same(FakeTopic("another")).check()


@pytest.mark.parametrize(
    ("known", "found"), [("known", NO_TOPIC_ID), (NO_TOPIC_ID, "another"), (NO_TOPIC_ID, NO_TOPIC_ID)]
)
async def test_where_brokers_have_no_ids_nothing_is_known_of_it(known: str, found: str) -> None:
    await same(FakeTopic(found), known).check()
    assert problems("t-events", facts(found), 6, known) == []


@pytest.mark.parametrize("answer", [None, SettingsError("not allowed"), StoreUnavailable("away")])
async def test_where_nobody_says_what_it_is_it_is_asked_again(answer: ArkeError | None) -> None:
    topic = FakeTopic(answer)
    checked = same(topic)
    with pytest.raises(StoreUnavailable):
        await checked.check()
    topic.answer = "known"
    await checked.check()
    assert topic.asked == 2


async def test_a_client_that_reaches_no_broker_any_more_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one whose authority brokers have left, once the file of it is another."""
    monkeypatch.setattr(client, "CUT_OFF_S", 0.0)
    cut_off = FakeTopic(StoreUnavailable("no broker"))
    broken = SettingsError("ssl.ca.location: half a file"), SecretUnresolved("file:gone")
    made = [cut_off, *broken, FakeTopic("known")]

    def open_topic() -> Topic:
        found = made.pop(0)
        if isinstance(found, Exception):
            raise found
        return cast("Topic", found)

    checked = SameTopic(open_topic, "known")
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await checked.check()
    await checked.check()
    assert cut_off.asked == 3


async def test_all_who_ask_at_once_are_answered_by_one_question() -> None:
    topic = FakeTopic("known")
    topic.gate.clear()
    checked = same(topic)
    asking = [asyncio.create_task(checked.check()) for _ in range(20)]
    await asyncio.sleep(0)
    asking.pop(0).cancel()  # whoever goes takes the answer from nobody
    topic.gate.set()
    await asyncio.gather(*asking)
    assert topic.asked == 1
