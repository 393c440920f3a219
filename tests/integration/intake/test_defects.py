"""An event on which the engine itself fails, as nobody foresaw: it costs itself, and says so, at every door."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from arke.clock import SystemClock
from arke.defects import INTERNAL, MAX_DEFECTS, Defects
from arke.domain.event import IncomingEvent
from arke.errors import EventError
from arke.intake import bulk, segment_endpoint
from arke.intake.ndjson import parse_event_line
from arke.intake.segment import event_of_call
from arke.intake.settings import IntakeSettings
from integration.intake.engine import Answer, RecordingEngine, Server, running
from integration.intake.test_segment_api import RULES, basic

if TYPE_CHECKING:
    from arke.domain.event import Accepted

POISON = b'{"signals":{"poison":1}}\n'
SOUND = b'{"signals":{"c_n":1}}\n'


@pytest.fixture(autouse=True)
def _defective(monkeypatch: pytest.MonkeyPatch) -> None:
    def parse(line: bytes, *args: Any) -> IncomingEvent:
        if b"poison" in line:
            raise KeyError(line)
        return parse_event_line(line, *args)

    def read(raw: Any, *args: Any) -> Any:
        if "poison" in str(raw):
            raise KeyError(raw)
        return event_of_call(raw, *args)

    monkeypatch.setattr(bulk, "parse_event_line", parse)
    monkeypatch.setattr(segment_endpoint, "event_of_call", read)


def told(answer: Answer, status: int = 200) -> dict[str, Any]:
    assert answer.status == status, answer.body
    content: dict[str, Any] = json.loads(answer.body)
    return content


def lines_of(answer: dict[str, Any]) -> list[tuple[int, str]]:
    return [(one["line"], one["code"]) for one in answer["rejected"]]


@pytest.mark.parametrize("body", [POISON, POISON.strip(), b"\n" + POISON + b"\n"])
def test_a_line_alone(intake: Server, body: bytes) -> None:
    answer = told(intake.bulk(body))
    assert answer["accepted"] == 0
    assert [code for _, code in lines_of(answer)] == [INTERNAL]
    told(intake.bulk(SOUND))


def test_one_line_of_many_is_refused_with_its_place(intake: Server, engine: RecordingEngine) -> None:
    answer = told(intake.bulk(SOUND * 3 + POISON + SOUND * 2 + b"nonsense\n" + POISON))
    assert answer["accepted"] == len(engine.events) == 5
    assert lines_of(answer) == [(4, INTERNAL), (7, "bad_json"), (8, INTERNAL)]
    assert engine.figures.events_refused[INTERNAL] == 2
    told(intake.bulk(SOUND))


def test_a_defect_that_meets_one_line_after_another_refuses_none_of_them(
    intake: Server, engine: RecordingEngine
) -> None:
    """It is not for what they say, then: their sender is to come again, once it is mended."""
    answer = told(intake.bulk(POISON * (MAX_DEFECTS + 1) + SOUND), status=500)
    assert (answer["accepted"], answer["rejected"], answer["next_line"]) == (0, [], 1)
    assert answer["error"]["code"] == INTERNAL
    assert not engine.events
    assert not engine.figures.events_refused
    assert told(intake.bulk(POISON), status=500)["next_line"] == 1  # also of whoever sends them one by one
    assert lines_of(told(intake.bulk(SOUND + POISON * MAX_DEFECTS))) == [
        (line, INTERNAL) for line in range(2, MAX_DEFECTS + 2)
    ]
    told(intake.bulk(SOUND))


@pytest.mark.parametrize("before", [SOUND * 5, SOUND * 2 + POISON + b"nonsense\n" + SOUND * 3])
def test_the_lines_before_them_are_settled(intake: Server, engine: RecordingEngine, before: bytes) -> None:
    """Whoever sends the same body again, as it is, would never have them stored otherwise."""
    lines = before.count(b"\n")
    answer = told(intake.bulk(before + POISON * (MAX_DEFECTS + 1) + SOUND), status=500)
    assert (answer["accepted"], answer["next_line"]) == (len(engine.events), lines + 1)
    assert answer["accepted"] + len(answer["rejected"]) == lines
    assert engine.figures.events_refused.total() == lines - 5
    assert told(intake.bulk(POISON + SOUND), status=500)["next_line"] == 1
    assert len(engine.events) == 5
    told(intake.bulk(SOUND))


def test_so_they_are_where_those_began_in_a_group_before(intake: Server, engine: RecordingEngine) -> None:
    group = IntakeSettings().bulk_group_events
    body = SOUND * (group - 4) + POISON * 4 + POISON * (MAX_DEFECTS - 3) + SOUND
    answer = told(intake.bulk(body), status=500)
    assert (answer["accepted"], answer["next_line"]) == (group - 4, group + 1)
    assert [line for line, _ in lines_of(answer)] == list(range(group - 3, group + 1))
    told(intake.bulk(SOUND))


def test_what_was_stored_before_them_stays(intake: Server, engine: RecordingEngine) -> None:
    group = IntakeSettings().bulk_group_events
    answer = told(intake.bulk(SOUND * group + POISON * (MAX_DEFECTS + 1)), status=500)
    assert (answer["accepted"], answer["next_line"]) == (group, group + 1)
    assert len(engine.events) == group
    told(intake.bulk(SOUND))


@pytest.fixture
def failing(engine: RecordingEngine, monkeypatch: pytest.MonkeyPatch) -> RecordingEngine:
    """It meets a defect with every event whose signals name it, once that is read."""
    store = engine._one

    def one(event: IncomingEvent) -> Accepted | EventError:
        return EventError(INTERNAL, "it did") if "c_bad" in event.signals else store(event)

    monkeypatch.setattr(engine, "_one", one)
    return engine


BAD = b'{"signals":{"c_bad":1}}\n'


def test_what_cannot_be_stored_for_a_defect_is_refused_as_long_as_anything_can(
    intake: Server, failing: RecordingEngine
) -> None:
    answer = told(intake.bulk(BAD * (MAX_DEFECTS + 1) + SOUND))
    assert (answer["accepted"], len(answer["rejected"])) == (1, MAX_DEFECTS + 1)
    answer = told(intake.bulk(BAD * (MAX_DEFECTS + 1)), status=500)
    assert (answer["accepted"], answer["rejected"], answer["next_line"]) == (0, [], 1)
    assert told(intake.bulk(BAD), status=500)["next_line"] == 1
    told(intake.bulk(SOUND))
    assert lines_of(told(intake.bulk(BAD))) == [(1, INTERNAL)]
    told(intake.bulk(SOUND))


SOUND_CALL = {"type": "track", "event": "Viewed", "anonymousId": "a"}
POISONED_CALL = {**SOUND_CALL, "event": "poison"}


def batch(engine: RecordingEngine, *calls: dict[str, Any]) -> Answer:
    with running(engine, IntakeSettings(segment=RULES)) as server:
        return server.post("/v1/batch", json.dumps({"batch": calls}).encode(), basic())


def test_one_call_of_a_batch_is_refused_with_its_place(engine: RecordingEngine) -> None:
    answer = told(batch(engine, SOUND_CALL, *[POISONED_CALL] * MAX_DEFECTS, SOUND_CALL))
    assert answer["success"] is True
    assert [(one["call"], one["code"]) for one in answer["rejected"]] == [
        (call, INTERNAL) for call in range(1, MAX_DEFECTS + 1)
    ]
    assert len(engine.events) == 2


@pytest.mark.parametrize("calls", [[POISONED_CALL], [SOUND_CALL, *[POISONED_CALL] * (MAX_DEFECTS + 1)]])
def test_the_libraries_come_again_where_the_engine_failed_on_all(
    engine: RecordingEngine, calls: list[dict[str, Any]]
) -> None:
    answer = told(batch(engine, *calls), status=500)
    assert (answer["success"], answer["code"]) == (False, INTERNAL)
    assert not engine.events
    assert engine.figures.events_refused == {INTERNAL: 1}  # the call, or the request


def fails(word: str) -> None:
    raise KeyError(word)


def test_the_log_has_the_place_and_no_word_of_the_event() -> None:
    defects = Defects("intake", "event_failed", SystemClock())
    with capture_logs() as said:
        for _ in range(3):
            try:
                fails("what the sender said")
            except KeyError as defect:
                refused = defects.met(defect, line=3)
    assert refused.reason == INTERNAL
    (line,) = said
    assert line["error"].startswith("KeyError in fails:")
    assert line["line"] == 3
    assert "sender" not in str(said)


def test_a_machine_without_memory_is_no_defect_of_the_event() -> None:
    with pytest.raises(MemoryError):
        Defects("intake", "event_failed", SystemClock()).met(MemoryError())


def test_nor_is_a_line_alone_read_a_second_time(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []

    def without_memory(line: bytes, *_: Any) -> IncomingEvent:
        read.append(line)
        raise MemoryError

    monkeypatch.setattr(bulk, "parse_event_line", without_memory)
    with running(RecordingEngine(), IntakeSettings()) as server:
        told(server.bulk(SOUND), status=500)
    assert len(read) == 1
