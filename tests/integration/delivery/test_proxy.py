"""The way out through a proxy: names go to it, addresses are judged, refusals are told apart, secrets are kept."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from arke.delivery.https.proxy import ProxySetting
from arke.delivery.secrets import Secrets
from arke.domain.catalog import Tls
from integration.delivery.certificates import HOST
from integration.delivery.client import Names, client, message, retry, run_on
from integration.delivery.proxy_server import ESTABLISHED, ConnectProxy
from integration.delivery.raw_server import OK, RawServer, answering

if TYPE_CHECKING:
    from integration.delivery.certificates import Certificates
    from integration.delivery.client import PatientClient

LOGIN = "arke:canary-password"
BASIC = b"Proxy-Authorization: Basic " + base64.b64encode(LOGIN.encode())


def through(setting: str, names: Names | None = None, **options: Any) -> PatientClient:
    table = names or Names(proxy_test=["127.0.0.1"])
    return client(table, proxy=ProxySetting(setting, Secrets()), **options)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_message_goes_through_the_proxy(certificates: Certificates, loop: str, scheme: str) -> None:
    """The proxy gets the name, which is not looked up here; TLS is with the destination, the connection is kept."""
    context = (
        certificates.server(certificates.authority.issue_cert("proxy.test")) if scheme == "https" else None
    )
    names = Names(proxy_test=["127.0.0.1"])

    async def main() -> None:
        async with ConnectProxy().listening(context) as proxy:
            poster = through(f"{scheme}://proxy.test:{proxy.port}", names, proxy_tls=certificates.trust)
            request = message(server.port, certificates.trust)
            answers = [await poster.post(request) for _ in range(2)]
            assert [(answer.status, answer.reused) for answer in answers] == [(200, False), (200, True)]
            assert (await poster.post(retry(request))).status == 200
            assert await poster.connect(1, request.endpoint, request.tls, timeout_s=30.0) is None
            assert proxy.asked == [f"{HOST}:{server.port}"] * 3
            assert all(b"Proxy-Authorization" not in head for head in proxy.heads)
            assert names.asked == ["proxy.test"] * 3
            await poster.close()

    with RawServer(answering(OK), certificates.good) as server:
        run_on(loop, main)
    assert len(server.requests) == 3
    assert all(b"CONNECT" not in request for request in server.requests)


@pytest.mark.parametrize("form", ["reference", "user and reference", "file", "whole"])
def test_the_proxy_s_password_is_behind_a_reference(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch, tmp_path: Any, form: str
) -> None:
    """It reaches the proxy and nobody else."""
    monkeypatch.setenv("PROXY_LOGIN", LOGIN)
    monkeypatch.setenv("PROXY_PASSWORD", "canary-password")
    file = tmp_path / "login"
    file.write_text(LOGIN + "\n")

    async def main() -> None:
        async with ConnectProxy().listening() as proxy:
            place = f"proxy.test:{proxy.port}"
            monkeypatch.setenv("PROXY_URL", f"http://{LOGIN}@{place}")
            setting = {
                "reference": f"http://env:PROXY_LOGIN@{place}",
                "user and reference": f"http://arke:env:PROXY_PASSWORD@{place}",
                "file": f"http://file:{file}@{place}",
                "whole": "env:PROXY_URL",
            }[form]
            poster = through(setting)
            assert (await poster.post(message(server.port, certificates.trust))).status == 200
            assert BASIC in proxy.heads[0]
            await poster.close()

    with RawServer(answering(OK), certificates.good) as server:
        asyncio.run(main())
    assert b"Proxy-Authorization" not in server.requests[0]


REFUSALS = {
    b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n": "proxy_407",
    b"HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\nno way": "proxy_403",
    b"HTTP/1.0 502 Bad Gateway\r\n\r\n": "proxy_502",
    b"HTTP/1.1 504\n\n": "proxy_504",
    b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n": "proxy_not_http",
    b"SSH-2.0-OpenSSH_9\r\n": "proxy_not_http",
}


@pytest.mark.parametrize("answer", REFUSALS)
def test_what_the_proxy_refuses_is_told_apart(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch, answer: bytes, loop: str
) -> None:
    """From what the endpoint answers; nothing is sent, and no detail has a secret."""
    monkeypatch.setenv("PROXY_LOGIN", LOGIN)

    async def main() -> None:
        async with ConnectProxy(answer).listening() as proxy:
            poster = through(f"http://env:PROXY_LOGIN@proxy.test:{proxy.port}")
            with structlog.testing.capture_logs() as logs:
                refused = await poster.post(message(443, certificates.trust))
            assert (refused.status, refused.reason, refused.cause) == (None, "proxy", REFUSALS[answer])
            assert not refused.sent
            assert f"proxy.test:{proxy.port}" in refused.detail
            assert "canary" not in f"{refused} {refused.detail} {logs}"
            assert poster.open_connections == 0
            await poster.close()

    run_on(loop, main)


def test_the_endpoint_behind_the_proxy_keeps_its_own_reasons(certificates: Certificates) -> None:
    """A wrong certificate is the destination's, and a status is its answer."""

    async def main() -> None:
        async with ConnectProxy().listening() as proxy:
            poster = through(f"http://proxy.test:{proxy.port}")
            answer = await poster.post(message(bad.port, certificates.trust))
            assert answer.cause == "tls_hostname_mismatch"
            answer = await poster.post(message(good.port, certificates.trust))
            assert (answer.status, answer.reason) == (407, None)
            await poster.close()

    refusing = b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n"
    with (
        RawServer(answering(OK), certificates.wrong_host) as bad,
        RawServer(answering(refusing), certificates.good) as good,
    ):
        asyncio.run(main())


