"""What a body template may write: bounded in length and work, and with every value escaped.

Work is counted, not timed, so a template that is refused is refused on every machine and in every replay. Ids
come from outside (anybody may declare one), so a value is escaped unless the content type gives no rule.
"""

from __future__ import annotations

from json.encoder import encode_basestring
from typing import TYPE_CHECKING
from urllib.parse import quote_plus

from arke.domain.message_body import well_formed
from arke.errors import RuleError

if TYPE_CHECKING:
    from collections.abc import Callable

    Escape = Callable[[str], str]

MAX_TEMPLATE_CHARS = 65_536
MAX_DEPTH = 50
"""How deep a template's constructs may nest."""
MAX_OUTPUT_BYTES = 1_048_576
MAX_WORK = 2_000_000
"""Syntax elements one rendering may evaluate; the standard body of 500 segments takes some 5,000."""

JSON_TYPES = frozenset({"application/json", "text/json", "application/x-ndjson", "application/jsonl"})
MARKUP_TYPES = frozenset({"application/xml", "text/xml", "text/html"})
_MARKUP = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})
FORM_TYPE = "application/x-www-form-urlencoded"


def check_length(text: str) -> None:
    if len(text) > MAX_TEMPLATE_CHARS:
        raise RuleError(
            f"the template has {len(text):,} characters; the limit is {MAX_TEMPLATE_CHARS:,}",
            hint="leave out what the destination does not need",
        )


class Budget:
    """What one rendering may still do, and what it has written so far."""

    __slots__ = ("_chars", "_parts", "_work")

    def __init__(self) -> None:
        self._work = MAX_WORK
        self._chars = 0
        self._parts: list[str] = []

    def charge(self, work: int) -> None:
        """Take `work` off what is left; charged before the work is done."""
        self._work -= work
        if self._work < 0:
            raise RuleError(
                f"the template does too much work for one message (over {MAX_WORK:,} steps)",
                hint="loops inside loops multiply: loop over the users once, and over their own segments",
            )

    def write(self, text: str) -> None:
        self._chars += len(text)
        if self._chars > MAX_OUTPUT_BYTES:
            raise _too_long()
        self._parts.append(text)

    def output(self) -> bytes:
        """Everything written, as valid UTF-8."""
        text = "".join(self._parts)
        try:
            body = text.encode()
        except UnicodeEncodeError:
            body = well_formed(text).encode()
        if len(body) > MAX_OUTPUT_BYTES:
            raise _too_long()
        return body


def _too_long() -> RuleError:
    return RuleError(
        f"the template writes a body of more than {MAX_OUTPUT_BYTES:,} bytes",
        hint="lower max_users_per_request, or write less for each user",
    )


def media_type(content_type: str) -> str:
    """`application/json` of `Application/JSON; charset=utf-8`."""
    return content_type.partition(";")[0].strip().lower()


def is_json(content_type: str) -> bool:
    media = media_type(content_type)
    return media in JSON_TYPES or media.endswith("+json")


def escape_for(content_type: str) -> Escape:
    """The rule for values in a body of this type; the template writes its own quotes around them."""
    media = media_type(content_type)
    if is_json(content_type):
        return json_text
    if media in MARKUP_TYPES or media.endswith("+xml"):
        return markup_text
    if media == FORM_TYPE:
        return form_text
    return raw_text


def json_text(value: str) -> str:
    """The inside of a JSON string."""
    return encode_basestring(value)[1:-1]


def markup_text(value: str) -> str:
    """Text or attribute value of XML and HTML; characters XML cannot carry become U+FFFD."""
    legal = "".join(c if c >= " " or c in "\t\n\r" else "\ufffd" for c in value)
    return legal.translate(_MARKUP)


def form_text(value: str) -> str:
    """A key or value of a form."""
    return quote_plus(well_formed(value))


def raw_text(value: str) -> str:
    return value
