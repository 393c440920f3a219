"""Signatures against published vectors, key rotation, Standard Webhooks."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from arke.delivery.secrets import Secrets
from arke.delivery.signing import sign, signature_headers, standard_webhooks_headers
from arke.domain.catalog import HmacAlgorithm, Signature
from arke.domain.secret_text import webhook_keys
from arke.errors import InvalidInput

KEY = b"sample_partner_private_key"
BODY = b"POST message content"


def test_the_documented_vector() -> None:
    """The one in the contract, and in Audience Manager's own documentation."""
    assert sign("sha1", KEY, BODY) == "+wFdR/afZNoVqtGl8/e1KJ4ykPU="


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "md5"])
def test_every_algorithm_agrees_with_the_standard_library(algorithm: HmacAlgorithm) -> None:
    """Written out with hmac.new, the way a receiver would check it."""
    expected = base64.b64encode(hmac.new(KEY, BODY, getattr(hashlib, algorithm)).digest()).decode()
    assert sign(algorithm, KEY, BODY) == expected


def test_every_key_listed_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rotation with overlap: one header twice, and a header of its own, in the order listed."""
    monkeypatch.setenv("ARKE_NEW", "new key ü")
    monkeypatch.setenv("ARKE_OLD", KEY.decode())
    listed = (
        Signature(key="env:ARKE_NEW"),
        Signature(key="env:ARKE_OLD"),
        Signature(key="env:ARKE_OLD", header="X-Sig-256", algorithm="sha256"),
    )
    assert signature_headers(listed, Secrets(), BODY, 0) == [
        ("X-Signature", sign("sha1", "new key ü".encode(), BODY)),
        ("X-Signature", "+wFdR/afZNoVqtGl8/e1KJ4ykPU="),
        ("X-Sig-256", sign("sha256", KEY, BODY)),
    ]


def test_standard_webhooks_vector() -> None:
    """The example that the Standard Webhooks libraries test themselves with."""
    keys = webhook_keys("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = standard_webhooks_headers(
        keys, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert headers == [
        ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
        ("webhook-timestamp", "1614265330"),
        ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    ]


def test_webhook_keys() -> None:
    """Plain text is a key; a broken whsec_ one is an error that does not repeat it."""
    assert webhook_keys("plain") == (b"plain",)
    with pytest.raises(InvalidInput) as caught:
        webhook_keys("whsec_canary!")
    assert "canary" not in str(caught.value)
