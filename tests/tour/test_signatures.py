"""Signatures, tokens and other bodies: what surrounds the message."""

from __future__ import annotations

import base64
import hmac
from typing import TYPE_CHECKING, Any

import pytest

from tour.stage import COOKIES, Stage, destination, segment, trait

if TYPE_CHECKING:
    from tour.stage import Request

SEGMENTS = [segment(1), segment(2)]
SECRETS = {"ARKE_TOUR_OLD": "old key", "ARKE_TOUR_NEW": "new key", "ARKE_TOUR_BASIC": "canary-credentials"}


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


def one_request(stage: Stage, **options: Any) -> Request:
    stage.catalog(destination(1, 2, **options), segments=SEGMENTS)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    (request,) = stage.play()
    return request


def mac(key: str, body: str, algorithm: str) -> str:
    return base64.b64encode(hmac.new(key.encode(), body.encode(), algorithm).digest()).decode()


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "md5"])
def test_the_signature_is_over_the_body_bytes(stage: Stage, algorithm: str) -> None:
    """HMAC, base64, under the header the partner wants."""
    signature = {"header": "X-Acme-Signature", "algorithm": algorithm, "key": "env:ARKE_TOUR_OLD"}
    request = one_request(stage, signatures=[signature])
    assert request.headers["X-Acme-Signature"] == mac("old key", request.body, algorithm)


def test_sha1_in_x_signature_is_the_default(stage: Stage) -> None:
    """Only the key has to be named."""
    request = one_request(stage, signatures=[{"key": "env:ARKE_TOUR_OLD"}])
    assert request.headers["X-Signature"] == mac("old key", request.body, "sha1")


def test_keys_rotate_with_overlap(stage: Stage) -> None:
    """Both keys sign: the same header twice, in the order listed."""
    keys = [{"key": "env:ARKE_TOUR_NEW"}, {"key": "env:ARKE_TOUR_OLD"}]
    request = one_request(stage, signatures=keys)
    assert request.headers["X-Signature"] == [
        mac("new key", request.body, "sha1"),
        mac("old key", request.body, "sha1"),
    ]


def test_a_missing_secret_owes_the_message_and_says_so(stage: Stage) -> None:
    """Nothing is sent unsigned: not one request; the person who runs it is told why."""
    stage.catalog(destination(1, signatures=[{"key": "env:ARKE_TOUR_NOT_SET"}]), segments=SEGMENTS)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    assert stage.play() == []
    assert stage.summary.owed == 1
    assert stage.summary.complaints == ["destination 423: nothing was sent: secret_unresolved"]


def test_a_token_is_fetched_and_never_written_down(stage: Stage) -> None:
    """OAuth client credentials: the request carries a bearer token, the output hides it."""
    request = one_request(
        stage,
        oauth2={"token_url": "https://dsp.example.com/oauth2/token", "credentials": "env:ARKE_TOUR_BASIC"},
        signatures=[{"key": "env:ARKE_TOUR_OLD"}],
    )
    assert request.headers["Authorization"] == "(hidden)"
    assert request.headers["X-Signature"] == mac("old key", request.body, "sha1")
    assert b"canary" not in stage.output
    assert b"Bearer" not in stage.output


def test_standard_webhooks(stage: Stage) -> None:
    """webhook-id, webhook-timestamp and a v1 signature over all three; a retry repeats them."""
    stage.respond("05-01 11:00:00", 500, 1)
    stage.catalog(destination(1, standard_webhooks={"key": "env:ARKE_TOUR_OLD"}), segments=SEGMENTS)
    stage.see("05-01 12:00:00", ids=[(COOKIES, "a")], memberships={"1": 1})
    first, second = stage.play()
    assert first.headers == second.headers
    identity, stamp = first.headers["webhook-id"], first.headers["webhook-timestamp"]
    assert first.headers["webhook-signature"] == "v1," + mac(
        "old key", f"{identity}.{stamp}.{first.body}", "sha256"
    )


def test_a_destination_may_have_its_own_body(stage: Stage) -> None:
    """`template:` in Audience Manager's macros, signed as it is sent."""
    template = (
        '<PID_ALIAS>:<USER_LIST:{u|<u.dpUuid>=<u.segments:{s|<s.traitAlias>/<s.status>}; separator=",">}>'
    )
    request = one_request(
        stage, template=template, content_type="text/plain", signatures=[{"key": "env:ARKE_TOUR_OLD"}]
    )
    assert request.body == "74323:a=1/1"
    assert request.headers["Content-Type"] == "text/plain"
    assert request.headers["X-Signature"] == mac("old key", request.body, "sha1")


def test_a_body_in_jinja2(stage: Stage) -> None:
    """`template_language: jinja2`, in a sandbox."""
    template = '{"ids": [{% for user in users %}{{ user.partner_id | tojson }}{% endfor %}]}'
    assert one_request(stage, template=template, template_language="jinja2").message == {"ids": ["a"]}


def test_a_body_tells_when_the_change_came_about_and_when_the_device_was_seen(stage: Stage) -> None:
    """GENERATION_TIME and `timestamp`, Unix times: of the message they are only while nothing lies between."""
    template = (
        "<GENERATION_TIME> <USER_LIST:{u|<u.timestamp> <u.segments:{s|in}><u.removedSegments:{s|out}>}>"
    )
    told = destination(1, template=template, content_type="text/plain")
    stage.catalog(told, traits=[trait(1, ttl_days=1)], segments=[segment(1, "1T")])
    stage.see("05-01 09:00:00", None, 1, ids=[(COOKIES, "a")])
    stage.batch("05-03 14:00:00")
    seen, lapsed = 1_777_626_000, 1_777_766_400  # 05-01 09:00, 05-03 00:00
    assert [request.body for request in stage.play()] == [f"{seen} {seen} in", f"{lapsed} {seen} out"]
