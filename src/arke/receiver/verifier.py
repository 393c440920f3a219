"""Decides whether a request really comes from the sender: HMAC signatures, Standard Webhooks, bearer tokens.

Everything is computed over the raw bytes of the body, before any parsing, and compared in constant time.
Several keys may be valid at once, so that keys rotate without losing a message: any match is enough.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from arke.domain.catalog import BODY, TIMESTAMP, HmacAlgorithm, SignatureEncoding
from arke.domain.digits import whole_number
from arke.domain.secret_text import WEBHOOK_PREFIX, webhook_keys
from arke.errors import InvalidInput, Unauthorized

Headers = Mapping[str, str] | Iterable[tuple[str, str]]
"""Header names are compared without case; repeated headers need the form of pairs."""

DEFAULT_HEADER: Final = "X-Signature"
DEFAULT_TOLERANCE_S: Final = 300.0
MAX_STAMP: Final = 10**12
DIGESTS: Final = {
    "sha1": hashlib.sha1,
    "sha256": hashlib.sha256,
    "sha512": hashlib.sha512,
    "md5": hashlib.md5,
}


class VerificationError(Unauthorized):
    """The request is not proven to come from the sender. Never says which key or value was expected."""

    code = "not_verified"


class SigningKey(msgspec.Struct, frozen=True, kw_only=True):
    """One key that the sender may sign with, and how: the fields are those of a catalog's `signatures`. Its secret
    is kept out of `repr`.
    """

    secret: bytes
    header: str = DEFAULT_HEADER
    algorithm: HmacAlgorithm = "sha1"
    encoding: SignatureEncoding = "base64"
    prefix: str = ""
    signs: str = BODY
    timestamp_header: str | None = None

    def __repr__(self) -> str:
        return f"SigningKey(header={self.header!r}, algorithm={self.algorithm!r})"


def sign(body: bytes, key: SigningKey, timestamp: int | None = None) -> str:
    """The header value the sender computes: prefix and HMAC. `timestamp` (epoch seconds) where the key has one."""
    stamp = "" if timestamp is None else str(timestamp)
    before, _, after = key.signs.replace(TIMESTAMP, stamp).partition(BODY)
    digest = hmac.digest(key.secret, before.encode() + body + after.encode(), DIGESTS[key.algorithm])
    text = digest.hex() if key.encoding == "hex" else base64.b64encode(digest).decode("ascii")
    return key.prefix.replace(TIMESTAMP, stamp) + text


def verify(
    body: bytes,
    headers: Headers,
    keys: str | bytes | SigningKey | Sequence[str | bytes | SigningKey],
    *,
    header: str = DEFAULT_HEADER,
    algorithm: HmacAlgorithm = "sha1",
    now: float | None = None,
    tolerance_s: float = DEFAULT_TOLERANCE_S,
) -> None:
    """Raise `VerificationError` unless a signature header matches one of the keys.

    `header` and `algorithm` apply to keys given as plain text or bytes; a `SigningKey` brings its own. A time stamp
    that is signed may be no further from `now` than the tolerance. For a signed GET, `body` is the path with `?`
    and the query, as bytes.
    """
    accepted = _signing_keys(keys, header, algorithm)
    if not accepted:
        raise InvalidInput("no signing key was given; a request cannot be verified against nothing")
    given = _by_name(headers)
    at = time.time() if now is None else now
    seen = False
    matched = False
    late = False
    for key in accepted:
        for value in given.get(key.header.lower(), ()):
            seen = True
            # No early exit: how long it takes does not tell which key matched.
            stamp = _stamp(key, value, given)
            expected = sign(body, key, stamp).encode("ascii")
            right = hmac.compare_digest(expected, _letters(key, value.strip()).encode("utf-8", "replace"))
            in_time = TIMESTAMP not in key.signs or (stamp is not None and abs(at - stamp) <= tolerance_s)
            late |= right and not in_time
            matched |= right and in_time
    if late and not matched:
        raise VerificationError(f"the signed time stamp is more than {tolerance_s:g} s away", forbidden=True)
    if not matched:
        names = ", ".join(sorted({key.header for key in accepted}))
        raise VerificationError(
            f"no signature in {names} matches the body"
            if seen
            else f"the signature header is missing: {names}",
            forbidden=seen,
        )


def _stamp(key: SigningKey, value: str, headers: dict[str, list[str]]) -> int | None:
    """The second that a signature came with, in its prefix or a header of its own."""
    if key.timestamp_header is not None:
        stamps = headers.get(key.timestamp_header.lower(), [])
        return whole_number(stamps[0].strip(), MAX_STAMP) if len(stamps) == 1 else None
    before, place, after = key.prefix.partition(TIMESTAMP)
    if not place:
        return None
    found = re.match(
        rf"{re.escape(before)}([0-9]{{1,12}}){re.escape(after.partition(TIMESTAMP)[0])}", value.strip()
    )
    return int(found[1]) if found else None


def _letters(key: SigningKey, value: str) -> str:
    """Hex is the same in capitals; what stands before it is not."""
    if key.encoding == "base64":
        return value
    digits = DIGESTS[key.algorithm]().digest_size * 2
    return value[:-digits] + value[-digits:].lower()


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

    A secret is text (`whsec_` and base64, also several of them, as they were given out), or raw bytes. A time stamp
    further from now than the tolerance is refused.
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
    listed = [secrets] if isinstance(secrets, str | bytes) else secrets
    for key in [key for secret in listed for key in _webhook_keys(secret)]:
        expected = base64.b64encode(hmac.digest(key, signed, hashlib.sha256))
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


def _webhook_keys(secret: str | bytes) -> tuple[bytes, ...]:
    """Bytes are the key itself, unless they are what was given out. Raises InvalidInput."""
    if isinstance(secret, bytes):
        if not secret.startswith(WEBHOOK_PREFIX.encode()):
            return (secret,)
        secret = secret.decode("utf-8", "replace")
    return webhook_keys(secret)


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
