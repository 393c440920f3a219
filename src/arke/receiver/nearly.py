"""What is wrong with a signature that does not match: the one thing that an engineer did otherwise, in words.

Only the reference server asks. Who does not have the key learns nothing by it: a hint is given for a signature
that the key has made.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from functools import cached_property
from typing import TYPE_CHECKING, Final

from arke.domain.catalog import BODY, TIMESTAMP
from arke.domain.secret_text import webhook_keys
from arke.errors import InvalidInput
from arke.receiver.verifier import DIGESTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from arke.receiver.verifier import SigningKey

MAX_BODY_BYTES: Final = 64 * 1024
"""Of a larger body nothing is tried: some hundred signatures are made of it."""
MAX_READ_BYTES: Final = 16 * 1024
"""Nor is a larger one read and written anew, which takes a hundred times as long as a signature."""
MAX_HEADERS, MAX_STAMPS = 16, 4
MAX_WORK: Final = 32 << 20
"""What is tried of one request, over all keys, in bytes that are signed (some 40 ms). Making a signature, and
looking for it in a header, take as long as so many bytes:"""
_WORK_PER_SIGNATURE, _WORK_PER_HEADER = 16 * 1024, 4 * 1024
_STAMP = re.compile(r"(?<![0-9])[0-9]{9,13}(?![0-9])")
_STAMPED: Final = (
    f"{TIMESTAMP}.{BODY}",
    f"{TIMESTAMP}:{BODY}",
    f"{TIMESTAMP}{BODY}",
    f"v0:{TIMESTAMP}:{BODY}",
)
_DIGITS_OF_SECONDS: Final = 12
_SHORTEST: Final = 22
"""Characters of an MD5 in base64."""
_PREFIX_CHARS: Final = 64
WEBHOOKS: Final = "it is one of Standard Webhooks"

Pairs = tuple[tuple[str, str], ...]
Differences = list[str]


def what_is_wrong(body: bytes, headers: Pairs, keys: Sequence[SigningKey]) -> str:
    """What is wrong with a request whose signature was refused, as the end of a sentence; empty where nothing is to
    be said.
    """
    given = [(name, value.strip()) for name, value in headers if len(value.strip()) >= _SHORTEST][
        :MAX_HEADERS
    ]
    if len(body) <= MAX_BODY_BYTES:
        search = _Search(body, headers, given)
        for key in keys:
            differences = next(search.differences(key), None)
            if differences is not None:
                return f"it would match but for this: {', '.join(differences)}" if differences else ""
    if not {key.header.lower() for key in keys} & {name.lower() for name, _ in headers}:
        return ""
    digest = hashlib.sha256(body).hexdigest()
    return (
        f"another key made it, or other bytes: those that came are {len(body):,}, their SHA-256 is {digest}"
    )


class _Search:
    """What is tried of one request, whatever its keys are, until it has taken MAX_WORK."""

    def __init__(self, body: bytes, headers: Pairs, given: list[tuple[str, str]]) -> None:
        self._body = body
        self._headers = headers
        self._given = [(header, value, value.encode("utf-8", "replace")) for header, value in given]
        self._left = MAX_WORK

    def differences(self, key: SigningKey) -> Iterator[Differences]:
        """What a signature that the key's secret has made does otherwise than `key` says, for each such."""
        for of_key, secret in _secrets(key.secret):
            for of_bytes, signed in self._signed(key):
                if of_key and of_bytes and WEBHOOKS not in of_bytes:
                    continue  # who took both for something else has more to find than a sentence says
                for algorithm, digest in DIGESTS.items():
                    self._left -= len(signed) + _WORK_PER_SIGNATURE + _WORK_PER_HEADER * len(self._given)
                    if self._left < 0:
                        return
                    forms = _forms(hmac.digest(secret, signed, digest))
                    for header, value, encoded in self._given:
                        for encoding, prefix in _written(value, encoded, forms):
                            found = []
                            if header.lower() != key.header.lower():
                                found.append(f"it stands in the header {header}, not {key.header}")
                            if algorithm != key.algorithm:
                                found.append(f"the algorithm is {algorithm}, not {key.algorithm}")
                            if encoding != key.encoding:
                                found.append(f"it is written as {encoding}, not {key.encoding}")
                            if prefix != key.prefix:
                                found.append(f"before it stands {prefix!r}, not {key.prefix!r}")
                            yield [*found, *of_bytes, *of_key]

    def _signed(self, key: SigningKey) -> Iterator[tuple[Differences, bytes]]:
        yield from _signed(self._body, self._headers, key)
        yield from self._anew

    @cached_property
    def _anew(self) -> list[tuple[Differences, bytes]]:
        return list(_written_anew(self._body)) if len(self._body) <= MAX_READ_BYTES else []


