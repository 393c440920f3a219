"""Reads a request body of any generation of the format into a `Message`, or says where it is wrong.

Lenient where the format drifted (dossier 1.4 and 1.5), strict where a guess could mistake one user or
status for another. Unknown fields are ignored, so that a newer sender does not break an older receiver."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import msgspec

from arke.receiver.message import Message, MessageError, SegmentStatus, User

MAX_BODY_BYTES: Final = 1_048_576
MAX_DEPTH: Final = 16
MAX_USERS: Final = 1_000
MAX_SEGMENTS_PER_USER: Final = 20_000
"""Audience Manager's own limit of segments per company (dossier 9)."""
_MAX_NUMBER_DIGITS: Final = 18
_BOM: Final = b"\xef\xbb\xbf"
_MISSING: Final = object()


def parse(
    body: bytes,
    *,
    strict: bool = False,
    max_body_bytes: int = MAX_BODY_BYTES,
    max_users: int = MAX_USERS,
) -> Message:
    """The message in `body`. Raises `MessageError`, and nothing else, when there is none.

    `strict` turns what is otherwise a warning (a missing or wrong User_count) into an error.
    """
    fields = _Fields(_decode(body, max_body_bytes), "")
    users = tuple(
        _user(item, f"Users[{index}]") for index, item in enumerate(fields.array("Users", max_users, least=1))
    )
    warnings = _count_warnings(fields, len(users))
    if strict and warnings:
        raise MessageError("User_count", warnings[0])
    dpid = fields.optional("User_DPID")
    return Message(
        process_time=fields.date("ProcessTime"),
        user_dpid=None if dpid is None else _number(dpid, "User_DPID"),
        client_id=fields.text("Client_ID"),
        destination_id=fields.text("AAM_Destination_Id"),
        users=users,
        warnings=warnings,
    )


def _other_form(body: bytes) -> str | None:
    """What a body is that is none, where it is seen at once."""
    if not body.strip():
        return "the body is empty"
    if body.startswith(b"\x1f\x8b"):
        return (
            "the body is packed with gzip; a signature is of the bytes that are sent, so unpack it after that"
        )
    if body.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in body[:4]:
        return "the body is UTF-16 or UTF-32 text; messages are UTF-8"
    return None


def _decode(body: bytes, max_body_bytes: int) -> object:
    if len(body) > max_body_bytes:
        raise MessageError("", f"the body has {len(body)} bytes; at most {max_body_bytes} are read")
    try:
        document = msgspec.json.decode(body.removeprefix(_BOM))
    except RecursionError:
        raise MessageError("", f"nested deeper than {MAX_DEPTH} levels") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise MessageError("", f"not a JSON document: {_other_form(body) or error}") from None
    if _deeper_than(document, MAX_DEPTH):
        raise MessageError("", f"nested deeper than {MAX_DEPTH} levels")
    return document


def _deeper_than(document: object, levels: int) -> bool:
    current = [document]
    for _ in range(levels):
        following: list[object] = []
        for node in current:
            if isinstance(node, dict):
                following.extend(node.values())
            elif isinstance(node, list):
                following.extend(node)
        if not following:
            return False
        current = following
    return any(isinstance(node, dict | list) for node in current)


def _user(item: object, path: str) -> User:
    fields = _Fields(item, path)
    segments = fields.array("Segments", MAX_SEGMENTS_PER_USER)
    partner_id = fields.optional("DataPartner_UUID")
    regions = fields.optional("AAM_Regions")
    return User(
        aam_uuid=fields.text("AAM_UUID"),
        data_partner_uuid=""
        if partner_id is None
        else _scalar_text(partner_id, fields.at("DataPartner_UUID")),
        regions=() if regions is None else _regions(regions, fields.at("AAM_Regions")),
        segments=tuple(_segment(line, f"{path}.Segments[{index}]") for index, line in enumerate(segments)),
    )


def _segment(item: object, path: str) -> SegmentStatus:
    fields = _Fields(item, path)
    status = fields.optional("Status")
    return SegmentStatus(
        segment_id=fields.text("Segment_ID"),
        active=True if status is None else _active(status, fields.at("Status")),
        date_time=fields.date("DateTime"),
    )


