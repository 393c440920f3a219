"""Signatures, Standard Webhooks and bearer tokens, as a destination checks them."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from arke.errors import InvalidInput
from arke.receiver import (
    SigningKey,
    VerificationError,
    is_authentic,
    sign,
    verify,
    verify_bearer,
    verify_standard_webhooks,
)
from arke.receiver.verifier import bearer_token

BODY = b"POST message content"
KEY = "sample_partner_private_key"
SIGNATURE = "+wFdR/afZNoVqtGl8/e1KJ4ykPU="


def test_the_published_vector_verifies() -> None:
    verify(BODY, {"X-Signature": SIGNATURE}, KEY)
    assert sign(BODY, SigningKey(secret=KEY.encode())) == SIGNATURE


@pytest.mark.parametrize(
    ("body", "value", "key"),
    [
        (BODY + b" ", SIGNATURE, KEY),
        (BODY, SIGNATURE[:-2] + "A=", KEY),
        (BODY, SIGNATURE, "x"),
        (BODY, "é", KEY),
    ],
    ids=["body", "signature", "key", "not-ascii"],
)
def test_anything_changed_does_not_verify(body: bytes, value: str, key: str) -> None:
    assert not is_authentic(body, {"X-Signature": value}, key)
    with pytest.raises(VerificationError) as caught:
        verify(body, {"X-Signature": value}, key)
    assert caught.value.forbidden
    assert SIGNATURE not in str(caught.value)


def test_a_missing_header_is_told_apart() -> None:
    with pytest.raises(VerificationError, match="X-Signature") as caught:
        verify(BODY, {}, KEY)
    assert not caught.value.forbidden


def test_rotation_any_key_in_any_repeated_header_is_enough() -> None:
    """The sender signs with the old and the new key; the receiver may know either or both."""
    old, new = SigningKey(secret=b"old"), SigningKey(secret=b"new")
    headers = [("x-signature", sign(BODY, new)), ("X-SIGNATURE", sign(BODY, old))]
    for known in ([old], [new], [old, new], [SigningKey(secret=b"next"), old]):
        assert is_authentic(BODY, headers, known)
    assert not is_authentic(BODY, headers, [SigningKey(secret=b"next")])


def test_a_key_only_counts_in_its_own_header_and_algorithm() -> None:
    key = SigningKey(secret=b"k", header="X-New", algorithm="sha256")
    assert is_authentic(BODY, {"x-new": sign(BODY, key)}, key)
    assert not is_authentic(BODY, {"X-Signature": sign(BODY, key)}, key)
    assert not is_authentic(BODY, {"X-New": sign(BODY, SigningKey(secret=b"k"))}, key)
    assert is_authentic(BODY, {"X-Md5": _md5(BODY)}, "k", header="X-Md5", algorithm="md5")


def _md5(body: bytes) -> str:
    return base64.b64encode(hmac.new(b"k", body, hashlib.md5).digest()).decode()


def test_verifying_against_no_key_is_a_mistake_not_a_pass() -> None:
    with pytest.raises(InvalidInput):
        verify(BODY, {"X-Signature": SIGNATURE}, [])


def test_a_key_does_not_show_its_secret() -> None:
    assert "canary" not in repr(SigningKey(secret=b"canary"))


# The vector published with the Standard Webhooks specification.
WEBHOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
WEBHOOK_HEADERS = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
WEBHOOK_BODY = b'{"test": 2432232314}'


def test_the_standard_webhooks_vector_verifies_and_gives_the_message_id() -> None:
    found = verify_standard_webhooks(WEBHOOK_BODY, WEBHOOK_HEADERS, WEBHOOK_SECRET, now=1614265330)
    assert found == "msg_p5jXN8AQM9LWM0D4loKWxJek"


def test_standard_webhooks_rotation_accepts_any_secret_and_any_signature() -> None:
    headers = {
        **WEBHOOK_HEADERS,
        "webhook-signature": "v1a,x v1,bad " + WEBHOOK_HEADERS["webhook-signature"],
    }
    assert verify_standard_webhooks(WEBHOOK_BODY, headers, [b"other", WEBHOOK_SECRET], now=1614265330)


@pytest.mark.parametrize("now", [1614265330 - 301, 1614265330 + 301])
def test_an_old_or_future_webhook_is_refused(now: float) -> None:
    with pytest.raises(VerificationError, match="timestamp"):
        verify_standard_webhooks(WEBHOOK_BODY, WEBHOOK_HEADERS, WEBHOOK_SECRET, now=now)
    assert verify_standard_webhooks(WEBHOOK_BODY, WEBHOOK_HEADERS, WEBHOOK_SECRET, now=now, tolerance_s=301)


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": "msg_other"},
        {"webhook-timestamp": "1614265331"},
        {"webhook-timestamp": "now"},
        {"webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OA="},
        {"webhook-signature": ""},
    ],
)
def test_a_changed_webhook_header_is_refused(change: dict[str, str]) -> None:
    with pytest.raises(VerificationError):
        verify_standard_webhooks(WEBHOOK_BODY, WEBHOOK_HEADERS | change, WEBHOOK_SECRET, now=1614265330)


@pytest.mark.parametrize("value", ["Bearer good", "bearer good", "BEARER  good"])
def test_a_known_bearer_token_is_accepted_whatever_the_scheme_case(value: str) -> None:
    verify_bearer({"Authorization": value}, ["other", "good"])
    assert bearer_token({"authorization": value}) == "good"


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic good"}, {"Authorization": "Bearer bad"}])
def test_any_other_authorization_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(VerificationError):
        verify_bearer(headers, "good")
