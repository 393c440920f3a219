"""How messages are signed, as written in a catalog: HMAC headers and Standard Webhooks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from arke.catalog.fields import shown
from arke.catalog.header_names import header_name
from arke.catalog.values import secret_reference
from arke.domain.catalog import (
    BODY,
    TIMESTAMP,
    HmacAlgorithm,
    Signature,
    SignatureEncoding,
    StandardWebhooks,
)

if TYPE_CHECKING:
    from arke.catalog.fields import Fields
    from arke.catalog.values import Confined

SIGNATURE_FIELDS = ("header", "algorithm", "key", "encoding", "prefix", "signs", "timestamp_header")
WEBHOOKS_FIELDS = ("key", "raw")
MAX_WEBHOOK_KEYS = 10
MAX_PREFIX_LENGTH = 100
MAX_SIGNS_LENGTH = 200

_VISIBLE = re.compile(r"[\x20-\x7e]*")


def read_signatures(fields: Fields, confined: Confined | None) -> tuple[Signature, ...]:
    signatures: list[Signature] = []
    for entry in fields.mappings("signatures", SIGNATURE_FIELDS):
        signature = Signature(
            key=secret_reference(entry, "key", confined),
            header=header_name(entry, "header", "X-Signature"),
            algorithm=entry.choice("algorithm", HmacAlgorithm, "sha1"),
            encoding=entry.choice("encoding", SignatureEncoding, "base64"),
            prefix=_prefix(entry),
            signs=_signs(entry),
            timestamp_header=header_name(entry, "timestamp_header", "") or None,
        )
        _check_timestamp(entry, signature)
        if signature in signatures:
            fields.error("signatures", "the same signature stands twice", "each entry is one key; remove one")
        signatures.append(signature)
    return tuple(signatures)


def _prefix(fields: Fields) -> str:
    """What stands before the signature, such as `sha256=`."""
    text = fields.text("prefix", max_length=MAX_PREFIX_LENGTH)
    if text is None:
        return ""
    if not _VISIBLE.fullmatch(text) or text.startswith(" "):
        hint = "visible ASCII that a header can carry, as sha256="
        fields.error("prefix", f"{shown(text)} cannot stand before a signature", hint)
    elif _unknown_places(text.replace(TIMESTAMP, "")):
        fields.error("prefix", "prefix has a brace that is no place", f"known in it: {TIMESTAMP}")
    return text


def _signs(fields: Fields) -> str:
    """What the HMAC is over."""
    text = fields.text("signs", max_length=MAX_SIGNS_LENGTH)
    if text is None:
        return BODY
    hint = f'{BODY} once, and {TIMESTAMP} where it is wanted: signs: "{TIMESTAMP}.{BODY}"'
    if text.count(BODY) != 1:
        fields.error("signs", f"signs must hold {BODY} once", hint)
    elif _unknown_places(text.replace(TIMESTAMP, "").replace(BODY, "")):
        fields.error("signs", "signs has a brace that is no place", hint)
    else:
        return text
    return BODY


def _unknown_places(text: str) -> bool:
    return "{" in text or "}" in text


def _check_timestamp(fields: Fields, signature: Signature) -> None:
    sent = signature.timestamp_header is not None or TIMESTAMP in signature.prefix
    if TIMESTAMP in signature.signs and not sent:
        message = f"signs has {TIMESTAMP}, but no header carries it: nobody could check the signature"
        hint = f'add timestamp_header: X-Timestamp, or prefix: "t={TIMESTAMP},v1="'
        fields.error("signs", message, hint)
    if (
        signature.timestamp_header is not None
        and signature.timestamp_header.lower() == signature.header.lower()
    ):
        message = "timestamp_header is the header of the signature"
        fields.error("timestamp_header", message, "give the time stamp a header of its own, or a prefix")


def read_webhooks(fields: Fields, confined: Confined | None) -> StandardWebhooks | None:
    """One mapping, or a list of them while keys rotate."""
    key = "standard_webhooks"
    if not isinstance(fields.raw(key), list):
        entry = fields.mapping(key, WEBHOOKS_FIELDS)
        return None if entry is None else _webhook_key(entry, confined)
    found: list[StandardWebhooks] = []
    for entry in fields.mappings(key, WEBHOOKS_FIELDS):
        one = _webhook_key(entry, confined)
        if one in found:
            entry.error("key", "the same key stands twice", "each entry is one key; remove one")
        found.append(one)
    if not fields.values(key):
        fields.error(key, "standard_webhooks must not be empty", "leave it out, or give it a key")
    if len(found) > MAX_WEBHOOK_KEYS:
        fields.error(key, f"standard_webhooks has {len(found)} keys; at most {MAX_WEBHOOK_KEYS} are allowed")
    if not found:
        return None
    first, *more = found
    return StandardWebhooks(key=first.key, raw=first.raw, more=tuple(more))


def _webhook_key(fields: Fields, confined: Confined | None) -> StandardWebhooks:
    return StandardWebhooks(
        key=secret_reference(fields, "key", confined), raw=fields.flag("raw", default=False)
    )
