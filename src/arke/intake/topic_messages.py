"""Messages of other people's topics: the events in one, each by itself, so that a bad one costs no other. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import msgspec

from arke.domain.event import MAX_EVENT_AGE_S
from arke.domain.event_time import TimeProblem
from arke.errors import EventError
from arke.intake.figures import count_left
from arke.intake.halves import read_with_halves
from arke.intake.ndjson import parse_event_line
from arke.intake.segment import parse_call
from arke.intake.segment_consent import code_of

if TYPE_CHECKING:
    from arke.domain.event import IncomingEvent
    from arke.intake.ports import NameSpaces
    from arke.intake.settings import SegmentRules

MAX_EVENTS: Final = 10_000
"""Events in one message."""
_BLANK: Final = b" \t\r\n"
_BOM: Final = b"\xef\xbb\xbf"
_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode
_element = msgspec.json.Decoder(msgspec.Raw).decode


class TopicMessage(NamedTuple):
    """A message of a partition. `at` is when it was written, in epoch seconds, 0 where the topic does not say;
    `value` None: a tombstone.
    """

    offset: int
    at: int
    value: bytes | None


class Format(Protocol):
    """Reads one event of a message."""

    left: Counter[str]
    """Parts of events that nothing stands for, by their names, cut off; further names are one."""

    def parse(self, body: bytes, at: int, known: NameSpaces) -> IncomingEvent:
        """`at` is when the message was written. Raises `EventError`."""
        ...


class ArkeFormat:
    """As a line of `/v1/events`."""

    def __init__(self) -> None:
        self.left: Counter[str] = Counter()

    def parse(self, body: bytes, at: int, known: NameSpaces) -> IncomingEvent:
        return parse_event_line(body, at, known)


class SegmentFormat:
    """As a call of Segment's API."""

    def __init__(self, rules: SegmentRules) -> None:
        self._rules = rules
        self.left: Counter[str] = Counter()

    def parse(self, body: bytes, at: int, known: NameSpaces) -> IncomingEvent:
        mapped = parse_call(body, self._rules, at, known)
        if mapped.refusal is not None:
            raise EventError(*code_of(mapped.refusal))
        count_left(self.left, mapped.left)
        return mapped.event


def events_in(value: bytes) -> list[bytes]:
    """The events of a message, not read yet: of one JSON object, of an array of them, or of lines. Raises
    `EventError` where it is none of these.
    """
    body = value.removeprefix(_BOM).strip(_BLANK)
    if body.startswith(b"["):
        found = _listed(body)
    elif b"\n" in body and not _is_one(body):
        found = [line for line in body.split(b"\n") if line.strip(_BLANK)]
    else:
        found = [body] if body else []
    if len(found) > MAX_EVENTS:
        raise EventError(
            "too_many_events", f"a message may hold {MAX_EVENTS} events, this one has {len(found)}"
        )
    return found


def _listed(body: bytes) -> list[bytes]:
    try:
        return [bytes(element) for element in read_with_halves(_elements, body)]
    except (ValueError, RecursionError) as problem:
        raise EventError("bad_json", f"not a JSON array: {str(problem)[:200]}") from None


def _is_one(body: bytes) -> bool:
    try:
        read_with_halves(_element, body)
    except (ValueError, RecursionError):
        return False
    return True


def read_event(reader: Format, body: bytes, at: int, now: int, known: NameSpaces) -> IncomingEvent:
    """An event of a message that was written `at` (0: now). That counts as its arrival however late it is read: a
    clock is corrected by it, and an event that says no time happened then. Raises `EventError`.
    """
    arrived = min(at, now) if at > 0 else now
    event = reader.parse(body, arrived, known)
    happened = arrived if event.ts is None else event.ts
    if now - happened > MAX_EVENT_AGE_S:
        problem = TimeProblem.TOO_OLD
        raise EventError(problem.name.lower(), f"it {problem.value}")
    return msgspec.structs.replace(event, ts=happened)
