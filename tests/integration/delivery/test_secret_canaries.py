"""Canary strings in every secret: none shows in an answer, an error, a repr, a traceback or a log."""

from __future__ import annotations

import asyncio
import logging
import traceback
from typing import TYPE_CHECKING

import pytest
import structlog

from arke.clock import ManualClock
from arke.delivery.https.endpoint import parse_endpoint
from arke.delivery.https.request import HeadTemplate, OutboundRequest
from arke.delivery.oauth import AccessToken, TokenSource
from arke.delivery.secrets import Secrets
from arke.delivery.signing import signature_headers
from arke.domain.catalog import OAuth2, Signature
from arke.errors import InvalidInput
from integration.delivery.certificates import HOST
from integration.delivery.client import client
from integration.delivery.raw_server import Peer, RawServer
from patience import PATIENCE_S

if TYPE_CHECKING:
    from integration.delivery.certificates import Certificates

CANARIES = {
    "ARKE_KEY": "canary-signing-key",
    "ARKE_BASIC": "canary-credentials",
    "token": "canary-access-token",
    "query": "canary-query",
    "body": "canary-personal-data",
}
TOKEN = b'{"token_type":"Bearer","access_token":"canary-access-token"}'
ENDINGS = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno",
    b"canary-access-token is not HTTP\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: canary-access-token",
    b"",
]


@pytest.mark.parametrize("ending", ENDINGS)
def test_no_canary_shows(
    certificates: Certificates,
    ending: bytes,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Through a whole delivery, whichever way it ends, with the event loop's debug output on."""
    for name in ("ARKE_KEY", "ARKE_BASIC"):
        monkeypatch.setenv(name, CANARIES[name])
    shown: list[str] = []

    def behave(peer: Peer) -> None:
        while (request := peer.request()) is not None:
            if request.startswith(b"POST /token"):
                peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(TOKEN), TOKEN))
                continue
            peer.send(ending)
            return

    async def main() -> None:
        poster = client()
        secrets = Secrets()
        tokens = TokenSource(
            poster,
            ManualClock(0.0),
            secrets,
            OAuth2(
                token_url=f"https://{HOST}:{server.port}/token?key=canary-query", credentials="env:ARKE_BASIC"
            ),
            destination=1,
            tls=certificates.trust,
        )
        token = await tokens.token(timeout_s=PATIENCE_S)
        assert isinstance(token, AccessToken), token
        assert token.header == ("Authorization", "Bearer canary-access-token")
        endpoint = parse_endpoint(f"https://{HOST}:{server.port}/a?key=canary-query")
        body = b'{"id":"canary-personal-data"}'
        signed = signature_headers([Signature(key="env:ARKE_KEY")], secrets, body, 0)
        head = HeadTemplate(endpoint).complete(len(body), [token.header, *signed])
        request = OutboundRequest(
            destination=1, kind="realtime", endpoint=endpoint, head=head, body=body, tls=certificates.trust
        )
        answer = await poster.post(request)
        things = (poster, secrets, tokens, token, request, answer, endpoint)
        shown.extend(repr(thing) for thing in things)
        shown.extend((answer.detail, answer.cause, str(endpoint)))
        try:
            HeadTemplate(endpoint).complete(1, [("X", f"{CANARIES['token']}\n")])
        except InvalidInput as error:
            shown.append("".join(traceback.format_exception(error)))
        await poster.close()

    caplog.set_level(logging.DEBUG)
    with structlog.testing.capture_logs() as logs, RawServer(behave, certificates.good) as server:
        asyncio.run(main(), debug=True)
    output = capfd.readouterr()
    everything = "\n".join([*shown, caplog.text, repr(logs), output.out, output.err])
    assert [canary for canary in CANARIES.values() if canary in everything] == []
    assert any(CANARIES["token"].encode() in request for request in server.requests)  # it was really sent
