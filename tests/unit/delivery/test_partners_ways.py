"""What partners want around a message: headers, HTTP Basic, forms of signatures, methods; and tokens that end.

Each test looks at the requests that come out of a channel, or at what is kept of a refusal.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pytest

from arke.delivery.channel import Channel, Delivery, Message, Wire
from arke.delivery.https.ports import Answer
from arke.delivery.secrets import Secrets
from arke.domain.catalog import (
    BasicAuth,
    Destination,
    OAuth2,
    Setting,
    Signature,
    StandardWebhooks,
    Tls,
)
from arke.errors import SecretUnresolved
from arke.receiver import SigningKey, verify, verify_standard_webhooks
from arke.virtual_time import VirtualClock, VirtualTimeLoop, run_virtual
from reachable import AtOnce, Reachable

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from arke.delivery.https.request import OutboundRequest
    from arke.delivery.refusals import Refused

START = 1_767_225_600.0
BODY = b"{}"


class Partner(Reachable):
    """Answers messages as `judge` says of each request; gives out tokens `t1`, `t2`, ... with these `fields`."""

    def __init__(
        self, judge: Callable[[OutboundRequest], Answer | int] = lambda _: 200, **fields: object
    ) -> None:
        self._judge = judge
        self.fields = fields
        self.token_answer: Answer | None = None
        self.requests: list[OutboundRequest] = []
        self.tokens: list[OutboundRequest] = []

    async def post(self, request: OutboundRequest, *, timeout_s: float) -> Answer:
        if request.kind == "token":
            self.tokens.append(request)
            body = json.dumps({"access_token": f"t{len(self.tokens)}", **self.fields}).encode()
            return self.token_answer or Answer(status=200, body=body, sent=True)
        self.requests.append(request)
        answer = self._judge(request)
        return Answer(status=answer, sent=True) if isinstance(answer, int) else answer


class Bench:
    """A channel to a partner on virtual time."""

    def __init__(self, partner: Partner, **options: Any) -> None:
        self.loop = VirtualTimeLoop()
        self.partner = partner
        self.clock = VirtualClock(self.loop, START)
        self.wire = Wire(partner, Secrets(monotonic=self.loop.time))
        self.channel = Channel(destination(**options), self.wire, self.clock)
        self.count = 0

    async def deliver(self) -> Delivery:
        self.count += 1
        message = Message(self.channel.destination, f"m-{self.count}", "realtime", BODY, self.clock.now(), 3)
        return await self.channel.deliver(message, self.channel.sign(message), AtOnce())

    def edit(self, **options: Any) -> None:
        """As a lane does after an edit of the catalog."""
        self.channel = Channel(destination(**options), self.wire, self.clock, self.channel)

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        run_virtual(work, self.loop)

    @property
    def refusals(self) -> list[Refused]:
        return self.wire.refusals.of(423, self.clock.now())


def destination(**options: Any) -> Destination:
    return Destination(id=423, url="https://dsp.example.com/x?k=1", client_id="1", **options)


def one_request(**options: Any) -> OutboundRequest:
    partner = Partner()
    bench = Bench(partner, **options)

    async def main() -> None:
        assert (await bench.deliver()).acknowledged

    bench.run(main())
    return partner.requests[0]


def bearer(request: OutboundRequest) -> str:
    return dict(request.headers())["Authorization"].removeprefix("Bearer ")


OAUTH = OAuth2(token_url="https://token.example.com/t", credentials="env:ARKE_BASIC")


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "ARKE_KEY": "secret",
        "ARKE_API_KEY": "canary-api-key",
        "ARKE_PASSWORD": "canary-password",
        "ARKE_BASIC": base64.b64encode(b"me:canary+secret/1").decode(),
    }.items():
        monkeypatch.setenv(name, value)


# --- tokens -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("fields", [{}, {"expires_in": 3600}], ids=["no end known", "an hour"])
def test_a_token_that_has_ended_is_replaced_for_the_retry(status: int, fields: dict[str, object]) -> None:
    """Whatever its server said of its life, and by whichever of both statuses the destination says so."""
    valid = {"t1"}
    partner = Partner(lambda request: 200 if bearer(request) in valid else status, **fields)
    bench = Bench(partner, oauth2=OAUTH)

    async def main() -> None:
        assert (await bench.deliver()).attempts == 1
        for token in ("t2", "t3"):
            valid.clear()
            valid.add(token)
            assert await bench.deliver() == Delivery(True, "200", attempts=2)
            assert (await bench.deliver()).attempts == 1

    bench.run(main())
    assert len(partner.tokens) == 3


def test_a_new_token_without_a_known_end_may_be_refused_once() -> None:
    """Its server may have given out one that was about to end."""
    partner = Partner(lambda request: 200 if bearer(request) == "t2" else 403)
    bench = Bench(partner, oauth2=OAUTH)

    async def main() -> None:
        assert await bench.deliver() == Delivery(True, "200", attempts=2)

    bench.run(main())
    assert [bearer(request) for request in partner.requests] == ["t1", "t2"]


@pytest.mark.parametrize(("fields", "fetched"), [({"expires_in": 3600}, 1), ({}, 2)])
def test_what_is_forbidden_costs_no_token_a_message(fields: dict[str, object], fetched: int) -> None:
    """An endpoint that answers 403 to everything: two requests a message, and a token a minute."""
    partner = Partner(lambda _: 403, **fields)
    bench = Bench(partner, oauth2=OAUTH)

    async def main() -> None:
        for _ in range(50):
            assert await bench.deliver() == Delivery(False, "403", attempts=2)
        assert len(partner.tokens) == fetched
        await asyncio.sleep(61.0)
        for _ in range(50):
            await bench.deliver()
        assert len(partner.tokens) == fetched + 1

    bench.run(main())
    assert len(partner.requests) == 200


def test_some_messages_are_forbidden_and_others_are_not() -> None:
    """The token is good all the time, and the forbidden ones do not make it anew each time."""
    partner = Partner(lambda request: 403 if int(request.message[2:]) % 2 else 200, expires_in=3600)
    bench = Bench(partner, oauth2=OAUTH)

    async def main() -> None:
        for _ in range(40):
            await bench.deliver()

    bench.run(main())
    assert len(partner.tokens) <= 2


def test_a_token_of_unknown_life_is_used_for_an_hour() -> None:
    partner = Partner()
    bench = Bench(partner, oauth2=OAUTH)

    async def main() -> None:
        await bench.deliver()
        await asyncio.sleep(3_590.0)
        await bench.deliver()
        assert len(partner.tokens) == 1
        await asyncio.sleep(20.0)
        await bench.deliver()

    bench.run(main())
    assert [bearer(request) for request in partner.requests] == ["t1", "t1", "t2"]


def test_an_edit_of_anything_a_token_is_made_from_makes_a_new_one() -> None:
    """TLS files, parameters, the way to say who asks, the URL; and what has nothing to do with it does not."""
    partner = Partner(expires_in=3600)
    bench = Bench(partner, oauth2=OAUTH)
    edits: list[dict[str, Any]] = [
        {"oauth2": OAUTH, "tls": Tls(ca_file="/ca.pem")},
        {"oauth2": OAuth2(token_url=OAUTH.token_url, credentials=OAUTH.credentials, auth="body")},
        {"oauth2": OAuth2(token_url="https://other.example.com/t", credentials=OAUTH.credentials)},
        {
            "oauth2": OAuth2(
                token_url=OAUTH.token_url,
                credentials=OAUTH.credentials,
                params=(Setting(name="scope", value="a"),),
            )
        },
        {"oauth2": OAUTH, "confined": True},
    ]

    async def main() -> None:
        await bench.deliver()
        bench.edit(oauth2=OAUTH, max_users_per_request=5, name="other")
        await bench.deliver()
        assert len(partner.tokens) == 1
        for number, edit in enumerate(edits[:4], 2):
            bench.edit(**edit)
            await bench.deliver()
            assert len(partner.tokens) == number, edit

    bench.run(main())
    assert partner.tokens[1].tls == Tls(ca_file="/ca.pem")
    assert partner.requests[2].tls == Tls(ca_file="/ca.pem")


def test_a_token_server_may_have_tls_of_its_own() -> None:
    own, its = Tls(ca_file="/api.pem"), Tls(ca_file="/idp.pem", client_cert="/me.pem")
    oauth = OAuth2(token_url=OAUTH.token_url, credentials=OAUTH.credentials, tls=its)
    partner = Partner()
    bench = Bench(partner, oauth2=oauth, tls=own)

    async def main() -> None:
        await bench.deliver()

    bench.run(main())
    assert (partner.tokens[0].tls, partner.requests[0].tls) == (its, own)


def test_credentials_with_another_value_make_a_new_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the second in which secrets are looked at again, and without a restart. While they are being replaced
    the token goes on.
    """
    partner = Partner(expires_in=3600)
    bench = Bench(partner, oauth2=OAUTH)

    async def main() -> None:
        await bench.deliver()
        monkeypatch.delenv("ARKE_BASIC")
        await asyncio.sleep(1.5)
        assert (await bench.deliver()).acknowledged
        monkeypatch.setenv("ARKE_BASIC", "rotated")
        await asyncio.sleep(1.5)
        await bench.deliver()

    bench.run(main())
    asked = [dict(request.headers())["Authorization"] for request in partner.tokens]
    assert (len(asked), asked[1]) == (2, "Basic rotated")