def _regions(value: object, path: str) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise MessageError(path, "expected an array of region ids")
    return tuple(_number(region, f"{path}[{index}]") for index, region in enumerate(value))


def _active(value: object, path: str) -> bool:
    text = _scalar_text(value, path)
    if text not in {"0", "1"}:
        raise MessageError(path, 'expected "1" (active) or "0" (inactive)')
    return text == "1"


def _number(value: object, path: str) -> int:
    text = _scalar_text(value, path)
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_NUMBER_DIGITS):
        raise MessageError(path, f"expected a whole number of at most {_MAX_NUMBER_DIGITS} digits")
    return int(text)


def _scalar_text(value: object, path: str) -> str:
    """A string as it is, a whole number as its digits.

    A number with a fraction or an exponent is refused: an id that went through a float has lost digits.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise MessageError(path, f"expected a string or a whole number, found {_kind(value)}")


def _kind(value: object) -> str:
    names = {dict: "an object", list: "an array", float: "a fractional number", bool: "true or false"}
    return names.get(type(value), "null" if value is None else "something else")


def _count_warnings(fields: _Fields, found: int) -> tuple[str, ...]:
    count = fields.optional("User_count")
    if count is None:
        return (f"User_count is missing; the message holds {found} users",)
    stated = _number(count, "User_count")
    return () if stated == found else (f"User_count says {stated}, but the message holds {found} users",)


class _Fields:
    """One JSON object's fields, found whatever the case of their letters, each with its path."""

    __slots__ = ("_path", "_values")

    def __init__(self, item: object, path: str) -> None:
        if not isinstance(item, dict):
            raise MessageError(path, f"expected an object, found {_kind(item)}")
        values: dict[str, Any] = {}
        for key, value in item.items():
            if values.setdefault(key.lower(), value) != value:
                raise MessageError(f"{path}.{key}" if path else key, "given twice, with different values")
        self._values = values
        self._path = path

    def at(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name

    def optional(self, name: str) -> object | None:
        """The value, or None where the field is absent or null."""
        return self._values.get(name.lower())

    def required(self, name: str) -> object:
        value = self._values.get(name.lower(), _MISSING)
        if value is _MISSING:
            raise MessageError(self.at(name), "is missing")
        return value

    def text(self, name: str) -> str:
        text = _scalar_text(self.required(name), self.at(name))
        if not text:
            raise MessageError(self.at(name), "must not be empty")
        return text

    def date(self, name: str) -> datetime:
        text = _scalar_text(self.required(name), self.at(name))
        try:
            return parse_date(text)
        except ValueError as error:
            raise MessageError(self.at(name), f"not a date: {error}") from None

    def array(self, name: str, most: int, least: int = 0) -> list[object]:
        value = self.required(name)
        if not isinstance(value, list):
            raise MessageError(self.at(name), f"expected an array, found {_kind(value)}")
        if not least <= len(value) <= most:
            raise MessageError(self.at(name), f"holds {len(value)} items; {least} to {most} are allowed")
        return value


_DAYS = "mon|tue|wed|thu|fri|sat|sun"
_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES, start=1)}
_DATE = re.compile(
    rf"(?:{_DAYS}) +({'|'.join(_MONTHS)}) +([0-9]{{1,2}}) +"
    r"([0-9]{2}):([0-9]{2}):([0-9]{2}) +(?:UTC|GMT) +([0-9]{4})",
    re.IGNORECASE | re.ASCII,
)


@lru_cache(maxsize=4096)  # the entries of a message share few distinct seconds
def parse_date(text: str) -> datetime:
    """The instant as an aware datetime. Single-digit days are accepted; ValueError when it is no date.

    The name of the weekday is not held against the date: it adds nothing, and a receiver is lenient.
    """
    match = _DATE.fullmatch(text.strip())
    if match is None:
        raise ValueError("expected a date such as 'Wed Jul 27 16:17:42 UTC 2016'")
    month, day, hour, minute, second, year = match.groups()
    return datetime(
        int(year), _MONTHS[month.lower()], int(day), int(hour), int(minute), int(second), tzinfo=UTC
    )
