"""What librdkafka says again and again is said once a minute, each kind by itself."""

from __future__ import annotations

import asyncio
import logging
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException
from structlog.testing import capture_logs

from arke.errors import SettingsError, StoreUnavailable
from arke.transport.kafka import carrier as kafka_carrier
from arke.transport.kafka import client
from arke.transport.kafka.client import MOST_KINDS, Seldom, _Lines
from arke.transport.kafka.options import KafkaOptions
from patience import eventually

if TYPE_CHECKING:
    from arke.transport.packing import Packed

FAILED = (
    "FAIL [arke#producer-3] [thrd:%s]: %s: Connect failed: Connection refused (after %dms in state CONNECT)"
)


def test_a_broker_that_is_away_is_said_once_and_another_one_too() -> None:
    lines = _Lines()
    with capture_logs() as logs:
        for after in range(1_000):
            lines.log(logging.ERROR, FAILED, "k1:9092", "k1:9092", after)
        lines.log(logging.ERROR, FAILED, "k2:9092", "k2:9092", 0)
        lines.log(logging.DEBUG, "CONNECT [arke#producer-3] [thrd:k1:9092]: Connecting")
    said = [
        (one["event"], one["log_level"], one["message"][:44]) for one in logs if one["log_level"] != "debug"
    ]
    assert said == [
        ("kafka_client", "warning", f"FAIL [arke#producer-3] [thrd:{broker}:9092]: {broker}:90")
        for broker in ("k1", "k2")
    ]


def test_kinds_do_not_pile_up() -> None:
    say = Seldom("kafka_error")
    with capture_logs() as logs:
        for number in range(3 * MOST_KINDS):
            say(f"kind {number}", number=number)
    assert len(logs) == 3 * MOST_KINDS
    assert len(say._kinds) <= MOST_KINDS


class Refusing:
    """A producer whose brokers find every message too large."""

    def produce(self, *_: object, on_delivery: Any, **__: object) -> None:
        on_delivery(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE), None)

    def poll(self, within_s: float) -> None:
        time.sleep(within_s)

    def list_topics(self, *_: object) -> None:
        raise KafkaException(KafkaError(KafkaError._TRANSPORT))

    def purge(self) -> None:
        return

    def flush(self, within_s: float) -> int:
        return 0


def test_what_brokers_refuse_is_said_once_and_each_sender_hears_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kafka_carrier, "made", lambda *_: Refusing())

    async def play() -> list[object]:
        carrier = kafka_carrier.KafkaCarrier(KafkaOptions("arke", {"bootstrap.servers": "k1:9092"}))
        answers: list[object] = []
        for _ in range(3):
            message = SimpleNamespace(shard=0, body=lambda: b"", answered=answers.append)
            carrier.send(cast("Packed", message))
        await asyncio.sleep(0)
        await carrier.close(0.0)
        return answers

    with capture_logs() as logs:
        answers = asyncio.run(play())
    assert [type(answer) for answer in answers] == [StoreUnavailable] * 3
    assert [(one["event"], one["error"]) for one in logs] == [("kafka_error", "MSG_SIZE_TOO_LARGE")]


def test_a_producer_that_reaches_no_broker_any_more_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """librdkafka's issue 5301."""
    producers: list[Refusing] = []

    def made(*_: object) -> Refusing:
        producers.append(Refusing())
        return producers[-1]

    monkeypatch.setattr(kafka_carrier, "made", made)
    monkeypatch.setattr(client, "CUT_OFF_S", 0.0)

    async def play() -> None:
        carrier = kafka_carrier.KafkaCarrier(KafkaOptions("arke", {"bootstrap.servers": "k1:9092"}))
        with pytest.raises(StoreUnavailable, match="Kafka does not answer"):
            await carrier.check()
        await eventually(lambda: len(producers) == 2, "another one")
        await carrier.close(0.0)

    asyncio.run(play())


def test_a_producer_that_cannot_be_replaced_yet_is_replaced_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """As while somebody changes the file of the brokers' certificate."""
    producers: list[Refusing] = []
    tried: list[str] = []

    def made(*_: object) -> Refusing:
        tried.append("once")
        if len(tried) in (2, 3):
            raise SettingsError("kafka.options: ssl.ca.location failed: No such file")
        producers.append(Refusing())
        return producers[-1]

    monkeypatch.setattr(kafka_carrier, "made", made)
    monkeypatch.setattr(client, "CUT_OFF_S", 0.0)

    async def play() -> None:
        carrier = kafka_carrier.KafkaCarrier(KafkaOptions("arke", {"bootstrap.servers": "k1:9092"}))
        with pytest.raises(StoreUnavailable, match="Kafka does not answer"):
            await carrier.check()
        await eventually(lambda: len(producers) == 2, "another one")
        await carrier.close(0.0)

    with capture_logs() as logs:
        asyncio.run(play())
    assert [one["event"] for one in logs] == ["kafka_client_replaced", "kafka_client_not_replaced"]
