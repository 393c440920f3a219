"""Settings of sources: what cannot be right is refused at the start, with its place and no secret in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from arke.errors import SettingsError
from arke.kafka_options import REFUSED_OF_SOURCES
from arke.settings import load_settings

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """
[[intake.kafka]]
topic = "clicks"
options = {"bootstrap.servers" = "k1:9092", "sasl.password" = "env:CLICKS_PASSWORD"}
[[intake.kafka]]
topic = "segment.events"
format = "segment"
group = "team"
start = "latest"
options = {"bootstrap.servers" = "k2:9092", "isolation.level" = "read_uncommitted"}
token_command = "print-token --for kafka"
[intake.segment]
anonymous_id = 20
user_id = 30
context_ids = {"device.advertisingId" = 20914}
prefix = "s_"
"""
AT = 'options = {"bootstrap.servers" = "k:9092"}'
ONE = f'[[intake.kafka]]\ntopic = "a"\n{AT}\n'


def test_sources_in_full(tmp_path: Path) -> None:
    file = tmp_path / "arke.toml"
    file.write_text(GOOD)
    intake = load_settings(file, {}).intake
    clicks, segment = intake.kafka
    assert (clicks.topic, clicks.reads_as, clicks.format, clicks.start) == (
        "clicks",
        "arke-clicks",
        "arke",
        "earliest",
    )
    assert (segment.topic, segment.reads_as, segment.format, segment.start) == (
        "segment.events",
        "team",
        "segment",
        "latest",
    )
    assert (intake.segment.anonymous_id, intake.segment.user_id, intake.segment.prefix) == (20, 30, "s_")
    assert intake.segment.context_ids == {"device.advertisingId": 20914}


def test_sources_may_come_from_the_environment() -> None:
    environ = {
        "ARKE_INTAKE_KAFKA": '[{"topic": "clicks", "options": {"bootstrap.servers": "k:9092"}}]',
        "ARKE_INTAKE_SEGMENT_USER_ID": "30",
        "ARKE_INTAKE_SEGMENT_CONTEXT_IDS": '{"device.id": 31}',
    }
    intake = load_settings(None, environ).intake
    assert [source.topic for source in intake.kafka] == ["clicks"]
    assert (intake.segment.user_id, intake.segment.context_ids) == (30, {"device.id": 31})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (f"[[intake.kafka]]\n{AT}", r":1:3: intake.kafka: Object missing required field `topic`"),
        (f'[[intake.kafka]]\ntopic = "a b"\n{AT}', r":2:1: intake.kafka.topic: Expected `str` matching"),
        (
            f'[[intake.kafka]]\ntopic = "a"\nformat = "avro"\n{AT}',
            r":3:1: intake.kafka.format: 'avro' is none of arke, segment",
        ),
        (
            f'{ONE}[[intake.kafka]]\ntopic = "b"\nstart = "now"\n{AT}',
            r":6:1: intake.kafka.start: 'now' is none of earliest, latest",
        ),
        (
            f'[[intake.kafka]]\ntopc = "a"\n{AT}',
            r":2:1: unknown option 'intake.kafka.topc' \(did you mean intake.kafka.topic\?\)",
        ),
        (
            '[[intake.kafka]]\ntopic = "a"\noptions = {}',
            r':3:1: intake.kafka.options: "bootstrap.servers" has to say where the brokers are',
        ),
        (
            f'{ONE}[[intake.kafka]]\ntopic = "b"\noptions = {{"bootstrap.servers" = "k", "group.id" = "x"}}',
            r":6:1: intake.kafka.options: group.id cannot be set: it is `group`",
        ),
        (
            '[[intake.kafka]]\ntopic = "a"\noptions = {"bootstrap.servers" = "k", "ssl.key" = "env:s3 cret"}',
            r":3:1: intake.kafka.options: ssl.key: ",
        ),
        (f"{ONE}{ONE}", r"intake.kafka: a is listed twice for the group arke-a"),
        (f'{ONE}format = "segment"', r"intake.segment: whose ids are they\? Set anonymous_id, user_id"),
        ("[intake.segment]\nuser_id = 0", r":2:1: intake.segment.user_id: Expected `int` >= 1"),
        (
            '[intake.segment]\ncontext_ids = {"device..id" = 3}',
            r":2:1: intake.segment.context_ids: 'device..id' is no path",
        ),
        (
            "[intake.segment]\nuserid = 3",
            r":2:1: unknown option 'intake.segment.userid' \(did you mean intake.segment.user_id\?\)",
        ),
        (
            f'{ONE}group = "arke"\n[cluster]\nstore = "env:PG"\nlog = "kafka"\n[kafka]\n{AT}',
            r"intake.kafka.group: 'arke' is the group of the workers \(kafka.prefix\): name another",
        ),
    ],
)
def test_what_cannot_be_right_is_refused_with_its_place(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "arke.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=problem) as refused:
        load_settings(file, {})
    assert "s3" not in str(refused.value)


@pytest.mark.parametrize("option", REFUSED_OF_SOURCES)
def test_options_that_decide_whether_an_event_counts_once_are_refused(tmp_path: Path, option: str) -> None:
    file = tmp_path / "arke.toml"
    file.write_text(
        f'[[intake.kafka]]\ntopic = "a"\noptions = {{"bootstrap.servers" = "k", "{option}" = "x"}}'
    )
    with pytest.raises(SettingsError, match=f"{option} cannot be set"):
        load_settings(file, {})


def test_a_table_in_the_environment_is_json() -> None:
    with pytest.raises(SettingsError, match="ARKE_INTAKE_KAFKA: it is to be JSON, as "):
        load_settings(None, {"ARKE_INTAKE_KAFKA": "clicks"})
    with pytest.raises(SettingsError, match=r"ARKE_INTAKE_KAFKA: .*topic"):
        load_settings(None, {"ARKE_INTAKE_KAFKA": "[{}]"})


@pytest.mark.parametrize(
    "variable", ["ARKE_REGION", "ARKE_INTAKE_KAFKA", "ARKE_KAFKA_OPTIONS", "ARKE_ANSWERS_ORIGINS"]
)
def test_what_is_no_text_in_the_environment_is_named(variable: str) -> None:
    with pytest.raises(SettingsError, match=f"{variable}: this is not UTF-8 text"):
        load_settings(None, {variable: "a\udcff"})
