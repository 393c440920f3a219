"""Signatures over the exact body bytes that are sent: IRIS headers and Standard Webhooks (SPEC section 6)."""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import TYPE_CHECKING

from arke.errors import SecretUnresolved

if TYPE_CHECKING:
    from collections.abc import Iterable

    from arke.delivery.secrets import Secrets
    from arke.domain.catalog import HmacAlgorithm, Signature

_WEBHOOK_PREFIX = "whsec_"


def sign(algorithm: HmacAlgorithm, key: bytes, body: bytes) -> str:
    """Base64 of the HMAC of the body."""
    return binascii.b2a_base64(hmac.digest(key, body, algorithm), newline=False).decode("ascii")


def signature_headers(
    signatures: Iterable[Signature], secrets: Secrets, body: bytes, *, confined: bool = False
) -> list[tuple[str, str]]:
    """One header for every key listed, in the order listed, so that keys can rotate with overlap.

    Two keys under one header name give that header twice. Raises SecretUnresolved.
    """
    return [
        (entry.header, sign(entry.algorithm, secrets.value(entry.key, confined=confined).encode(), body))
        for entry in signatures
    ]


def webhook_key(secret: str) -> bytes:
    """The key bytes of a Standard Webhooks secret: `whsec_` and base64, or the plain text itself."""
    if not secret.startswith(_WEBHOOK_PREFIX):
        return secret.encode()
    try:
        key = base64.b64decode(secret[len(_WEBHOOK_PREFIX) :], validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise SecretUnresolved("a Standard Webhooks key starts with whsec_ but is not base64 after it")
    return key


def standard_webhooks_headers(
    key: bytes, message_id: str, timestamp: int, body: bytes
) -> list[tuple[str, str]]:
    """The webhook-id, webhook-timestamp and webhook-signature headers; `timestamp` in epoch seconds.

    A retry must repeat the headers of the first try, so build them once per message.
    """
    signature = sign("sha256", key, b"%s.%d.%s" % (message_id.encode(), timestamp, body))
    return [
        ("webhook-id", message_id),
        ("webhook-timestamp", str(timestamp)),
        ("webhook-signature", f"v1,{signature}"),
    ]
