"""The events in a message of a topic: one, lines, or an array; and the time that each has."""

from __future__ import annotations

import json

import pytest

from arke.errors import EventError
from arke.intake.figures import LEFT_NAME_CHARS, MAX_LEFT_NAMES, OTHER
from arke.intake.settings import SegmentRules
from arke.intake.topic_messages import (
    MAX_EVENTS,
    ArkeFormat,
    SegmentFormat,
    events_in,
    read_event,
)
from unit.intake.directory import Directory

NOW = 1_800_000_000
UUID = "1" * 38
DAY_S = 86_400


@pytest.mark.parametrize(
    ("value", "events"),
    [
        (b"", []),
        (b" \r\n", []),
        (b'{"a":1}', [b'{"a":1}']),
        (b'\xef\xbb\xbf{"a":1}\n', [b'{"a":1}']),
        (b'{\n "a": 1\n}', [b'{\n "a": 1\n}']),
        (b'{"a":1}\n\n{"a":2}\r\n', [b'{"a":1}', b'{"a":2}']),
        (b'{"a":1}\n{\n{"a":2}', [b'{"a":1}', b"{", b'{"a":2}']),
        (b'[{"a":1}, {"a":2}]', [b'{"a":1}', b'{"a":2}']),
        (b"[]", []),
        # Texts that were cut within an emoji.
        (b'[{"a":"\\ud83d"}, {"a":2}]', [b'{"a":"\\ufffd"}', b'{"a":2}']),
        (b'{\n"a":"\\ud83d"\n}', [b'{\n"a":"\\ud83d"\n}']),
        (b"not JSON", [b"not JSON"]),
    ],
)
def test_a_message_holds_one_lines_or_an_array(value: bytes, events: list[bytes]) -> None:
    assert events_in(value) == events


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (b"[1, ", "bad_json"),
        (b"[" * 100_000, "bad_json"),
        (b"[" + b"{}," * MAX_EVENTS + b"{}]", "too_many_events"),
        (b"{}\n" * (MAX_EVENTS + 1), "too_many_events"),
    ],
)
def test_what_is_none_of_these_is_refused_as_a_whole(value: bytes, code: str) -> None:
    with pytest.raises(EventError) as problem:
        events_in(value)
    assert problem.value.reason == code


def at(written: int, **more: int) -> int | None:
    body = json.dumps({"uuid": UUID, **more}).encode()
    return read_event(ArkeFormat(), body, written, NOW, Directory()).ts


def test_when_it_was_written_is_when_it_arrived() -> None:
    assert at(NOW - DAY_S) == NOW - DAY_S
    assert at(0) == NOW, "the topic does not say"
    assert at(NOW + DAY_S) == NOW, "a clock that is wrong"
    assert at(NOW - DAY_S, ts=NOW - DAY_S - 60) == NOW - DAY_S - 60
    assert at(NOW - DAY_S, ts=NOW - DAY_S + 3_540, sent_at=NOW - DAY_S + 3_600) == NOW - DAY_S - 60


@pytest.mark.parametrize("written", [NOW - 131 * DAY_S, NOW - 129 * DAY_S])
def test_an_event_may_be_130_days_old_when_it_is_read(written: int) -> None:
    with pytest.raises(EventError) as problem:
        at(written, ts=NOW - 131 * DAY_S)
    assert problem.value.reason == "too_old"


def test_parts_that_nothing_stands_for_are_told_apart_within_bounds() -> None:
    """Their names are the senders' own."""
    segment = SegmentFormat(SegmentRules(anonymous_id=123))

    def parse(*names: str) -> None:
        call = {"type": "page", "anonymousId": "a", **dict.fromkeys(names, 1)}
        segment.parse(json.dumps(call).encode(), NOW, Directory())

    parse("mine", "n" * 10_000)
    parse(*(f"name-{number}" for number in range(1_000)))
    parse("mine", "yours")
    assert len(segment.left) == MAX_LEFT_NAMES + 1
    assert (segment.left["mine"], segment.left["n" * LEFT_NAME_CHARS]) == (2, 1)
    assert segment.left[OTHER] == 1_000 - (MAX_LEFT_NAMES - 2) + 1
    assert max(map(len, segment.left)) == LEFT_NAME_CHARS