def test_parameters_and_the_client_go_into_the_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARKE_RESOURCE", "urn:a b&c")
    params = (
        Setting(name="scope", value="audience:write audience:read"),
        Setting(name="resource", value="env:ARKE_RESOURCE"),
    )
    partner = Partner()
    oauth = OAuth2(token_url=OAUTH.token_url, credentials=OAUTH.credentials, auth="body", params=params)
    bench = Bench(partner, oauth2=oauth)

    async def main() -> None:
        assert (await bench.deliver()).acknowledged

    bench.run(main())
    (request,) = partner.tokens
    assert "Authorization" not in dict(request.headers())
    assert dict(request.headers())["Content-Length"] == str(len(request.body))
    assert parse_qsl(request.body.decode(), strict_parsing=True) == [
        ("grant_type", "client_credentials"),
        ("client_id", "me"),
        ("client_secret", "canary+secret/1"),
        ("scope", "audience:write audience:read"),
        ("resource", "urn:a b&c"),
    ]


def test_a_client_may_be_named_by_parameters_alone() -> None:
    params = (
        Setting(name="client_id", value="me"),
        Setting(name="client_secret", value="env:ARKE_PASSWORD"),
    )
    partner = Partner()
    bench = Bench(partner, oauth2=OAuth2(token_url=OAUTH.token_url, auth="body", params=params))

    async def main() -> None:
        assert (await bench.deliver()).acknowledged

    bench.run(main())
    assert partner.tokens[0].body == (
        b"grant_type=client_credentials&client_id=me&client_secret=canary-password"
    )


