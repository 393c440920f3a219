"""Client certificates, and trust and certificate files that change while Arke runs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog
import trustme

from arke.delivery.https.tls import TlsContexts
from arke.domain.catalog import Tls
from integration.delivery.client import client, message, run_on
from integration.delivery.raw_server import Peer, RawServer

if TYPE_CHECKING:
    from pathlib import Path

    from integration.delivery.certificates import Certificates


class Ticks:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def names_client(peer: Peer) -> None:
    """Answers with the name in the client's certificate."""
    while peer.request() is not None:
        name = peer.client_name().encode()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(name), name))


def test_mutual_tls(certificates: Certificates, loop: str) -> None:
    """The client's certificate reaches the server; without one, or with a stranger's, there is no request."""
    known, stranger = certificates.client("known"), certificates.client("stranger", trustme.CA())

    async def main() -> None:
        poster = client()
        answer = await poster.post(message(server.port, known))
        assert (answer.status, answer.body) == (200, b"known")
        for refused in (certificates.trust, stranger):
            answer = await poster.post(message(server.port, refused))
            # TLS 1.3 servers refuse after the handshake, and the alert may lose a race against the reset
            assert answer.cause in ("tls_client_certificate", "reset_before_response"), answer.detail
        await poster.close()

    with RawServer(names_client, certificates.wants_client()) as server:
        run_on(loop, main)
    assert len(server.requests) == 1


def test_profiles_do_not_share_connections(certificates: Certificates) -> None:
    """Two destinations on one host with different client certificates keep their identities apart."""
    first, second = certificates.client("first"), certificates.client("second")

    async def main() -> None:
        poster = client()
        for profile, name in ((first, b"first"), (second, b"second"), (first, b"first")):
            assert (await poster.post(message(server.port, profile))).body == name
        await poster.close()

    with RawServer(names_client, certificates.wants_client()) as server:
        asyncio.run(main())
    assert server.connections == 2


def test_replaced_files_take_effect(certificates: Certificates) -> None:
    """A new client certificate is used after the recheck; a broken one changes nothing."""
    profile = certificates.client("rotating")
    ticks = Ticks()

    async def main() -> None:
        poster = client(contexts=TlsContexts(recheck_s=1.0, monotonic=ticks))
        request = message(server.port, profile)
        assert (await poster.post(request)).body == b"rotating"
        replacement = certificates.client("replacement")
        assert profile.client_cert is not None
        assert profile.client_key is not None
        overwrite(profile.client_cert, "half a certificate")
        ticks.now = 1.0
        with structlog.testing.capture_logs() as logs:
            assert (await poster.post(request)).body == b"rotating"
        assert [log["event"] for log in logs] == ["tls_reload_failed"]
        overwrite(profile.client_cert, replacement.client_cert)
        overwrite(profile.client_key, replacement.client_key)
        assert (await poster.post(request)).body == b"rotating"
        ticks.now = 2.0
        assert (await poster.post(request)).body == b"replacement"
        await poster.close()

    def overwrite(target: str, source: str | None) -> None:
        assert source is not None
        text = source if source.startswith("half") else (certificates.directory / source).read_text()
        (certificates.directory / target).write_text(text)

    with RawServer(names_client, certificates.wants_client()) as server:
        asyncio.run(main())


def test_unusable_files_are_named(certificates: Certificates, tmp_path: Path) -> None:
    """Missing, not PEM, mismatched: the answer says which setting and which file, and nothing is sent."""
    one, other = certificates.client("one"), certificates.client("other")
    (tmp_path / "canary.pem").write_text("canary content")
    profiles = [
        Tls(ca_file=str(tmp_path / "none.pem")),
        Tls(ca_file=str(tmp_path / "canary.pem")),
        Tls(client_cert=one.client_cert, client_key=other.client_key),
        Tls(client_cert=str(tmp_path / "canary.pem")),
    ]

    async def main() -> None:
        poster = client()
        for profile in profiles:
            answer = await poster.post(message(1, profile))
            assert (answer.cause, answer.sent) == ("tls_configuration", False)
            assert ".pem" in answer.detail
            assert "canary content" not in answer.detail
        await poster.close()

    asyncio.run(main())


def test_the_system_trust_does_not_trust_strangers(certificates: Certificates) -> None:
    """Without a ca_file a private authority is unknown."""

    async def main() -> None:
        poster = client()
        answer = await poster.post(message(server.port, Tls()))
        assert answer.cause == "tls_unknown_ca"
        await poster.close()

    with RawServer(lambda _: None, certificates.good) as server:
        asyncio.run(main())
    assert not server.requests
