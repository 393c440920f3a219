"""The names a macro template may use: macros, fields of users and of segments, and their sources."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from arke.delivery.templates.message import segment_number
from arke.domain.message_body import wire_time

if TYPE_CHECKING:
    from arke.delivery.templates.message import TemplateMessage, TemplateUser
    from arke.domain.message import SegmentState

ItemKind = Literal["message", "user", "segment", "text"]
Value = str | int | Sequence[Any]


class Field(msgspec.Struct, frozen=True):
    """Where a value comes from: `get(message, item)`. `items` is what a list holds, None for a single value.

    A keyed field is a list that can also be asked for one entry by number: `user.dpUuids.20914`.
    """

    name: str
    get: Callable[[TemplateMessage, Any], Value]
    items: ItemKind | None = None
    keyed: Callable[[Any, int], str] | None = None


def _partner_ids(_: TemplateMessage, user: TemplateUser) -> list[str]:
    return [user.partner_ids[dpid] for dpid in sorted(user.partner_ids)]


def _partner_id(user: TemplateUser, dpid: int) -> str:
    return user.partner_ids.get(dpid, "")


def _active(_: TemplateMessage, user: TemplateUser) -> list[SegmentState]:
    return [segment for segment in user.entry.segments if segment.active]


def _lost(_: TemplateMessage, user: TemplateUser) -> list[SegmentState]:
    return [segment for segment in user.entry.segments if not segment.active]


def _segment_id(_: TemplateMessage, segment: SegmentState) -> str:
    return segment_number(segment)


def _table(*fields: Field) -> dict[str, Field]:
    return {field.name.lower(): field for field in fields}


FIELDS: dict[ItemKind, dict[str, Field]] = {
    "message": _table(
        Field("GENERATION_TIME", lambda m, _: m.generation_time),
        Field("ORDER_ID", lambda m, _: str(m.destination_id)),
        Field("PID_ALIAS", lambda m, _: m.client_id),
        Field("NUM_USERS", lambda m, _: len(m.users)),
        Field("USER_LIST", lambda m, _: m.users, items="user"),
        # Arke's own: without them the standard body could not be written as a template.
        Field("PROCESS_TIME", lambda m, _: wire_time(m.process_ts)),
        Field("USER_DPID", lambda m, _: str(m.dpid)),
    ),
    "user": _table(
        Field("aamUuid", lambda _, u: u.entry.uuid),
        Field("dpUuid", lambda _, u: u.entry.partner_id),
        Field("segments", _active, items="segment"),
        Field("removedSegments", _lost, items="segment"),
        Field("userAgent", lambda _, u: u.user_agent),
        Field("ip", lambda _, u: u.ip),
        Field("dpUuids", _partner_ids, items="text", keyed=_partner_id),
        Field("timestamp", lambda m, u: m.seen_time(u)),
        Field("random", lambda m, u: str(m.random(u))),
        Field("regionIds", lambda _, u: [str(region) for region in u.entry.regions], items="text"),
    ),
    "segment": _table(
        Field("traitAlias", lambda _, s: s.alias),
        Field("legacySegmentId", _segment_id),
        Field("segmentId", _segment_id),
        Field("newSegmentId", _segment_id),
        Field("status", lambda _, s: int(s.active)),
        Field("dateTime", lambda _, s: wire_time(s.verified_ts)),
    ),
    "text": {},
}

LITERALS = {
    "OPEN_BRACKET": "{",
    "CLOSE_BRACKET": "}",
    "OPEN_CURLY_BRACKET": "{",
    "CLOSE_CURLY_BRACKET": "}",
    "COMMA": ",",
}

_FOR_EACH_SEGMENT = "in a POST body write <user.{field}:{{seg|...}}> inside <USER_LIST:{{user|...}}>"
_FOR_EACH_USER = "in a POST body write <user.{field}> inside <USER_LIST:{{user|...}}>"
GET_ONLY = {
    "AAM_UUID": _FOR_EACH_USER.format(field="aamUuid"),
    "DP_UUID": _FOR_EACH_USER.format(field="dpUuid"),
    "DP_UUIDS": _FOR_EACH_USER.format(field="dpUuids.DPID"),
    "DPID": "in a POST body the id type is <USER_DPID>",
    "ECID": _FOR_EACH_USER.format(field="dpUuids.DPID"),
    "IP": _FOR_EACH_USER.format(field="ip"),
    "MCID": _FOR_EACH_USER.format(field="dpUuids.DPID"),
    "NUM_REMOVED_SEGMENTS": "a POST body has no count of segments",
    "NUM_SEGMENTS": "a POST body has no count of segments",
    "RANDOM": _FOR_EACH_USER.format(field="random"),
    "REGION_ID_LIST": _FOR_EACH_USER.format(field="regionIds"),
    "REMOVED_SEGMENT_LIST": _FOR_EACH_SEGMENT.format(field="removedSegments"),
    "REMOVED_SEGMENTS": _FOR_EACH_SEGMENT.format(field="removedSegments"),
    "REMOVED_TIME_LIST": _FOR_EACH_SEGMENT.format(field="removedSegments"),
    "REMOVED_TRAITALIAS_LIST": _FOR_EACH_SEGMENT.format(field="removedSegments"),
    "SEGMENT_LIST": _FOR_EACH_SEGMENT.format(field="segments"),
    "SEGMENTS": _FOR_EACH_SEGMENT.format(field="segments"),
    "TIME_LIST": _FOR_EACH_SEGMENT.format(field="segments"),
    "TIMESTAMP": _FOR_EACH_USER.format(field="timestamp"),
    "TRAITALIAS_LIST": _FOR_EACH_SEGMENT.format(field="segments"),
    "USER_AGENT": _FOR_EACH_USER.format(field="userAgent"),
}
"""Audience Manager's macros for GET destinations, each with what to write instead; Arke sends POST."""


def find_field(kind: ItemKind, name: str) -> Field | None:
    """A field by its name, upper and lower case alike."""
    return FIELDS[kind].get(name.lower())


def suggest(name: str, candidates: Sequence[str]) -> str:
    """A hint for a name that does not exist: the nearest one, or all of them."""
    by_lower = {candidate.lower(): candidate for candidate in candidates}
    near = get_close_matches(name.lower(), by_lower, n=1)
    return f"did you mean {by_lower[near[0]]}?" if near else "known: " + ", ".join(candidates)