def test_the_way_to_the_proxy_fails_by_its_own_names(certificates: Certificates) -> None:
    """No such name, nobody there, a forbidden address, TLS that is not trusted, a secret that is not there."""

    async def main() -> None:
        async with ConnectProxy().listening(certificates.good) as proxy:
            names = Names(proxy_test=["127.0.0.1"], inner_test=["10.0.0.1"])
            cases = {
                "http://nowhere.test:3128": "proxy_dns_no_such_name",
                "http://proxy.test:1": "proxy_connect_refused",
                "http://inner.test:3128": "proxy_egress_refused",
                "http://169.254.169.254:80": "proxy_egress_refused",
                f"https://proxy.test:{proxy.port}": "proxy_tls_unknown_ca",
                "http://env:NOT_SET_ANYWHERE@proxy.test:1": "proxy_configuration",
            }
            for setting, cause in cases.items():
                poster = through(setting, names)
                answer = await poster.post(message(443, Tls()))
                assert (answer.reason, answer.cause, answer.sent) == ("proxy", cause, False), answer.detail
                await poster.close()

    asyncio.run(main())


def test_a_forbidden_address_stays_forbidden_behind_a_proxy() -> None:
    """An address in a URL is judged here: the proxy is not even asked. A name is the proxy's affair."""

    async def main() -> None:
        async with ConnectProxy(b"HTTP/1.1 403 No\r\n\r\n").listening() as proxy:
            poster = through(f"http://proxy.test:{proxy.port}")
            for host in ("10.0.0.1", "169.254.169.254", "[::1]", "[64:ff9b::7f00:1]"):
                answer = await poster.post(message(443, Tls(), host=host))
                assert (answer.reason, answer.sent) == ("egress_refused", False), host
            assert proxy.heads == []
            assert (await poster.post(message(443, Tls(), host="any.test"))).cause == "proxy_403"
            await poster.close()

    asyncio.run(main())


def test_a_silent_proxy_costs_the_deadline_and_no_more(certificates: Certificates, loop: str) -> None:
    """Where the time ran out is the proxy."""

    async def main() -> None:
        async with ConnectProxy(b"").listening() as proxy:
            poster = through(f"http://proxy.test:{proxy.port}")
            answer = await poster.post(message(443, certificates.trust), timeout_s=1.5)
            assert (answer.reason, answer.cause) == ("timeout", "timeout_proxy")
            assert poster.open_connections == 0
            await poster.close()

    run_on(loop, main)


def test_established_may_be_said_sloppily(certificates: Certificates) -> None:
    async def main() -> None:
        async with ConnectProxy(ESTABLISHED.replace(b"\r\n", b"\n")).listening() as proxy:
            poster = through(f"http://proxy.test:{proxy.port}")
            assert (await poster.post(message(server.port, certificates.trust))).status == 200
            await poster.close()

    with RawServer(answering(OK), certificates.good) as server:
        asyncio.run(main())
