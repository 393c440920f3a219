"""One NDJSON line to one event (SPEC section 7): typed decode, then the checks types cannot say. Pure."""

from __future__ import annotations

import difflib
import re
from contextlib import suppress
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from msgspec import Meta

from arke.domain.catalog import MAX_ID
from arke.domain.event import DeclaredId, IncomingEvent, LeftOut
from arke.domain.ids import is_uuid, parse_dpid
from arke.errors import EventError
from arke.intake.declared_ids import MAX_IDS
from arke.intake.event_ids import event_id
from arke.intake.event_times import time_of
from arke.intake.halves import read_with_halves
from arke.intake.partner_ids import with_read_ids
from arke.intake.signals import flat_signals, text_of

if TYPE_CHECKING:
    from arke.domain.event import Accepted
    from arke.intake.ports import NameSpaces

MAX_LINE_BYTES: Final = 32 * 1024
MAX_NUMBERS: Final = 1_000
_KEY_SHOWN_CHARS: Final = 80

_Number = Annotated[int, Meta(gt=0, le=MAX_ID)]
_Status = Annotated[int, Meta(ge=0, le=1)]


class WireId(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An id as it stands in a line; what it says is for `_declared` to find out."""

    dpid: Any = None
    id: Any = msgspec.UNSET
    state: Any = 0


class WireEvent(msgspec.Struct, forbid_unknown_fields=True):
    """A line as SPEC section 7 draws it. `null` says that something is not there, wherever it stands."""

    uuid: str | int | None = None
    ids: list[WireId | None] | None = None
    signals: dict[str, Any] | None = None
    traits: Annotated[list[_Number | None], Meta(max_length=MAX_NUMBERS)] | None = None
    memberships: Annotated[dict[_Number, _Status | None], Meta(max_length=MAX_NUMBERS)] | None = None
    region: Annotated[int, Meta(ge=0, le=65_535)] | None = None
    ts: str | int | float | None = None
    sent_at: str | int | float | None = None
    event_id: str | int | None = None


class _AnyIds(WireEvent, forbid_unknown_fields=True):
    """The same where some of the ids are no objects."""

    ids: list[Any] | None = None


class _Ids(msgspec.Struct):
    ids: list[WireId | None]


class _Entries(msgspec.Struct):
    """The objects of a line whose keys are the sender's own, their values undecoded."""

    signals: msgspec.Raw = msgspec.Raw(b"{}")
    memberships: msgspec.Raw = msgspec.Raw(b"{}")


_ENTRY_TYPES: Final[dict[str, Any]] = {"signals": Any, "memberships": _Status | None}


_UNKNOWN_FIELD: Final = re.compile(r"unknown field `(.*?)`", re.DOTALL)
_TOO_LONG: Final = re.compile(r"of length <= (\d+)")
_decode: Final = msgspec.json.Decoder(WireEvent).decode
_decode_loosely: Final = msgspec.json.Decoder(WireEvent, strict=False).decode
"""The same with numbers in quotes, and whole ones with a fraction of 0, where numbers belong."""
_decode_any_ids: Final = msgspec.json.Decoder(_AnyIds, strict=False).decode
_NO_OBJECT: Final = WireId(dpid=msgspec.UNSET)
"""Stands for an entry of `ids` that is none."""
_read_entries: Final = msgspec.json.Decoder(_Entries).decode
_STATES: Final[dict[Any, int]] = {None: 0, 0: 0, 1: 1, 2: 2, "0": 0, "1": 1, "2": 2}
_NO_KEY: Final = "[...]"
"""Stands in msgspec's messages for the key of an object."""


def parse_event_line(line: bytes, now: int, known: NameSpaces | None = None) -> IncomingEvent:
    """The event of a line. `now` in epoch seconds; without `known` its ids are as declared, to be read later, as
    `with_read_ids` does.

    Raises `EventError`, whose `reason` is one of the codes of docs/reference/intake.md.
    """
    if len(line) > MAX_LINE_BYTES:
        raise EventError("line_too_long", f"the line is longer than {MAX_LINE_BYTES} bytes")
    wire = _read(line)
    uuid = wire.uuid if wire.uuid is None else _uuid(wire.uuid)
    left_out: list[LeftOut] = []
    places: list[int] = []
    event = IncomingEvent(
        uuid=uuid,
        ids=_ids(wire.ids, uuid, places, left_out) if wire.ids else (),
        signals=flat_signals(wire.signals) if wire.signals else {},
        traits=tuple([trait for trait in wire.traits if trait is not None]) if wire.traits else (),
        memberships=_memberships(wire.memberships) if wire.memberships else {},
        region=wire.region,
        ts=time_of(wire.ts, wire.sent_at, now, left_out),
        event_id=None if wire.event_id is None else event_id(wire.event_id),
        left_out=tuple(left_out),
    )
    return with_read_ids(event, known.ids, places) if known is not None and event.ids else event


def _read(line: bytes) -> WireEvent:
    try:
        return read_with_halves(_decode_as_written, line)
    except msgspec.ValidationError as problem:
        raise _bad_field(str(problem), line) from None
    except UnicodeDecodeError:
        raise EventError("bad_encoding", "the line is not UTF-8") from None
    except (ValueError, RecursionError) as problem:
        raise EventError("bad_json", f"not a JSON object: {_place(problem)}") from None


def _decode_as_written(line: bytes) -> WireEvent:
    try:
        return _decode(line)
    except msgspec.ValidationError:
        pass
    try:
        return _decode_loosely(line)
    except msgspec.ValidationError as problem:
        if "`$.ids[" not in str(problem):
            raise
    return _with_any_ids(line)


def _with_any_ids(line: bytes) -> WireEvent:
    """An event of whose ids some are no objects: these cost only themselves, too."""
    wire = _decode_any_ids(line)
    given = wire.ids or []
    read = msgspec.convert({"ids": [one if isinstance(one, dict) else None for one in given]}, _Ids).ids
    wire.ids = [
        _NO_OBJECT if one is None and told is not None else one for one, told in zip(read, given, strict=True)
    ]
    return wire


def _uuid(value: str | int) -> str:
    """A number may be one as well, if it has not lost a zero at its beginning."""
    text = str(value)
    if is_uuid(text):
        return text
    if type(value) is int:
        raise EventError(
            "bad_field", "Expected `str`, got `int` - at `uuid`: a number has no zeros at its beginning"
        )
    raise EventError("bad_uuid", "uuid must be a string of exactly 38 decimal digits")


def _memberships(wire: dict[int, int | None]) -> dict[int, int]:
    return {segment: status for segment, status in wire.items() if status is not None}


def _ids(
    wire: list[WireId | None], uuid: str | None, places: list[int], left_out: list[LeftOut]
) -> tuple[DeclaredId, ...]:
    """What can be an id of some data source, with its place in `places`; what cannot goes to `left_out`. Raises
    `EventError` where nobody is left whom the event could be about.
    """
    if len(wire) > MAX_IDS:
        raise EventError("too_many_ids", f"an event may declare {MAX_IDS} ids, this one has {len(wire)}")
    found: list[DeclaredId] = []
    for at, item in enumerate(wire):
        if item is None:
            continue
        declared = _declared(item)
        if isinstance(declared, str):
            left_out.append(LeftOut("id", "bad_id", f"ids[{at}]{declared}"))
        else:
            found.append(declared)
            places.append(at)
    if left_out and not found and uuid is None:
        raise EventError("bad_field", left_out[0].message, id_codes=tuple(part.code for part in left_out))
    return tuple(found)


def _declared(item: WireId) -> DeclaredId | str:
    """An id as its sender means it, numbers where texts belong and the other way round; or what is wrong. One that
    is `null` or a truth value is as good as empty.
    """
    dpid, id_, state = item.dpid, item.id, item.state
    if item is _NO_OBJECT:
        return " is no object with a `dpid` and an `id`"
    if type(dpid) is not int or not 0 < dpid <= MAX_ID:
        number = parse_dpid(text_of(dpid).strip()) if type(dpid) in (str, float) else None
        if number is None:
            return f".dpid is no data source: a number from 1 to {MAX_ID}"
        dpid = number
    if type(id_) is not str:
        if id_ is msgspec.UNSET:
            return " has no `id`"
        if isinstance(id_, (dict, list)):
            return ".id must be text or a number"
        id_ = "" if id_ is None else text_of(id_)
    if type(state) is not int or not 0 <= state <= 2:
        known = _STATES.get(state) if isinstance(state, (int, float, str, NoneType)) else None
        if known is None:
            return ".state must be 0, 1 or 2"
        state = known
    return DeclaredId(dpid, id_, state)


def refusal(answer: Accepted | EventError) -> EventError | None:
    """Why an event was not stored; None where it was."""
    if isinstance(answer, EventError):
        return answer
    if answer.opted_out:
        return EventError("opted_out", "the person has opted out: nothing was stored")
    return None


def left_out(answer: Accepted | EventError) -> tuple[LeftOut, ...]:
    """What was left out of an event that was stored."""
    return () if isinstance(answer, EventError) else answer.left_out


def _bad_field(problem: str, line: bytes) -> EventError:
    """What msgspec found, in the words of the line: its `$.ids[0]` becomes `ids[0]`."""
    if _NO_KEY in problem:
        problem = _with_key(problem, line)
    unknown = _UNKNOWN_FIELD.search(problem)
    if unknown is not None:
        name = unknown[1][:64]
        fields = (WireId if "`$.ids[" in problem else WireEvent).__struct_fields__
        close = difflib.get_close_matches(name, fields, n=1)
        hint = f": did you mean `{close[0]}`?" if close else f"; known: {', '.join(fields)}"
        return EventError("unknown_field", f"unknown field `{name}`{hint}")
    text = problem.replace("`$.", "`").replace(" - at `$`", "").replace(" - at `key in $`", "")
    text = text.replace(" | null", "")
    if text.startswith("Expected `object`") and " - at " not in text:
        return EventError("bad_json", f"not a JSON object: {text}")
    limit = _TOO_LONG.search(problem)
    if limit is not None:
        return EventError("too_many_properties", text)
    return EventError("bad_field", text)


def _with_key(problem: str, line: bytes) -> str:
    """The same with the key whose value, or which itself, is at fault: where the line can be read to its end, which
    nobody has done yet.
    """
    with suppress(ValueError, RecursionError):
        entries = read_with_halves(_read_entries, line)
        for field, kind in _ENTRY_TYPES.items():
            if f"$.{field}{_NO_KEY}" in problem:
                for key, value in msgspec.json.decode(
                    getattr(entries, field), type=dict[str, msgspec.Raw]
                ).items():
                    try:
                        msgspec.json.decode(value, type=kind)
                    except msgspec.ValidationError:
                        return problem.replace(_NO_KEY, f".{key[:_KEY_SHOWN_CHARS]}", 1)
    return problem


def _place(problem: Exception) -> str:
    return "nested too deeply" if isinstance(problem, RecursionError) else str(problem)[:200]
