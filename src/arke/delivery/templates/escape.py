"""How a value is written into a body so that it cannot break out of it: one rule per kind of content type.

Ids come from outside (anybody may declare one), so a value is escaped unless the content type gives no
rule.
"""

from __future__ import annotations

from json.encoder import encode_basestring
from typing import TYPE_CHECKING
from urllib.parse import quote_plus
from xml.sax.saxutils import escape as escape_markup

from arke.domain.message_body import well_formed

if TYPE_CHECKING:
    from collections.abc import Callable

    Escape = Callable[[str], str]

JSON_TYPES = frozenset({"application/json", "text/json", "application/x-ndjson", "application/jsonl"})
MARKUP_TYPES = frozenset({"application/xml", "text/xml", "text/html"})
FORM_TYPE = "application/x-www-form-urlencoded"


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
    return escape_markup(legal, {'"': "&quot;", "'": "&#39;"})


def form_text(value: str) -> str:
    """A key or value of a form."""
    return quote_plus(well_formed(value))


def raw_text(value: str) -> str:
    return value
