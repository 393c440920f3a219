"""Names of header fields as written in a catalog: well-formed, and not those that Arke or HTTP itself sets."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from arke.catalog.fields import shown

if TYPE_CHECKING:
    from arke.catalog.fields import Fields

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
RESERVED: Final = frozenset(
    (
        *("accept-encoding", "connection", "content-encoding", "content-length", "content-type", "date"),
        *("expect", "host", "http2-settings", "keep-alive", "proxy-authorization", "proxy-connection", "te"),
        *("trailer", "transfer-encoding", "upgrade", "user-agent"),
        *("webhook-id", "webhook-timestamp", "webhook-signature"),
    )
)
"""Set by Arke, or by what speaks HTTP. What a request must not say is here too."""
NOT_FOR_SIGNATURES: Final = RESERVED | {"accept", "authorization", "cookie"}

_INSTEAD = {
    "content-type": "content_type says it",
    "webhook-id": "standard_webhooks sends it",
    "webhook-timestamp": "standard_webhooks sends it",
    "webhook-signature": "standard_webhooks sends it",
}


def header_name(fields: Fields, key: str, default: str) -> str:
    """The header that carries a signature or its time stamp, named by a field."""
    name = fields.text(key, max_length=100)
    if name is None:
        return default
    if not _NAME.fullmatch(name):
        hint = "letters, digits and dashes, as X-Signature"
        fields.error(key, f"{shown(name)} is not a valid header name", hint)
    elif name.lower() in NOT_FOR_SIGNATURES:
        fields.error(key, f"the header {name} is reserved", "choose one of your own, as X-Signature")
    return name


def name_problem(name: str) -> tuple[str, str] | None:
    """Why a header of this name cannot be given: message and hint."""
    if not _NAME.fullmatch(name):
        return f"{shown(name)} is not a valid header name", "letters, digits and dashes, as X-Api-Key"
    if name.lower() in RESERVED:
        return f"the header {name} is reserved", _INSTEAD.get(
            name.lower(), "Arke sets it itself, or HTTP does"
        )
    return None
