"""Tokens: the exact request, caching, single flight, and every way a token server can fail."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import TYPE_CHECKING

import pytest

from arke import __version__
from arke.clock import ManualClock
from arke.delivery.https.ports import Answer
from arke.delivery.oauth import AccessToken, TokenSource
from arke.delivery.secrets import Secrets
from arke.domain.catalog import OAuth2
from patience import PATIENCE_S
from reachable import Reachable

if TYPE_CHECKING:
    from arke.delivery.https.request import OutboundRequest

CREDENTIALS = "zq2LOO1CcYGrODS5nXiNHpEz97eCpVHAoMF8pAgCntXAzxp5uRV7DTAE2qtPLjhMQwrEX3O6MHV4S"
# Header set, order and body as Audience Manager documents them.
REQUEST = (
    "POST /oauth2/token HTTP/1.1\r\n"
    "Host: api.partner.com\r\n"
    f"User-Agent: Arke/{__version__}\r\n"
    f"Authorization: Basic {CREDENTIALS}\r\n"
    "Content-Type: application/x-www-form-urlencoded;charset=UTF-8\r\n"
    "Content-Length: 29\r\n"
    "Accept-Encoding: gzip\r\n"
    "\r\n"
    "grant_type=client_credentials"
)


class TokenServer(Reachable):
    """A poster that answers like a token server: tokens named by number, or what a test puts in."""

    def __init__(self, **fields: object) -> None:
        self.requests: list[OutboundRequest] = []
        self.fields = fields
        self.answer: Answer | None = None
        self.gate: asyncio.Event | None = None

    async def post(self, request: OutboundRequest, *, timeout_s: float) -> Answer:
        self.requests.append(request)
        number = len(self.requests)
        if self.gate is not None:
            await self.gate.wait()
        if self.answer is not None:
            return self.answer
        return answer({"token_type": "bearer", "access_token": f"t{number}", **self.fields})


def answer(body: object, status: int = 200) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status=status, body=raw, sent=True)


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARKE_BASIC", CREDENTIALS)


def source(server: TokenServer, clock: ManualClock | None = None) -> TokenSource:
    oauth = OAuth2(token_url="https://api.partner.com/oauth2/token", credentials="env:ARKE_BASIC")
    return TokenSource(
        server,
        clock or ManualClock(1000.0),
        Secrets(),
        oauth,
        destination=423,
    )


async def text(tokens: TokenSource) -> str:
    token = await tokens.token(timeout_s=PATIENCE_S)
    assert isinstance(token, AccessToken), token
    return token.header[1]


def failed(response: Answer) -> Answer:
    """What a source makes of this answer from the token server."""
    server = TokenServer()
    server.answer = response
    result = asyncio.run(source(server).token(timeout_s=PATIENCE_S))
    assert isinstance(result, Answer)
    assert result.reason == "oauth"
    assert result.status is None
    return result


def test_the_request_to_the_byte() -> None:
    """Credentials verbatim after Basic, our own User-Agent, everything else as documented."""
    server = TokenServer()
    assert asyncio.run(text(source(server))) == "Bearer t1"
    request = server.requests[0]
    assert (request.head + request.body).decode() == REQUEST
    assert request.body_limit == 65_536
    assert (request.destination, request.kind, request.message, request.attempt) == (423, "token", "", 1)


def test_without_expiry_a_token_is_kept_for_an_hour_or_until_it_is_refused() -> None:
    """The documented response has no expires_in; a 401 drops the token, and only the one it was about."""

    async def main() -> None:
        server, clock = TokenServer(), ManualClock(0.0)
        tokens = source(server, clock)
        first = await tokens.token(timeout_s=PATIENCE_S)
        assert isinstance(first, AccessToken)
        clock.set(3_599.9)
        assert await text(tokens) == "Bearer t1"
        tokens.refused(first, 401, object(), last=False)
        assert await text(tokens) == "Bearer t2"
        tokens.refused(first, 401, object(), last=False)  # a late 401 for the old token
        assert await text(tokens) == "Bearer t2"
        clock.set(7_199.9)
        assert await text(tokens) == "Bearer t3"

    asyncio.run(main())


@pytest.mark.parametrize(
    ("expires_in", "kept_s"),
    [(3600, 3240.0), ("3600", 3240.0), (20, 15.0), (30.5, 25.5), (4, 0.0), (0, 0.0), (-1, 0.0)],
)
def test_expiry_has_a_margin(expires_in: object, kept_s: float) -> None:
    """A tenth of the life and at least five seconds; a token shorter than that is used once."""

    async def main() -> None:
        server, clock = TokenServer(expires_in=expires_in), ManualClock(1000.0)
        tokens = source(server, clock)
        await text(tokens)
        if kept_s:
            clock.set(1000.0 + kept_s - 0.001)
            assert await text(tokens) == "Bearer t1"
        clock.set(1000.0 + kept_s)
        assert await text(tokens) == "Bearer t2"

    asyncio.run(main())


@pytest.mark.parametrize(
    "written",
    [
        *("1e400", "-1e400", "9" * 400, "-" + "9" * 4_200, "9" * 5_000, f'"{"9" * 400}"', f'"{"9" * 5_000}"'),
        *('"soon"', '""', "true", "[60]", '{"seconds": 60}', "null"),
    ],
)
def test_an_expiry_that_says_nothing_costs_no_token(written: str) -> None:
    """It is then kept as one without, an hour. Servers that write a byte order mark are understood, too."""

    async def main() -> None:
        server, clock = TokenServer(), ManualClock(1000.0)
        server.answer = answer(f'\ufeff{{"access_token": "t", "expires_in": {written}}}'.encode())
        tokens = source(server, clock)
        assert await text(tokens) == "Bearer t"
        clock.set(1000.0 + 3_599.9)
        assert await text(tokens) == "Bearer t"
        assert len(server.requests) == 1

    asyncio.run(main())


def test_many_callers_cause_one_fetch() -> None:
    """Single flight, and a caller that is cancelled or out of time takes nothing from the others."""

    async def main() -> None:
        server = TokenServer()
        server.gate = asyncio.Event()
        tokens = source(server)
        cancelled = asyncio.create_task(tokens.token(timeout_s=PATIENCE_S))
        others = [asyncio.create_task(text(tokens)) for _ in range(50)]
        impatient = await tokens.token(timeout_s=0.01)
        assert isinstance(impatient, Answer)
        assert (impatient.reason, impatient.cause) == ("oauth", "oauth_timeout")
        cancelled.cancel()
        server.gate.set()
        assert set(await asyncio.gather(*others)) == {"Bearer t1"}
        assert len(server.requests) == 1

    asyncio.run(main())


def test_a_failure_is_not_kept() -> None:
    """The next caller asks again."""

    async def main() -> None:
        server = TokenServer()
        server.answer = answer({}, 503)
        tokens = source(server)
        assert isinstance(await tokens.token(timeout_s=PATIENCE_S), Answer)
        server.answer = None
        assert await text(tokens) == "Bearer t2"

    asyncio.run(main())


def test_gzip_only_when_the_bytes_are() -> None:
    """Decided by the bytes, since the documented sample calls plain JSON gzip."""
    body = gzip.compress(json.dumps({"token_type": "BEARER", "access_token": "zipped"}).encode())
    server = TokenServer()
    server.answer = answer(body)
    assert asyncio.run(text(source(server))) == "Bearer zipped"


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        (b"", "oauth_bad_response"),
        (b"<html>", "oauth_bad_response"),
        (b"[" * 60_000, "oauth_bad_response"),
        (b"\xff", "oauth_bad_response"),
        (gzip.compress(bytes(10_000_000), mtime=0), "oauth_bad_response"),
        (gzip.compress(b"{}" * 100, mtime=0)[:-9], "oauth_bad_response"),
        ({"token_type": "Bearer"}, "oauth_bad_response"),
        ({"access_token": 5}, "oauth_bad_response"),
        ({"access_token": ""}, "oauth_bad_response"),
        ({"access_token": "canary\r\nX: y"}, "oauth_bad_response"),
        ({"access_token": "canary", "token_type": "mac"}, "oauth_token_type"),
    ],
)
def test_bad_token_responses(body: object, cause: str) -> None:
    """Named, and never repeated."""
    result = failed(answer(body))
    assert result.cause == cause
    assert "canary" not in repr(result) + result.detail


def test_a_refusal_tells_the_standard_error_code_only() -> None:
    """`invalid_client` helps; whatever else a server echoes stays out."""
    assert "(invalid_client)" in failed(answer({"error": "invalid_client"}, 401)).detail
    assert "canary" not in failed(answer({"error": "canary"}, 400)).detail


def test_a_network_failure_keeps_its_cause() -> None:
    """So that an operator sees that the token server's certificate has expired."""
    result = failed(Answer(reason="tls", cause="tls_certificate_expired", detail="expired"))
    assert result.cause == "oauth_tls_certificate_expired"


