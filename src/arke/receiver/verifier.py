"""Decides whether a request really comes from the sender: HMAC signatures, Standard Webhooks, bearer tokens.

Everything is computed over the raw bytes of the body, before any parsing, and compared in constant time.
Several keys may be valid at once, so that keys rotate without losing a message: any match is enough.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from arke.domain.catalog import HmacAlgorithm
from arke.errors import InvalidInput, Unauthorized

Headers = Mapping[str, str] | Iterable[tuple[str, str]]
"""Header names are compared without case; repeated headers need the form of pairs."""

DEFAULT_HEADER: Final = "X-Signature"
DEFAULT_TOLERANCE_S: Final = 300.0
_DIGESTS: Final = {"sha1": hashlib.sha1, "sha256": hashlib.sha256, "md5": hashlib.md5}


class VerificationError(Unauthorized):
    """The request is not proven to come from the sender. Never says which key or value was expected."""

    code = "not_verified"


class SigningKey(msgspec.Struct, frozen=True, kw_only=True):
    """One key that the sender may sign with. Its secret is kept out of `repr`."""

    secret: bytes
    header: str = DEFAULT_HEADER
    algorithm: HmacAlgorithm = "sha1"

    def __repr__(self) -> str:
        return f"SigningKey(header={self.header!r}, algorithm={self.algorithm!r})"


def sign(body: bytes, key: SigningKey) -> str:
    """The header value the sender computes: base64 of the HMAC over the body bytes."""
    digest = hmac.digest(key.secret, body, _DIGESTS[key.algorithm])
    return base64.b64encode(digest).decode("ascii")


def verify(
    body: bytes,
    headers: Headers,
    keys: str | bytes | SigningKey | Sequence[str | bytes | SigningKey],
    *,
    header: str = DEFAULT_HEADER,
    algorithm: HmacAlgorithm = "sha1",
) -> None:
    """Raise `VerificationError` unless a signature header matches one of the keys.

    `header` and `algorithm` apply to keys given as plain text or bytes; a `SigningKey` brings its own.
    For a signed GET, `body` is the path with `?` and the query, as bytes.
    """
    accepted = _signing_keys(keys, header, algorithm)
    if not accepted:
        raise InvalidInput("no signing key was given; a request cannot be verified against nothing")
    given = _by_name(headers)
    seen = False
    matched = False
    for key in accepted:
        expected = sign(body, key).encode("ascii")
        for value in given.get(key.header.lower(), ()):
            seen = True
            # No early exit: how long it takes does not tell which key matched.
            matched |= hmac.compare_digest(expected, value.strip().encode("utf-8", "replace"))
    if not matched:
        names = ", ".join(sorted({key.header for key in accepted}))
        raise VerificationError(
            f"no signature in {names} matches the body"
            if seen
            else f"the signature header is missing: {names}",
            forbidden=seen,
        )


def is_authentic(
    body: bytes,
    headers: Headers,
    keys: str | bytes | SigningKey | Sequence[str | bytes | SigningKey],
    *,
    header: str = DEFAULT_HEADER,
    algorithm: HmacAlgorithm = "sha1",
) -> bool:
    """`verify` as a question."""
    try:
        verify(body, headers, keys, header=header, algorithm=algorithm)
    except VerificationError:
        return False
    return True


def verify_standard_webhooks(
    body: bytes,
    headers: Headers,
    secrets: str | bytes | Sequence[str | bytes],
    *,
    now: float | None = None,
    tolerance_s: float = DEFAULT_TOLERANCE_S,
) -> str:
    """Check the Standard Webhooks headers and return the message id (remember it to drop repeats).

    A secret is `whsec_` + base64, or raw bytes. A time stamp further from now than the tolerance is refused.
    """
    given = _by_name(headers)
    message_id, stamp, signatures = (
        _only(given, f"webhook-{part}") for part in ("id", "timestamp", "signature")
    )
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
        raise VerificationError("webhook-timestamp is not a number of seconds")
    if abs((time.time() if now is None else now) - int(stamp)) > tolerance_s:
        raise VerificationError(
            f"webhook-timestamp is more than {tolerance_s:g} s away from now", forbidden=True
        )
    signed = f"{message_id}.{stamp}.".encode() + body
    values = [value.removeprefix("v1,") for value in signatures.split(" ") if value.startswith("v1,")]
    matched = False
    for secret in [secrets] if isinstance(secrets, str | bytes) else secrets:
        expected = base64.b64encode(hmac.digest(_webhook_secret(secret), signed, hashlib.sha256))
        for value in values:
            matched |= hmac.compare_digest(expected, value.encode("utf-8", "replace"))
    if not matched:
        raise VerificationError("no v1 signature in webhook-signature matches the body", forbidden=True)
    return message_id


def verify_bearer(headers: Headers, tokens: str | Sequence[str]) -> None:
    """Raise `VerificationError` unless the Authorization header carries one of the tokens."""
    token = bearer_token(headers)
    matched = False
    for accepted in [tokens] if isinstance(tokens, str) else tokens:
        matched |= hmac.compare_digest(token.encode("utf-8", "replace"), accepted.encode())
    if not matched:
        raise VerificationError("the bearer token is not one that is accepted")


def bearer_token(headers: Headers) -> str:
    """The token of `Authorization: Bearer ...`; the scheme is compared without case (dossier 6)."""
    scheme, _, token = _only(_by_name(headers), "authorization").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise VerificationError("the Authorization header holds no bearer token")
    return token.strip()


def _signing_keys(
    keys: str | bytes | SigningKey | Sequence[str | bytes | SigningKey], header: str, algorithm: HmacAlgorithm
) -> list[SigningKey]:
    listed = [keys] if isinstance(keys, str | bytes | SigningKey) else list(keys)
    return [
        key
        if isinstance(key, SigningKey)
        else SigningKey(secret=_as_bytes(key), header=header, algorithm=algorithm)
        for key in listed
    ]


def _webhook_secret(secret: str | bytes) -> bytes:
    raw = _as_bytes(secret)
    if not raw.startswith(b"whsec_"):
        return raw
    try:
        return base64.b64decode(raw.removeprefix(b"whsec_"), validate=True)
    except binascii.Error:
        raise InvalidInput("a Standard Webhooks secret must be base64 after whsec_") from None


def _as_bytes(secret: str | bytes) -> bytes:
    return secret.encode() if isinstance(secret, str) else secret


def _by_name(headers: Headers) -> dict[str, list[str]]:
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name.lower(), []).append(value)
    return found


def _only(headers: dict[str, list[str]], name: str) -> str:
    values = headers.get(name, [])
    if len(values) != 1:
        raise VerificationError(f"the {name} header is {'missing' if not values else 'given more than once'}")
    return values[0]