def _secrets(secret: bytes) -> Iterator[tuple[Differences, bytes]]:
    """The key, and what others take for it."""
    yield [], secret
    for end, name in ((b"\n", "a line end"), (b"\r\n", "a line end of Windows"), (b" ", "a blank")):
        yield [f"the key had {name} behind it"], secret + end
    yield ["the key was in quotes"], b'"' + secret + b'"'
    text = secret.decode("latin-1")
    for name, read in (("base64", base64.b64decode), ("hex", bytes.fromhex)):
        try:
            yield [f"the key was decoded from {name} first"], read(text)
        except ValueError:
            continue
    for name, write in (("base64", base64.b64encode), ("hex", lambda raw: raw.hex().encode())):
        yield [f"the key was written as {name} first"], write(secret)
    if text.startswith("whsec_"):
        try:
            keys = webhook_keys(text)
        except InvalidInput:
            return
        yield from ((["the key was read as one of Standard Webhooks"], key) for key in keys)


def _signed(body: bytes, headers: Pairs, key: SigningKey) -> Iterator[tuple[Differences, bytes]]:
    """The bytes that should have been signed, and what others sign."""
    if key.signs == BODY:
        yield [], body
    named = {name.lower(): value for name, value in headers}
    stamps = {found: name for name, value in headers for found in _STAMP.findall(value)}
    for stamp, name in list(stamps.items())[:MAX_STAMPS]:
        elsewhere = key.timestamp_header is not None and name.lower() != key.timestamp_header.lower()
        why = [f"the time stamp stands in the header {name}, not {key.timestamp_header}"] if elsewhere else []
        if len(stamp) > _DIGITS_OF_SECONDS:
            why.append("the time stamp is in milliseconds, not seconds")
        for signs in dict.fromkeys((key.signs, *_STAMPED)):
            if TIMESTAMP in signs:
                before, _, after = signs.replace(TIMESTAMP, stamp).partition(BODY)
                differs = [] if signs == key.signs else [f"what was signed is {signs}, not {key.signs}"]
                yield [*differs, *why], before.encode() + body + after.encode()
    if key.signs != BODY:
        yield [f"what was signed is {BODY}, not {key.signs}"], body
    if {"webhook-id", "webhook-timestamp"} <= named.keys():
        before = f"{named['webhook-id']}.{named['webhook-timestamp']}."
        yield [WEBHOOKS], before.encode() + body
    for end, name in ((b"\n", "a line end"), (b"\r\n", "a line end of Windows")):
        yield [f"the body that was signed has {name} behind it"], body + end
        if body.endswith(end):
            yield [f"the body that was signed has not {name} behind it"], body.removesuffix(end)
    yield ["nothing but an empty body was signed"], b""
    for name, digest in DIGESTS.items():
        yield [f"the {name} of the body was signed, in hex"], digest(body).hexdigest().encode()


def _written_anew(body: bytes) -> Iterator[tuple[Differences, bytes]]:
    """The body as JSON libraries write it that have read it."""
    try:
        read = json.loads(body)
    except (ValueError, RecursionError):
        return
    why = ["the body was read and written again before it was signed: sign the bytes that are sent"]
    for separators in ((",", ":"), None):
        for ascii_only in (False, True):
            for in_order in (False, True):
                text = json.dumps(read, separators=separators, ensure_ascii=ascii_only, sort_keys=in_order)
                yield why, text.encode("utf-8", "replace")


def _forms(made: bytes) -> list[tuple[str, bytes]]:
    """A signature in each encoding."""
    plain = base64.b64encode(made)
    safe = base64.urlsafe_b64encode(made)
    text = made.hex().encode()
    return [
        ("base64", plain),
        ("hex", text),
        ("hex in capitals", text.upper()),
        ("URL-safe base64", safe),
        ("base64 without padding", plain.rstrip(b"=")),
        ("URL-safe base64 without padding", safe.rstrip(b"=")),
        ("base64 of the hex", base64.b64encode(text)),
    ]


def _written(value: str, encoded: bytes, forms: list[tuple[str, bytes]]) -> Iterator[tuple[str, str]]:
    """How `value` has this signature, if it does: its encoding, and what stands before it."""
    for encoding, form in forms:
        if len(encoded) - len(form) <= _PREFIX_CHARS and hmac.compare_digest(encoded[-len(form) :], form):
            yield encoding, _STAMP.sub(TIMESTAMP, value[: -len(form)])
            return
