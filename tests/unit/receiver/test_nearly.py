"""What an engineer hears who signed with the right key, and did one thing otherwise."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import TYPE_CHECKING

import msgspec
import pytest

from arke.receiver import SigningKey, nearly, sign
from arke.receiver.nearly import MAX_BODY_BYTES, MAX_READ_BYTES, MAX_WORK, what_is_wrong

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = b"sample_partner_private_key"
KEY = SigningKey(secret=SECRET)
BODY = b'{"User_count":"1", "Users":[]}'
STAMPED = SigningKey(secret=SECRET, signs="{timestamp}.{body}", prefix="t={timestamp},v1=", encoding="hex")
IN_A_HEADER = msgspec.structs.replace(KEY, signs="{timestamp}.{body}", timestamp_header="X-Time")
NOW = 1_796_052_922


def said(headers: dict[str, str], *, body: bytes = BODY, key: SigningKey = KEY) -> str:
    named = tuple(headers.items())
    return what_is_wrong(body, (("User-Agent", "somebody's client of a long name"), *named), [key])


def made(body: bytes = BODY, secret: bytes = SECRET, how: str = "sha1") -> bytes:
    return hmac.digest(secret, body, how)


def text(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


@pytest.mark.parametrize(
    ("headers", "differences"),
    [
        ({"X-Signature": text(made(how="sha256"))}, "the algorithm is sha256, not sha1"),
        ({"X-Signature": text(made(how="md5"))}, "the algorithm is md5, not sha1"),
        ({"X-Signature": made().hex()}, "it is written as hex, not base64"),
        ({"X-Signature": made().hex().upper()}, "it is written as hex in capitals, not base64"),
        ({"X-Signature": text(made()).rstrip("=")}, "it is written as base64 without padding, not base64"),
        ({"X-Signature": text(made().hex().encode())}, "it is written as base64 of the hex, not base64"),
        ({"X-Signature": f"sha1={text(made())}"}, "before it stands 'sha1=', not ''"),
        ({"X-Sig": text(made())}, "it stands in the header X-Sig, not X-Signature"),
        ({"X-Signature": text(made(BODY + b"\n"))}, "the body that was signed has a line end behind it"),
        ({"X-Signature": text(made(secret=SECRET + b"\n"))}, "the key had a line end behind it"),
        ({"X-Signature": text(made(b""))}, "nothing but an empty body was signed"),
        (
            {"X-Signature": f"sha256={made(how='sha256').hex()}"},
            (
                "the algorithm is sha256, not sha1, it is written as hex, not base64, "
                "before it stands 'sha256=', not ''"
            ),
        ),
        (
            {"X-Signature": text(made(json.dumps(json.loads(BODY)).encode()))},
            "the body was read and written again before it was signed: sign the bytes that are sent",
        ),
        (
            {"X-Signature": text(made(b"%d." % NOW + BODY)), "X-Time": str(NOW)},
            "what was signed is {timestamp}.{body}, not {body}",
        ),
    ],
)
def test_one_thing_that_is_otherwise_is_named(headers: dict[str, str], differences: str) -> None:
    assert said(headers) == f"it would match but for this: {differences}"


def test_a_time_stamp_that_was_left_out_is_named() -> None:
    assert said({"X-Signature": made().hex()}, key=STAMPED) == (
        "it would match but for this: before it stands '', not 't={timestamp},v1=', what was signed is {body}, not "
        "{timestamp}.{body}"
    )


def test_a_time_stamp_in_another_header_is_named() -> None:
    assert said({"X-Signature": text(made(b"%d." % NOW + BODY)), "X-When": str(NOW)}, key=IN_A_HEADER) == (
        "it would match but for this: the time stamp stands in the header X-When, not X-Time"
    )


def test_a_time_stamp_in_milliseconds_is_named() -> None:
    signature = sign(BODY, STAMPED, NOW * 1_000)
    assert said({"X-Signature": signature}, key=STAMPED) == (
        "it would match but for this: the time stamp is in milliseconds, not seconds"
    )


def test_a_key_of_standard_webhooks_is_recognised() -> None:
    secret = b"0123456789abcdef01234567"
    key = SigningKey(secret=b"whsec_" + base64.b64encode(secret))
    signature = text(made(b"msg_1.%d." % NOW + BODY, secret, "sha256"))
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(NOW), "webhook-signature": f"v1,{signature}"}
    told = said(headers, key=key)
    assert "it is one of Standard Webhooks" in told
    assert "the key was read as one of Standard Webhooks" in told


def test_who_has_not_the_key_hears_what_was_signed_and_no_more() -> None:
    """The digest is of the body that came: whoever compares it sees whether something on the way has changed it."""
    other = text(made(secret=b"another"))
    told = said({"X-Signature": other})
    assert told.startswith("another key made it, or other bytes")
    assert hashlib.sha256(BODY).hexdigest() in told
    assert f"{len(BODY)}," in told
    for right in (sign(BODY, KEY), made().hex(), SECRET.decode()):
        assert right not in told


def test_nothing_is_said_of_a_signature_that_is_missing_or_late() -> None:
    assert said({}) == ""
    assert said({"X-Signature": sign(BODY, STAMPED, NOW)}, key=STAMPED) == ""


def test_a_large_body_is_not_tried() -> None:
    large = b"x" * 70_000
    assert said({"X-Signature": text(made(large, how="sha256"))}, body=large).startswith(
        "another key made it"
    )


DEAR = (
    *((f"X-{number}", f"{NOW + number}" + "A" * 40) for number in range(20)),
    *(("webhook-id", "m"), ("webhook-timestamp", str(NOW))),
)
"""Headers of which each may be a signature, or hold a time stamp."""


@pytest.mark.parametrize("size", [100, MAX_READ_BYTES, MAX_READ_BYTES + 1, MAX_BODY_BYTES])
def test_what_anybody_can_make_us_try_is_bounded_over_all_keys(
    monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Bytes and signatures are counted, and no time: whoever has no key may send many such requests."""
    work = written = 0
    digest, anew = hmac.digest, nearly._written_anew

    def counted(key: bytes, signed: bytes, how: str) -> bytes:
        nonlocal work
        work += len(signed) + nearly._WORK_PER_SIGNATURE + nearly._WORK_PER_HEADER * nearly.MAX_HEADERS
        return digest(key, signed, how)

    def once(body: bytes) -> Iterator[tuple[list[str], bytes]]:
        nonlocal written
        written += 1
        yield from anew(body)

    monkeypatch.setattr(hmac, "digest", counted)
    monkeypatch.setattr(nearly, "_written_anew", once)
    body = b"[" + b"1," * (size // 2 - 2) + b"1]" + b" " * (size % 2 + 1)
    assert len(body) == size
    keys = [SigningKey(secret=b"whsec_" + base64.b64encode(b"%024d" % number)) for number in range(8)]
    what_is_wrong(body, DEAR, keys)
    assert 0.9 * MAX_WORK < work <= MAX_WORK
    assert written == (size <= MAX_READ_BYTES)


def test_each_of_several_keys_is_tried() -> None:
    keys = [SigningKey(secret=b"%024d" % number, header=f"X-Key-{number}") for number in range(3)]
    body = json.dumps({"Users": ["x" * 20] * 60}).encode()
    anew = json.dumps(json.loads(body), separators=(",", ":")).encode()
    headers = (
        ("User-Agent", "somebody's client of a long name"),
        ("X-Key-2", text(made(anew, keys[2].secret))),
    )
    assert "was read and written again" in what_is_wrong(body, headers, keys)
