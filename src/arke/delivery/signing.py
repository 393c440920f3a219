"""Signatures over the exact body bytes that are sent: HMAC headers and Standard Webhooks (SPEC section 6)."""

from __future__ import annotations

import binascii
import hmac
from typing import TYPE_CHECKING, Final

from arke.domain.catalog import BODY, TIMESTAMP
from arke.domain.secret_text import webhook_keys
from arke.errors import InvalidInput, SecretUnresolved

if TYPE_CHECKING:
    from collections.abc import Iterable

    from arke.delivery.secrets import Secrets
    from arke.domain.catalog import HmacAlgorithm, Signature, SignatureEncoding, StandardWebhooks

WEBHOOK_HEADERS: Final = ("webhook-id", "webhook-timestamp", "webhook-signature")


def sign(algorithm: HmacAlgorithm, key: bytes, body: bytes, encoding: SignatureEncoding = "base64") -> str:
    """The HMAC of the body as text; hex is in small letters."""
    digest = hmac.digest(key, body, algorithm)
    if encoding == "hex":
        return digest.hex()
    return binascii.b2a_base64(digest, newline=False).decode("ascii")


def signature_headers(
    signatures: Iterable[Signature], secrets: Secrets, body: bytes, timestamp: int, *, confined: bool = False
) -> list[tuple[str, str]]:
    """One header for every key listed, in the order listed, so that keys can rotate with overlap, and behind them
    the time stamps (epoch seconds) that headers of their own carry.

    Two keys under one header name give that header twice. Raises SecretUnresolved.
    """
    fields: list[tuple[str, str]] = []
    stamps: dict[str, str] = {}
    for entry in signatures:
        key = secrets.value(entry.key, confined=confined).encode()
        signed = body if entry.signs == BODY else _signed(entry.signs, timestamp, body)
        prefix = entry.prefix.replace(TIMESTAMP, str(timestamp)) if entry.prefix else ""
        fields.append((entry.header, prefix + sign(entry.algorithm, key, signed, entry.encoding)))
        if entry.timestamp_header is not None:
            stamps.setdefault(entry.timestamp_header.lower(), entry.timestamp_header)
    fields += [(name, str(timestamp)) for name in stamps.values()]
    return fields


def _signed(signs: str, timestamp: int, body: bytes) -> bytes:
    before, _, after = signs.replace(TIMESTAMP, str(timestamp)).partition(BODY)
    return before.encode() + body + after.encode()


def webhook_keys_of(webhooks: StandardWebhooks, secrets: Secrets, *, confined: bool = False) -> list[bytes]:
    """The keys that sign, each once. Raises SecretUnresolved."""
    found: dict[bytes, None] = {}
    for entry in webhooks.keys:
        secret = secrets.value(entry.key, confined=confined)
        try:
            found |= dict.fromkeys(webhook_keys(secret, raw=entry.raw))
        except InvalidInput as error:
            raise SecretUnresolved(f"{entry.key}: {error}") from None
    return [*found]


def standard_webhooks_headers(
    keys: Iterable[bytes], message_id: str, timestamp: int, body: bytes
) -> list[tuple[str, str]]:
    """The webhook-id, webhook-timestamp and webhook-signature headers; `timestamp` in epoch seconds. The last has a
    signature a key, with blanks between them.

    A retry must repeat the headers of the first try, so build them once per message.
    """
    name_of_id, name_of_time, name_of_signature = WEBHOOK_HEADERS
    signed = b"%s.%d.%s" % (message_id.encode(), timestamp, body)
    return [
        (name_of_id, message_id),
        (name_of_time, str(timestamp)),
        (name_of_signature, " ".join(f"v1,{sign('sha256', key, signed)}" for key in keys)),
    ]
