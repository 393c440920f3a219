"""The settings of a cluster: what cannot be right is refused at the start, with its place and no secret in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from arke.errors import SettingsError
from arke.kafka_options import REFUSED
from arke.settings import load_settings

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """
[cluster]
store = "env:ARKE_PG"
servers = {b = "file:/run/secrets/pg-b"}
log = "kafka"
shards = 64
dcs = "fast"
prepared_statements = "off"
password_command = "gcloud auth print-access-token"
[kafka]
prefix = "team-a"
options = {"bootstrap.servers" = "k1:9092,k2:9092", "sasl.password" = "env:KAFKA_PASSWORD", "linger.ms" = 5}
"""


def test_a_cluster_in_full(tmp_path: Path) -> None:
    file = tmp_path / "arke.toml"
    file.write_text(GOOD)
    settings = load_settings(file, {})
    assert (settings.cluster.store, settings.cluster.servers) == (
        "env:ARKE_PG",
        {"b": "file:/run/secrets/pg-b"},
    )
    assert (settings.cluster.log, settings.cluster.shards, settings.cluster.dcs) == ("kafka", 64, "fast")
    assert settings.kafka.options["linger.ms"] == 5


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            '[cluster]\nstore = "postgresql://arke:s3cret@db/arke"',
            r":2:1: cluster.store: a secret must be given",
        ),
        ('[cluster]\nservers = {b = "s3cret"}', r":2:1: cluster.servers: b: a secret must be given"),
        ('[cluster]\nservers = {"B!" = "env:B"}', r":2:1: cluster.servers: 'B!' is no name"),
        ('[cluster]\nlog = "redpanda"', r":2:1: cluster.log: 'redpanda' is none of kafka, postgresql"),
        ('[cluster]\ndcs = "slow"', r":2:1: cluster.dcs: 'slow' is none of nothing, fast"),
        ("[cluster]\nshards = 8", r":2:1: cluster.shards: Expected `int` >= 16"),
        ("[cluster]\nshards = 2048", r":2:1: cluster.shards: Expected `int` <= 1024"),
        ('[cluster]\npassword_command = "pass \'s3cret"', r":2:1: cluster.password_command: No closing quot"),
        (
            '[cluster]\nstor = "env:A"',
            r":2:1: unknown option 'cluster.stor' \(did you mean cluster.store\?\)",
        ),
        ('[cluster]\npassword_file = "p"', r"cluster.store: where is PostgreSQL\?"),
        (
            '[cluster]\nstore = "env:A"\npassword_file = "p"\npassword_command = "p"',
            "cluster.password_file and cluster.password_command: only one",
        ),
        ('[cluster]\nstore = "env:A"\nlog = "kafka"', 'kafka.options: "bootstrap.servers" has to say'),
        ('[kafka]\nprefix = "a b"', r":2:1: kafka.prefix: Expected `str` matching regex"),
        ('[kafka]\noptions = {"acks" = "0"}', r":2:1: kafka.options: acks cannot be set: every event"),
        ("[kafka.options]\nacks = 0", r":1:2: kafka.options: acks cannot be set"),
        ('[kafka]\noptions = {"stats_cb" = "f"}', r":2:1: kafka.options: stats_cb is a function"),
        (
            '[kafka]\noptions = {"sasl.password" = "env:s3cret!"}',
            r":2:1: kafka.options: sasl.password: a secret",
        ),
        ('[kafka]\noptions = {"linger.ms" = [5]}', r":2:1: kafka.options: Expected"),
    ],
)
def test_what_cannot_be_right(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "arke.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=problem) as raised:
        load_settings(file, {})
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_ours_cannot_be_set(name: str) -> None:
    with pytest.raises(SettingsError, match=f"kafka.options: {name} cannot be set"):
        load_settings(None, {"ARKE_KAFKA_OPTIONS": f'{{"{name}": "x"}}'})


def test_a_mapping_in_the_environment_is_json() -> None:
    variables = {"ARKE_CLUSTER_STORE": "env:A", "ARKE_CLUSTER_LOG": "kafka"}
    settings = load_settings(None, variables | {"ARKE_KAFKA_OPTIONS": '{"bootstrap.servers": "k:9092"}'})
    assert settings.kafka.options == {"bootstrap.servers": "k:9092"}
    with pytest.raises(SettingsError, match="ARKE_KAFKA_OPTIONS: it is to be JSON, as"):
        load_settings(None, variables | {"ARKE_KAFKA_OPTIONS": "bootstrap.servers=k:9092"})