def test_credentials_that_name_no_client_send_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARKE_BASIC", "canary")
    partner = Partner()
    oauth = OAuth2(token_url=OAUTH.token_url, credentials=OAUTH.credentials, auth="body")
    bench = Bench(partner, oauth2=oauth)

    async def main() -> None:
        assert (await bench.deliver()).answer == "oauth_credentials"

    bench.run(main())
    assert not partner.tokens
    assert "neither NAME:PASSWORD nor base64" in bench.refusals[0].detail
    assert "env:ARKE_BASIC" in bench.refusals[0].detail


# --- headers ----------------------------------------------------------------------------------------------


def test_headers_are_constants_and_secrets() -> None:
    headers = (Setting(name="X-Version", value="2"), Setting(name="X-Api-Key", value="env:ARKE_API_KEY"))
    request = one_request(headers=headers)
    sent = dict(request.headers())
    assert (sent["X-Version"], sent["X-Api-Key"]) == ("2", "canary-api-key")
    assert request.hidden == {"authorization", "x-api-key"}


def test_a_header_follows_its_secret_and_both_attempts_have_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = iter([200, 500, 200])
    partner = Partner(lambda _: next(answers))
    bench = Bench(partner, headers=(Setting(name="X-Api-Key", value="env:ARKE_API_KEY"),))

    async def main() -> None:
        await bench.deliver()
        monkeypatch.setenv("ARKE_API_KEY", "rotated")
        await asyncio.sleep(1.5)
        await bench.deliver()

    bench.run(main())
    keys = [dict(request.headers())["X-Api-Key"] for request in partner.requests]
    assert keys == ["canary-api-key", "rotated", "rotated"]


