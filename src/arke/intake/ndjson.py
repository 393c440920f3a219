"""One NDJSON line to one event (SPEC section 7): typed decode, then the checks types cannot say. Pure."""

from __future__ import annotations

import difflib
import re
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from msgspec import Meta

from arke.domain.catalog import MAX_ID
from arke.domain.event import MAX_EVENT_AGE_S, DeclaredId, IncomingEvent
from arke.domain.ids import is_uuid, parse_dpid
from arke.errors import EventError
from arke.intake.declared_ids import MAX_IDS
from arke.intake.event_ids import with_read_ids

if TYPE_CHECKING:
    from arke.domain.event import Accepted
    from arke.intake.ports import NameSpaces

MAX_LINE_BYTES: Final = 32 * 1024
MAX_PROPERTIES: Final = 256
MAX_NUMBERS: Final = 1_000
MAX_AHEAD_S: Final = 5 * 60
"""How far a sender's clock may run ahead of ours."""

_Scalar = str | int | float | bool
_Value = str | int | float | bool | Annotated[list[_Scalar], Meta(max_length=MAX_PROPERTIES)]
_Number = Annotated[int, Meta(gt=0, le=MAX_ID)]
_Status = Annotated[int, Meta(ge=0, le=1)]


class WireId(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An id as it stands in a line: numbers where texts belong, and the other way round, are taken for what they
    say. An id that is `null` or a truth value is as good as none.
    """

    dpid: _Number | str
    id: str | int | float | bool | None
    state: Literal[0, 1, 2, "0", "1", "2"] = 0


class WireEvent(msgspec.Struct, forbid_unknown_fields=True):
    """A line as SPEC section 7 draws it. `null` is not a value: a field is there or it is not."""

    uuid: str | msgspec.UnsetType = msgspec.UNSET
    ids: list[WireId] = []
    signals: Annotated[dict[str, _Value], Meta(max_length=MAX_PROPERTIES)] = {}
    traits: Annotated[list[_Number], Meta(max_length=MAX_NUMBERS)] = []
    memberships: Annotated[dict[_Number, _Status], Meta(max_length=MAX_NUMBERS)] = {}
    region: Annotated[int, Meta(ge=0, le=65_535)] | msgspec.UnsetType = msgspec.UNSET
    ts: Annotated[datetime, Meta(tz=True)] | msgspec.UnsetType = msgspec.UNSET


_UNKNOWN_FIELD: Final = re.compile(r"unknown field `(.*?)`", re.DOTALL)
_TOO_LONG: Final = re.compile(r"of length <= (\d+)")
_decode: Final = msgspec.json.Decoder(WireEvent).decode


def parse_event_line(line: bytes, now: int, known: NameSpaces | None = None) -> IncomingEvent:
    """The event of a line. `now` in epoch seconds; without `known` its ids are as declared, to be read later, as
    `with_read_ids` does.

    Raises `EventError`, whose `reason` is one of the codes of docs/reference/intake.md. A `ts` slightly ahead
    becomes `now`: an event cannot happen after it was received.
    """
    if len(line) > MAX_LINE_BYTES:
        raise EventError("line_too_long", f"the line is longer than {MAX_LINE_BYTES} bytes")
    try:
        wire = _decode(line)
    except msgspec.ValidationError as problem:
        raise _bad_field(str(problem)) from None
    except UnicodeDecodeError:
        raise EventError("bad_encoding", "the line is not UTF-8") from None
    except (ValueError, RecursionError) as problem:
        raise EventError("bad_json", f"not a JSON object: {_place(problem)}") from None
    uuid = None
    if wire.uuid is not msgspec.UNSET:
        uuid = wire.uuid
        if not is_uuid(uuid):
            raise EventError("bad_uuid", "uuid must be a string of exactly 38 decimal digits")
    event = IncomingEvent(
        uuid=uuid,
        ids=_ids(wire.ids) if wire.ids else (),
        signals={key: _texts(value) for key, value in wire.signals.items()} if wire.signals else {},
        traits=tuple(wire.traits),
        memberships=wire.memberships,
        region=None if wire.region is msgspec.UNSET else wire.region,
        ts=None if wire.ts is msgspec.UNSET else _moment(wire.ts, now),
    )
    return with_read_ids(event, known.ids) if known is not None and event.ids else event


def _ids(wire: list[WireId]) -> tuple[DeclaredId, ...]:
    if len(wire) > MAX_IDS:
        raise EventError("too_many_ids", f"an event may declare {MAX_IDS} ids, this one has {len(wire)}")
    return tuple(
        [
            DeclaredId(
                item.dpid if type(item.dpid) is int else _dpid(item.dpid, at),
                item.id if type(item.id) is str else "" if item.id is None else _text(item.id),
                int(item.state),
            )
            for at, item in enumerate(wire)
        ]
    )


def _dpid(value: int | str, at: int) -> int:
    number = parse_dpid(str(value))
    if number is None:
        raise EventError("bad_field", f"ids[{at}].dpid is no data source: a number from 1 to {MAX_ID}")
    return number


def _texts(value: _Value) -> list[str]:
    """A signal's values as the texts rules compare; numbers and truth values as JSON writes them."""
    if type(value) is str:
        return [value]
    if isinstance(value, list):
        return [item if type(item) is str else _text(item) for item in value]
    return [_text(value)]


def _text(value: _Scalar) -> str:
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def _moment(ts: datetime, now: int) -> int:
    at = int(ts.timestamp())
    if now - at > MAX_EVENT_AGE_S:
        raise EventError("too_old", f"ts is more than {MAX_EVENT_AGE_S // 86_400} days ago")
    if at - now > MAX_AHEAD_S:
        raise EventError("in_future", f"ts is more than {MAX_AHEAD_S // 60} minutes ahead: check the clock")
    return min(at, now)


def refusal(answer: Accepted | EventError) -> EventError | None:
    """Why an event was not stored; None where it was."""
    if isinstance(answer, EventError):
        return answer
    if answer.opted_out:
        return EventError("opted_out", "the person has opted out: nothing was stored")
    return None


def _bad_field(problem: str) -> EventError:
    """What msgspec found, in the words of the line: its `$.ids[0]` becomes `ids[0]`."""
    unknown = _UNKNOWN_FIELD.search(problem)
    if unknown is not None:
        name = unknown[1][:64]
        fields = (WireId if "`$.ids[" in problem else WireEvent).__struct_fields__
        close = difflib.get_close_matches(name, fields, n=1)
        hint = f": did you mean `{close[0]}`?" if close else f"; known: {', '.join(fields)}"
        return EventError("unknown_field", f"unknown field `{name}`{hint}")
    text = problem.replace("`$.", "`").replace(" - at `$`", "").replace(" - at `key in $`", "")
    if text.startswith("Expected `object`") and " - at " not in text:
        return EventError("bad_json", f"not a JSON object: {text}")
    limit = _TOO_LONG.search(problem)
    if limit is not None:
        return EventError("too_many_properties", text)
    return EventError("bad_field", text)


def _place(problem: Exception) -> str:
    return "nested too deeply" if isinstance(problem, RecursionError) else str(problem)[:200]
