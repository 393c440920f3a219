"""Settings are shown, and what is secret in them is not."""

from __future__ import annotations

from typing import Any

import pytest

from arke.operations.settings import SettingsOperations
from arke.settings import OPTIONS, Cluster, Egress, Intake, Kafka, KafkaSource, Settings, Telemetry

BROKERS: dict[str, str | int | float | bool] = {
    "bootstrap.servers": "k1:9092",
    "sasl.password": "p-a-s-s",
    "ssl.key.password": "env:KEY_PASS",
}


def shown(settings: Settings) -> dict[str, Any]:
    return {one.name: one.value for one in SettingsOperations(settings).every()}


def test_every_option_is_there() -> None:
    assert tuple(shown(Settings())) == OPTIONS


@pytest.mark.parametrize(
    ("settings", "name", "value"),
    [
        (
            Settings(egress=Egress(proxy="http://env:PROXY@proxy:3128")),
            "egress.proxy",
            "http://env:PROXY@proxy:3128",
        ),
        (
            Settings(cluster=Cluster(store="env:PG", password_command="token --key p-a-s-s")),
            "cluster.password_command",
            "token (hidden)",
        ),
        (Settings(cluster=Cluster(store="env:PG")), "cluster.store", "env:PG"),
        (
            Settings(egress=Egress(proxy="http://user:file:/run/p@proxy:3128")),
            "egress.proxy",
            "http://user:file:/run/p@proxy:3128",
        ),
        (
            Settings(telemetry=Telemetry(endpoint="https://user:p-a-s-s@collector:4318/x?key=p-a-s-s")),
            "telemetry.endpoint",
            "https://(hidden)@collector:4318/x?(hidden)",
        ),
        (
            Settings(telemetry=Telemetry(endpoint="http://collector:4318")),
            "telemetry.endpoint",
            "http://collector:4318",
        ),
        (
            Settings(kafka=Kafka(options=BROKERS)),
            "kafka.options",
            {"bootstrap.servers": "k1:9092", "sasl.password": "(hidden)", "ssl.key.password": "env:KEY_PASS"},
        ),
    ],
)
def test_a_secret_is_not_shown(settings: Settings, name: str, value: object) -> None:
    found = shown(settings)
    assert found[name] == value
    assert "p-a-s-s" not in str(found)


def test_a_table_is_shown_in_the_same_way() -> None:
    source = KafkaSource(topic="events", options=BROKERS, token_command="get p-a-s-s")
    found = shown(Settings(intake=Intake(kafka=(source,))))
    (table,) = found["intake.kafka"]
    assert (table["topic"], table["token_command"]) == ("events", "get (hidden)")
    assert "p-a-s-s" not in str(found)
