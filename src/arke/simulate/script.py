"""Reading a simulate script: NDJSON in time order, one action a line (SPEC section 9)."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from arke.domain.event_time import moment
from arke.domain.ids import is_uuid
from arke.domain.time import day_start_ts
from arke.errors import EventError, ScriptError
from arke.intake.halves import read_with_halves
from arke.intake.ndjson import parse_event_line
from arke.privacy.request import Action

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from arke.domain.event import IncomingEvent

MAX_ANSWERS = 1_000_000
"""How many answers one line may script."""

END = day_start_ts("9000-01-01")
"""Times of a script lie between 1970 and this one: the calendar has room for what is due behind it."""

_document = msgspec.json.Decoder(dict[str, Any]).decode
_DECLARED_ID = re.compile(r"[0-9]{1,10}:.+", re.DOTALL)


class Respond(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"times": "for"}):
    """What a destination answers to its next requests; `retry_after`: in so many seconds it wants the next one."""

    destination: int
    status: Annotated[int, msgspec.Meta(ge=100, le=599)]
    times: Annotated[int, msgspec.Meta(ge=1, le=MAX_ANSWERS)] = 1
    retry_after: Annotated[int, msgspec.Meta(ge=0)] | None = None


class OnboardFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A data file to load, by its path relative to the script."""

    file: str


class Id(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An id as events declare it."""

    dpid: int | str
    id: str | int


class Privacy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A privacy request for a device, by UUID or by an id: `dpid:id`, or as events declare it."""

    action: Action
    uuid: str | None = None
    id: str | Id | None = None

    @property
    def name(self) -> str | None:
        """The id as `dpid:id`."""
        return f"{self.id.dpid}:{self.id.id}" if isinstance(self.id, Id) else self.id


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One line: when, and exactly one action (none for `advance`)."""

    line: int
    at: float
    event: IncomingEvent | None = None
    respond: Respond | None = None
    privacy: Privacy | None = None
    apply: str | None = None
    batch: int | None = None
    onboard: OnboardFile | None = None


def read_script(lines: Iterable[bytes], name: str) -> Iterator[Step]:
    """Parse and check every line. Raises ScriptError with the place and what to do."""
    last = float("-inf")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        step = _step(line, number, name)
        if step.at < last:
            raise ScriptError(f"{name}:{number}: goes back in time: lines must be in time order")
        last = step.at
        yield step


def _step(line: bytes, number: int, name: str) -> Step:
    where = f"{name}:{number}"
    try:
        document = read_with_halves(_document, line)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise ScriptError(f"{where}: not a JSON object: {error}") from None
    at = _moment(document.pop("at", None), where)
    if len(document) != 1:
        given = ", ".join(document) or "none"
        raise ScriptError(
            f"{where}: needs exactly one of event, onboard, respond, privacy, batch, apply, advance beside at "
            f"(given: {given})"
        )
    ((action, value),) = document.items()
    try:
        return _action(action, value, at, number)
    except EventError as error:
        raise ScriptError(f"{where}: event: {error.message}") from None
    except (msgspec.ValidationError, ValueError) as error:
        raise ScriptError(f"{where}: {action}: {error}") from None


def _action(action: str, value: Any, at: float, number: int) -> Step:
    match action:
        case "event":
            return Step(line=number, at=at, event=parse_event_line(msgspec.json.encode(value), int(at)))
        case "respond":
            return Step(line=number, at=at, respond=msgspec.convert(value, Respond))
        case "privacy":
            return Step(line=number, at=at, privacy=_privacy(msgspec.convert(value, Privacy)))
        case "apply":
            return Step(line=number, at=at, apply=msgspec.convert(value, str))
        case "batch":
            return Step(line=number, at=at, batch=msgspec.convert(value, int))
        case "onboard":
            return Step(line=number, at=at, onboard=msgspec.convert(value, OnboardFile))
        case "advance":
            return Step(line=number, at=at)
        case _:
            raise ValueError("unknown action: use event, onboard, respond, privacy, batch, apply or advance")


def _privacy(request: Privacy) -> Privacy:
    if (request.uuid is None) == (request.id is None):
        raise ValueError("needs either uuid or id")
    if request.uuid is not None and not is_uuid(request.uuid):
        raise ValueError("uuid must be 38 decimal digits")
    if request.name is not None and not _DECLARED_ID.fullmatch(request.name):
        raise ValueError('id must be "dpid:id"')
    return request


def _moment(value: Any, where: str) -> float:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        at = moment(value)
        if at is not None:
            if not 0 <= at < END:
                raise ScriptError(f'{where}: "at" must lie in the years 1970 to 8999')
            return at
        with suppress(ValueError, TypeError):
            if datetime.fromisoformat(str(value)).tzinfo is None:
                raise ScriptError(f'{where}: "at" needs a zone: end it with Z')
    raise ScriptError(f'{where}: "at" must be a time like "2026-01-01T00:00:00Z"')
