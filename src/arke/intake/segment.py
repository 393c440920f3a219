"""Calls of Segment's API as events: track, identify, page, screen, group and alias. Pure.

Ids become partner ids of the data sources that the settings name; `event`, properties and traits become signals
under a prefix. What nothing stands for in Arke is named, so that whoever takes the call can count it; and so is a
person's word that nothing may be stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import msgspec

from arke.domain.event import DeclaredId, IncomingEvent
from arke.errors import EventError
from arke.intake.event_ids import event_id
from arke.intake.event_times import time_of
from arke.intake.halves import read_with_halves
from arke.intake.ndjson import MAX_LINE_BYTES
from arke.intake.partner_ids import with_read_ids
from arke.intake.segment_consent import judged
from arke.intake.signals import flat_signals, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from arke.domain.event import LeftOut
    from arke.intake.consent import Refusal
    from arke.intake.ports import NameSpaces
    from arke.intake.settings import SegmentRules

T = TypeVar("T")

KINDS: Final = ("track", "identify", "page", "screen", "group", "alias")
AUTHENTICATED: Final = 1
"""A `userId` is that of somebody who has signed in: without it a call has none."""

_FIELDS: Final = {
    "track": ("event",),
    "page": ("name", "category"),
    "screen": ("name", "category"),
    "group": ("groupId",),
}
"""What becomes a signal of its own, by the call's type."""
_USED: Final = frozenset(
    {
        *(
            "type",
            "userId",
            "anonymousId",
            "messageId",
            "timestamp",
            "sentAt",
            "properties",
            "traits",
            "context",
        ),
        *("event", "name", "category", "groupId", "previousId"),
        # What Segment adds on the way: `timestamp` has been made from the first two.
        *("originalTimestamp", "receivedAt", "channel", "version", "writeKey", "projectId"),
    }
)


class MappedCall(NamedTuple):
    """The event of a call, and the parts of the call that nothing stands for. With a `refusal` nothing of the event
    may be stored: it only says whose word that is, by ids as they are written.
    """

    event: IncomingEvent
    left: tuple[str, ...]
    refusal: Refusal | None = None


def parse_call(
    body: bytes, rules: SegmentRules, now: int, known: NameSpaces, kind: str | None = None
) -> MappedCall:
    """The event of a call's JSON. `now` is when it arrived; `kind` is its type, where the call need not say it.
    Raises `EventError`, whose `reason` is a code of docs/reference/intake.md.
    """
    call = read_call(body)
    return event_of_call({**call, "type": kind} if kind is not None else call, rules, now, known)


_call: Final = msgspec.json.Decoder(dict[str, Any]).decode


def read_call(body: bytes) -> dict[str, Any]:
    """A call as its sender wrote it. Raises `EventError`."""
    if len(body) > MAX_LINE_BYTES:
        raise EventError("line_too_long", f"the call is longer than {MAX_LINE_BYTES} bytes")
    return read_json(_call, body, "the call")


def read_json(read: Callable[[bytes], T], body: bytes, what: str) -> T:
    """What `read` makes of it. Raises `EventError`, which says `what` it is of."""
    try:
        return read_with_halves(read, body)
    except UnicodeDecodeError:
        raise EventError("bad_encoding", f"{what} is not UTF-8") from None
    except (ValueError, RecursionError) as problem:
        detail = "nested too deeply" if isinstance(problem, RecursionError) else str(problem)[:200]
        raise EventError("bad_json", f"{what} cannot be read: {detail}") from None


def event_of_call(
    call: Mapping[str, Any],
    rules: SegmentRules,
    now: int,
    known: NameSpaces,
    refusal: Refusal | None = None,
) -> MappedCall:
    """The same of a call that is read. `refusal`: that of the browser that sent it."""
    kind = call.get("type")
    if kind not in KINDS:
        raise EventError("bad_field", f"`type` must be one of {', '.join(KINDS)}")
    left: list[str] = []
    left_out: list[LeftOut] = []
    ids = _ids(call, kind, rules, left)
    said = call.get("messageId")
    event = IncomingEvent(
        ids=tuple(ids),
        signals=_signals(call, kind, rules.prefix),
        ts=_time(call, now, left_out),
        event_id=None if said in (None, "") else event_id(_scalar("messageId", said)),
        left_out=tuple(left_out),
    )
    left += [name for name in call if name not in _USED and call[name] not in (None, {}, [])]
    context = _object(call, "context")
    if _beside_ids(context, rules.context_ids):
        left.append("context")
    refusal = refusal or judged(context, rules.consent, rules.consent_categories)
    return MappedCall(event if refusal else with_read_ids(event, known.ids), tuple(left), refusal)


def _ids(call: Mapping[str, Any], kind: str, rules: SegmentRules, left: list[str]) -> list[DeclaredId]:
    """The device's own ids first: they say which device it is. Raises `EventError` where nobody is named."""
    context = _object(call, "context")
    named = [
        ("anonymousId", rules.anonymous_id, call.get("anonymousId"), 0),
        *([("previousId", rules.anonymous_id, call.get("previousId"), 0)] if kind == "alias" else []),
        *((f"context.{path}", dpid, _at(context, path), 0) for path, dpid in rules.context_ids.items()),
        ("userId", rules.user_id, call.get("userId"), AUTHENTICATED),
    ]
    found: dict[tuple[int, str], DeclaredId] = {}
    for name, dpid, value, state in named:
        if value in (None, ""):
            continue
        text = _scalar(name, value)
        if dpid is None:
            left.append(name)
        else:
            found[dpid, text] = DeclaredId(dpid, text, state)
    if found:
        return list(found.values())
    if left:
        raise EventError("no_id", f"no data source is set for {' and '.join(left)}: see intake.segment")
    raise EventError("no_id", "`userId` or `anonymousId` is required")


def _signals(call: Mapping[str, Any], kind: str, prefix: str) -> dict[str, list[str]]:
    if kind == "track" and call.get("event") in (None, ""):
        raise EventError("bad_field", "`event` is required of a track call")
    fields = {name: _scalar(name, call[name]) for name in _FIELDS.get(kind, ()) if call.get(name) is not None}
    flat = flat_signals(
        {
            f"{prefix}{name}": value
            for part in ("properties", "traits")
            for name, value in _object(call, part).items()
        }
    )
    for name, text in {"type": kind, **fields}.items():
        values = flat.setdefault(f"{prefix}{name}", [])
        if text not in values:
            values.append(text)
    return flat


def _time(call: Mapping[str, Any], now: int, left_out: list[LeftOut]) -> int | None:
    """What Segment has passed on says when it was received, and its `timestamp` is corrected already."""
    sent_at = None if call.get("receivedAt") is not None else call.get("sentAt")
    timestamp = call.get("timestamp") or call.get("originalTimestamp")
    for name, value in (("timestamp", timestamp), ("sentAt", sent_at)):
        if value is not None:
            _scalar(name, value)
    return time_of(timestamp, sent_at, now, left_out, ("timestamp", "sentAt"))


def _object(call: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = call.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise EventError("bad_field", f"`{name}` must be an object")
    return value


def _scalar(name: str, value: Any) -> str:
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise EventError("bad_field", f"`{name}` must be text or a number")
    return text_of(value)


def _at(context: Mapping[str, Any], path: str) -> Any:
    """What lies at a path with dots; None where nothing does."""
    found: Any = context
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _beside_ids(context: Mapping[str, Any], paths: Mapping[str, int]) -> bool:
    """Whether it says more than consent and the ids at these paths."""
    tops = {"consent", *(path.partition(".")[0] for path in paths)}
    return any(name not in tops for name in context)