def test_missing_or_unusable_credentials_send_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing secret names its reference; one that a header cannot carry is refused unseen."""
    server = TokenServer()
    monkeypatch.setenv("ARKE_BASIC", "canary\r\nX: y")
    broken = asyncio.run(source(server).token(timeout_s=PATIENCE_S))
    assert isinstance(broken, Answer)
    assert broken.cause == "oauth_credentials"
    assert "canary" not in broken.detail
    monkeypatch.delenv("ARKE_BASIC")
    missing = asyncio.run(source(server).token(timeout_s=PATIENCE_S))
    assert isinstance(missing, Answer)
    assert missing.reason == "secret"
    assert "env:ARKE_BASIC" in missing.detail
    assert not server.requests


def test_close_stops_a_fetch_and_may_be_called_twice() -> None:
    """Closing before, during and after a fetch."""

    async def main() -> None:
        server = TokenServer()
        server.gate = asyncio.Event()
        tokens = source(server)
        await tokens.close()
        waiting = asyncio.create_task(tokens.token(timeout_s=PATIENCE_S))
        while not server.requests:
            await asyncio.sleep(0)
        await tokens.close()
        await tokens.close()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(main())


def test_sloppy_answers_are_counted_once() -> None:
    server = TokenServer()
    server.answer = Answer(status=200, body=b'{"access_token":"t"}', sent=True, sloppy=True)
    tokens = source(server)
    assert asyncio.run(text(tokens)) == "Bearer t"
    assert (tokens.take_sloppy(), tokens.take_sloppy()) == (1, 0)