@pytest.mark.parametrize("value", ["a\r\nX-B: c", "a\nb", "Grüße €", "Grüße"])
def test_a_secret_that_no_header_carries_is_refused_unseen(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARKE_API_KEY", value)
    with pytest.raises(SecretUnresolved, match="env:ARKE_API_KEY: the secret has characters") as caught:
        one_request(headers=(Setting(name="X-Api-Key", value="env:ARKE_API_KEY"),))
    assert value not in str(caught.value)


@pytest.mark.parametrize(
    "auth",
    [
        BasicAuth(username="me", password="env:ARKE_PASSWORD"),
        BasicAuth(username="env:ARKE_USER", password="env:ARKE_PASSWORD"),
        BasicAuth(pair="env:ARKE_PAIR"),
        BasicAuth(pair="env:ARKE_PACKED"),
    ],
)
def test_basic_auth(auth: BasicAuth, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = base64.b64encode(b"me:canary-password").decode()
    monkeypatch.setenv("ARKE_USER", "me")
    monkeypatch.setenv("ARKE_PAIR", "me:canary-password")
    monkeypatch.setenv("ARKE_PACKED", packed)
    assert dict(one_request(basic_auth=auth).headers())["Authorization"] == f"Basic {packed}"


@pytest.mark.parametrize(
    ("auth", "problem"),
    [
        (BasicAuth(pair="env:ARKE_PASSWORD"), "neither NAME:PASSWORD nor base64 of that"),
        (BasicAuth(username="env:ARKE_PAIR", password="env:ARKE_PASSWORD"), "must not hold a colon"),
        (BasicAuth(username="me", password="env:ARKE_NOT_SET"), "is not set"),
    ],
)
def test_basic_auth_that_cannot_be_right_is_refused(
    auth: BasicAuth, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARKE_PAIR", "me:canary-password")
    with pytest.raises(SecretUnresolved, match=problem) as caught:
        one_request(basic_auth=auth)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_method_and_content_type(method: str) -> None:
    request = one_request(method=method, content_type="application/json; charset=utf-8")
    assert request.head.startswith(f"{method} /x?k=1 HTTP/1.1\r\n".encode())
    assert request.method == method
    assert dict(request.headers())["Content-Type"] == "application/json; charset=utf-8"


# --- signatures -------------------------------------------------------------------------------------------


def mac(signed: bytes, algorithm: str = "sha256") -> str:
    return hmac.new(b"secret", signed, getattr(hashlib, algorithm)).hexdigest()


SCHEMES: list[tuple[dict[str, Any], dict[str, str]]] = [
    (
        {"header": "X-Hub-Signature-256", "algorithm": "sha256", "encoding": "hex", "prefix": "sha256="},
        {"X-Hub-Signature-256": f"sha256={mac(BODY)}"},
    ),
    (
        {
            "header": "Stripe-Signature",
            "algorithm": "sha256",
            "encoding": "hex",
            "prefix": "t={timestamp},v1=",
            "signs": "{timestamp}.{body}",
        },
        {"Stripe-Signature": f"t=1767225600,v1={mac(b'1767225600.{}')}"},
    ),
    (
        {
            "header": "X-Slack-Signature",
            "algorithm": "sha256",
            "encoding": "hex",
            "prefix": "v0=",
            "signs": "v0:{timestamp}:{body}",
            "timestamp_header": "X-Slack-Request-Timestamp",
        },
        {
            "X-Slack-Signature": f"v0={mac(b'v0:1767225600:{}')}",
            "X-Slack-Request-Timestamp": "1767225600",
        },
    ),
    (
        {"algorithm": "sha512"},
        {"X-Signature": base64.b64encode(bytes.fromhex(mac(BODY, "sha512"))).decode()},
    ),
    ({"algorithm": "sha1", "encoding": "hex"}, {"X-Signature": mac(BODY, "sha1")}),
]


@pytest.mark.parametrize(("scheme", "expected"), SCHEMES)
def test_signatures_as_the_field_writes_them(scheme: dict[str, Any], expected: dict[str, str]) -> None:
    """And the receiver kit reads each, within five minutes of its time stamp."""
    request = one_request(signatures=(Signature(key="env:ARKE_KEY", **scheme),))
    sent = dict(request.headers())
    assert expected.items() <= sent.items()
    key = SigningKey(secret=b"secret", **scheme)
    verify(BODY, request.headers(), key, now=START + 299)
    for body, at in ((BODY + b" ", START), *([(BODY, START + 301)] if "signs" in scheme else [])):
        with pytest.raises(Exception, match=r"matches the body|time stamp"):
            verify(body, request.headers(), key, now=at)


def test_the_retry_has_the_time_stamp_of_the_first_attempt() -> None:
    answers = iter([500, 200])
    partner = Partner(lambda _: next(answers))
    signature = Signature(key="env:ARKE_KEY", **SCHEMES[2][0])
    bench = Bench(partner, signatures=(signature,))
    bench.wire = Wire(partner, bench.wire.secrets, retry_delay_s=5.0)
    bench.edit(signatures=(signature,))

    async def main() -> None:
        assert await bench.deliver() == Delivery(True, "200", attempts=2)

    bench.run(main())
    first, second = partner.requests
    assert (first.head, first.body) == (second.head, second.body)


WEBHOOK_KEY = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
WITH_SIGNS = bytes([0xFB, 0xEF, 0xBE, *range(24)])


@pytest.mark.parametrize(
    ("secret", "key"),
    [
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", WEBHOOK_KEY),
        ("v1,whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", WEBHOOK_KEY),
        (f"whsec_{base64.b64encode(WITH_SIGNS).decode()}", WITH_SIGNS),
        (f"whsec_{base64.urlsafe_b64encode(WITH_SIGNS).decode()}", WITH_SIGNS),
        (f"whsec_{base64.b64encode(b'k' * 25).decode().rstrip('=')}", b"k" * 25),
        ("a plain text", b"a plain text"),
    ],
)
def test_standard_webhooks_keys_as_they_are_given_out(
    secret: str, key: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARKE_WEBHOOK", secret)
    sent = one_request(standard_webhooks=StandardWebhooks(key="env:ARKE_WEBHOOK")).headers()
    verify_standard_webhooks(BODY, sent, key, now=START)
    verify_standard_webhooks(BODY, sent, secret, now=START)


@pytest.mark.parametrize(
    "secret",
    [
        "whsec_",
        "whsec_canary!",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS",  # a letter is missing
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwA",  # one too many
        "whsec_+_KQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",  # of two alphabets
        "WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "key=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw|plain",
        "whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "v1a,whpk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",  # whose text the receiver's library would decode
    ],
)
def test_a_webhook_key_that_may_be_read_wrongly_is_refused(
    secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARKE_WEBHOOK", secret)
    with pytest.raises(SecretUnresolved, match="env:ARKE_WEBHOOK: ") as caught:
        one_request(standard_webhooks=StandardWebhooks(key="env:ARKE_WEBHOOK"))
    assert "MfKQ" not in str(caught.value)
    assert "canary" not in str(caught.value)


def test_raw_says_that_the_text_is_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    monkeypatch.setenv("ARKE_WEBHOOK", text)
    sent = one_request(standard_webhooks=StandardWebhooks(key="env:ARKE_WEBHOOK", raw=True)).headers()
    verify_standard_webhooks(BODY, sent, text.encode(), now=START)


def test_standard_webhooks_keys_rotate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of a list signs, also those that one secret lists, and each once; with blanks between signatures."""
    monkeypatch.setenv(
        "ARKE_NEW", "v1,whsec_bmV3bmV3bmV3bmV3bmV3bmV3|v1,whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    )
    monkeypatch.setenv("ARKE_OLD", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    webhooks = StandardWebhooks(key="env:ARKE_NEW", more=(StandardWebhooks(key="env:ARKE_OLD"),))
    request = one_request(standard_webhooks=webhooks)
    names = [name for name, _ in request.headers() if name.startswith("webhook-")]
    assert names == ["webhook-id", "webhook-timestamp", "webhook-signature"]
    signatures = dict(request.headers())["webhook-signature"].split(" ")
    assert len(signatures) == 2
    assert all(one.startswith("v1,") for one in signatures)
    for key in (b"newnewnewnewnewnew", WEBHOOK_KEY):
        verify_standard_webhooks(BODY, request.headers(), key, now=START)


# --- refusals ---------------------------------------------------------------------------------------------


def test_a_refusal_is_kept_with_what_was_said() -> None:
    said = b'{"error":"no such user",\x1b[2J"a":"' + b"x" * 3_000 + b'"}'
    partner = Partner(lambda _: Answer(status=400, body=said, sent=True))
    bench = Bench(partner)

    async def main() -> None:
        await bench.deliver()

    bench.run(main())
    (refused,) = bench.refusals
    assert (refused.status, refused.answer, refused.users, refused.attempts) == (400, "400", 3, 2)
    assert (refused.message, refused.kind, refused.cut) == ("m-1", "realtime", True)
    assert refused.body.startswith('{"error":"no such user",\\x1b[2J"a":"xxx')
    assert len(refused.body) == 2_048 + len("\\x1b") - 1
    assert refused.at == "2026-01-01T00:00:00Z"


def test_the_newest_are_kept_and_the_same_one_is_counted() -> None:
    numbers = iter(range(100))
    partner = Partner(lambda _: Answer(status=400, body=b"%d" % (next(numbers) // 2), sent=True))
    bench = Bench(partner)

    async def main() -> None:
        for _ in range(30):
            await bench.deliver()
            await asyncio.sleep(1.0)

    bench.run(main())
    assert [refused.body for refused in bench.refusals] == [str(29 - number) for number in range(20)]
    down = Partner(lambda _: Answer(reason="connect", cause="connect_refused", detail="refused"))
    bench = Bench(down)
    bench.run(main())
    (refused,) = bench.refusals
    assert (refused.answer, refused.times, refused.status, refused.message) == (
        "connect_refused",
        30,
        None,
        "m-30",
    )
    assert refused.first_at < refused.at


def test_what_is_acknowledged_in_the_end_was_not_refused() -> None:
    answers = iter([500, 200])
    bench = Bench(Partner(lambda _: next(answers)))

    async def main() -> None:
        assert (await bench.deliver()).acknowledged

    bench.run(main())
    assert bench.refusals == []


def test_a_token_servers_refusal_shows_what_rfc_6749_has_and_no_secret() -> None:
    """Escaped, cut, and without the secret that it repeats, in whatever way."""
    packed = base64.b64encode(b"me:canary+secret/1").decode()
    description = f"client me\n with canary+secret/1 ({packed}) {'y' * 1_000}"
    body = json.dumps({"error": "invalid_target", "error_description": description}).encode()
    partner = Partner()
    partner.token_answer = Answer(status=400, body=body + b" canary%2Bsecret%2F1", sent=True)
    bench = Bench(partner, oauth2=OAUTH)

    async def main() -> None:
        assert (await bench.deliver()).answer == "oauth_status"
        partner.token_answer = Answer(status=401, body=body, sent=True)
        await bench.deliver()

    bench.run(main())
    refused = bench.refusals[0]
    assert refused.oauth is not None
    assert (refused.oauth.status, refused.oauth.error) == (401, "invalid_target")
    assert refused.oauth.error_description.startswith("client me\\n with (hidden) ((hidden)) yyy")
    assert len(refused.oauth.error_description) < 520
    assert "answered 401" in refused.detail
    assert "canary" not in repr(bench.refusals)
    assert packed not in repr(bench.refusals)


def test_no_secret_that_went_out_is_shown() -> None:
    """An endpoint that repeats what it was sent: API key, bearer token, user name and password."""

    def echo(request: OutboundRequest) -> Answer:
        return Answer(status=403, body=request.head + json.dumps("canary-password").encode(), sent=True)

    headers = (Setting(name="X-Api-Key", value="env:ARKE_API_KEY"),)
    partner = Partner(echo)
    partner.fields = {"access_token": "canary-token"}
    for options in (
        {"headers": headers, "basic_auth": BasicAuth(username="me", password="env:ARKE_PASSWORD")},
        {"headers": headers, "oauth2": OAUTH},
    ):
        bench = Bench(partner, **options)

        async def main(bench: Bench = bench) -> None:
            await bench.deliver()

        bench.run(main())
        body = bench.refusals[0].body
        assert "X-Api-Key: (hidden)" in body
        for secret in ("canary-api-key", "canary-token", base64.b64encode(b"me:canary-password").decode()):
            assert secret not in body
        assert ("canary-password" in body) == ("basic_auth" not in options)
