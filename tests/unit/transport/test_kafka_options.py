"""Options of librdkafka: the user's as they are, but for those that decide whether an event counts once."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Consumer, Producer

from arke.errors import SecretUnresolved, SettingsError
from arke.kafka_options import REFUSED
from arke.transport.kafka.client import made
from arke.transport.kafka.options import KafkaOptions

if TYPE_CHECKING:
    from pathlib import Path

    from arke.transport.kafka.options import Value

WHERE = {"bootstrap.servers": "k1:9092"}


def options(token_command: str = "", **more: Value) -> KafkaOptions:
    named = {name.replace("_", "."): value for name, value in more.items()}
    return KafkaOptions("arke", {**WHERE, **named}, token_command)


def test_topic_and_group_are_named_by_the_prefix() -> None:
    assert (options().topic, options().group) == ("arke-events", "arke")
    assert options().consumer()["group.id"] == "arke"


def test_what_the_user_sets_goes_before_defaults() -> None:
    mine = options(linger_ms=20, session_timeout_ms=30_000, compression_type="lz4", client_rack="a")
    producer, consumer = mine.producer(), mine.consumer()
    assert (producer["linger.ms"], producer["compression.type"], producer["acks"]) == (20, "lz4", "all")
    assert (consumer["session.timeout.ms"], consumer["client.rack"]) == (30_000, "a")
    assert consumer["partition.assignment.strategy"] == "cooperative-sticky"
    assert "linger.ms" not in consumer
    assert "session.timeout.ms" not in producer


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_ours_is_refused_with_the_reason(name: str) -> None:
    with pytest.raises(SettingsError, match=f"kafka.options: {name} cannot be set: "):
        KafkaOptions("arke", {**WHERE, name: "1"}).producer()


@pytest.mark.parametrize(
    ("given", "said"),
    [({}, "bootstrap.servers"), ({**WHERE, "oauth_cb": "x"}, "oauth_cb is a function")],
)
def test_what_cannot_work_is_said_at_once(given: dict[str, Value], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        KafkaOptions("arke", given).consumer()


@pytest.mark.parametrize("bad", [{"no.such.option": "1"}, {"linger.ms": "soon"}])
def test_what_librdkafka_does_not_know_is_an_error_of_settings(bad: dict[str, Value]) -> None:
    with pytest.raises(SettingsError, match=r"kafka\.options: "):
        made(Producer, KafkaOptions("arke", {**WHERE, **bad}).producer())


def test_clients_take_what_is_made_for_them() -> None:
    made(Producer, options().producer())
    made(Consumer, options().consumer()).close()


def test_values_may_be_references(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KAFKA_PASSWORD", "s3cret")
    (tmp_path / "user").write_text("arke\n")
    found = options(sasl_password="env:KAFKA_PASSWORD", sasl_username=f"file:{tmp_path / 'user'}").admin()
    assert (found["sasl.password"], found["sasl.username"]) == ("s3cret", "arke")
    with pytest.raises(SecretUnresolved, match=r"^sasl\.password: env:NOT_THERE"):
        options(sasl_password="env:NOT_THERE").admin()


def test_a_command_gives_tokens() -> None:
    def token(code: str) -> tuple[str, float]:
        found: tuple[str, float] = options(f'{sys.executable} -c "{code}"').producer()["oauth_cb"]("")
        return found

    value, until = token("print('abc 900')")
    assert (value, 800 < until - time.time() <= 900) == ("abc", True)
    value, until = token("print('abc')")
    assert 200 < until - time.time() <= 300
    with pytest.raises(IndexError):
        token("pass")
    with pytest.raises(ValueError, match="never"):
        token("print('abc never')")
    with pytest.raises(subprocess.CalledProcessError):
        token("raise SystemExit(1)")
    assert "oauth_cb" not in options().producer()
