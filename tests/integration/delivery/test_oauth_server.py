"""Tokens from a real OAuth server (Authlib on Flask, over TLS), used on an API that introspects them."""

from __future__ import annotations

import asyncio
import base64
import threading
from typing import TYPE_CHECKING, Any

import pytest
from authlib.integrations.flask_oauth2 import AuthorizationServer, ResourceProtector
from authlib.oauth2.rfc6749 import ClientMixin, TokenMixin, grants
from authlib.oauth2.rfc6750 import BearerTokenValidator
from flask import Flask, Response
from werkzeug.serving import WSGIRequestHandler, make_server

from arke.clock import ManualClock
from arke.delivery.https.endpoint import parse_endpoint
from arke.delivery.https.ports import Answer
from arke.delivery.https.request import HeadTemplate, OutboundRequest
from arke.delivery.oauth import AccessToken, TokenSource
from arke.delivery.secrets import Secrets
from arke.domain.catalog import OAuth2
from integration.delivery.certificates import HOST
from integration.delivery.client import client
from patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integration.delivery.certificates import Certificates
    from integration.delivery.client import PatientClient

LIFETIME_S = 100


class Partner(ClientMixin):  # type: ignore[misc]
    """The one registered client."""

    client_id = "arke"
    client_secret = "partner-secret"

    def get_client_id(self) -> str:
        return self.client_id

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == self.client_secret

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "client_secret_basic"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "client_credentials"

    def get_allowed_scope(self, scope: str | None) -> str:
        return scope or ""


class Issued(TokenMixin):  # type: ignore[misc]
    """A token the server has given out."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._expires_at = clock.now() + LIFETIME_S
        self.revoked = False

    def get_scope(self) -> str:
        return ""

    def is_expired(self) -> bool:
        return self._clock.now() >= self._expires_at

    def is_revoked(self) -> bool:
        return self.revoked


class Destination:
    """A destination platform with a token endpoint and an API behind it."""

    def __init__(self, clock: ManualClock) -> None:
        self.issued: dict[str, Issued] = {}
        self.published: list[int] = []
        self.app = Flask("destination")
        self.app.config["OAUTH2_TOKEN_EXPIRES_IN"] = {"client_credentials": LIFETIME_S}
        partner = Partner()
        server = AuthorizationServer(
            self.app,
            query_client=lambda client_id: partner if client_id == partner.client_id else None,
            save_token=lambda token, _: self.issued.update({token["access_token"]: Issued(clock)}),
        )
        server.register_grant(grants.ClientCredentialsGrant)
        protector = ResourceProtector()
        issued = self.issued

        class Validator(BearerTokenValidator):  # type: ignore[misc]
            """Introspects a bearer token: known, not expired, not revoked."""

            def authenticate_token(self, token_string: str) -> Issued | None:
                return issued.get(token_string)

        protector.register_token_validator(Validator())

        @self.app.post("/oauth2/token")
        def token() -> Any:
            return server.create_token_response()

        @self.app.post("/segments/aam")
        @protector(None)  # type: ignore[untyped-decorator]
        def publish() -> Response:
            self.published.append(len(self.issued))
            return Response("ok")


class Quiet(WSGIRequestHandler):
    """Keeps connections alive and the test output empty."""

    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug's name
        pass


class Platform:
    """The running destination, and Arke's side of it."""

    def __init__(self, destination: Destination, port: int, clock: ManualClock, tls: Any) -> None:
        self.destination = destination
        self.clock = clock
        self._tls = tls
        self._api = parse_endpoint(f"https://{HOST}:{port}/segments/aam")
        self._token_url = f"https://{HOST}:{port}/oauth2/token"

    def tokens(self, poster: PatientClient) -> TokenSource:
        return TokenSource(
            poster,
            self.clock,
            Secrets(),
            OAuth2(token_url=self._token_url, credentials="env:ARKE_BASIC"),
            destination=1,
            tls=self._tls,
        )

    async def publish(self, poster: PatientClient, token: AccessToken) -> Answer:
        head = HeadTemplate(self._api).complete(2, [token.header])
        request = OutboundRequest(
            destination=1, kind="realtime", endpoint=self._api, head=head, body=b"{}", tls=self._tls
        )
        return await poster.post(request)


@pytest.fixture
def platform(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    monkeypatch.setenv("ARKE_BASIC", base64.b64encode(b"arke:partner-secret").decode())
    clock = ManualClock(1_000_000.0)
    destination = Destination(clock)
    server = make_server(
        "127.0.0.1", 0, destination.app, threaded=True, request_handler=Quiet, ssl_context=certificates.good
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield Platform(destination, server.server_port, clock, certificates.trust)
    server.shutdown()
    thread.join()
    server.server_close()


def test_fetch_use_expire_revoke(platform: Platform) -> None:
    """A token is used until shortly before it expires; a revoked one is replaced after the 401."""

    async def main() -> None:
        poster = client()
        tokens = platform.tokens(poster)

        async def publish() -> tuple[AccessToken, int | None]:
            token = await tokens.token(timeout_s=PATIENCE_S)
            assert isinstance(token, AccessToken), token
            return token, (await platform.publish(poster, token)).status

        first, status = await publish()
        again, _ = await publish()
        assert (status, again is first) == (200, True)
        platform.clock.set(platform.clock.now() + LIFETIME_S - 9)  # inside the margin of a tenth
        second, status = await publish()
        assert (status, second is first) == (200, False)
        for issued in platform.destination.issued.values():
            issued.revoked = True
        refused, status = await publish()
        assert (status, refused is second) == (401, True)
        tokens.refused(refused, 401, object(), last=False)
        _, status = await publish()
        assert status == 200
        assert platform.destination.published == [1, 1, 2, 3]
        await tokens.close()
        await poster.close()

    asyncio.run(main())


def test_wrong_credentials_are_told_and_not_shown(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's `invalid_client` reaches the operator; the credentials do not."""
    wrong = base64.b64encode(b"arke:canary").decode()
    monkeypatch.setenv("ARKE_BASIC", wrong)

    async def main() -> None:
        poster = client()
        result = await platform.tokens(poster).token(timeout_s=PATIENCE_S)
        assert isinstance(result, Answer)
        assert (result.reason, result.cause) == ("oauth", "oauth_status")
        assert "401 (invalid_client)" in result.detail
        assert wrong not in result.detail
        await poster.close()

    asyncio.run(main())
