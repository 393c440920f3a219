"""The way out of a running engine: through a proxy, to servers that answer sloppily; files that cannot work."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Self

from arke.receiver import ReceiverConfig
from e2e.catalogs import catalog, destination, visit
from e2e.engine_process import EngineProcess, request
from e2e.receiver_thread import ReceiverThread
from integration.delivery.proxy_server import ESTABLISHED, ConnectProxy
from patience import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

PASSWORD = "canary-proxy-password"


class ProxyThread:
    """A proxy on an event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self.proxy = ConnectProxy()
        self._listening: AbstractAsyncContextManager[ConnectProxy] = self.proxy.listening()

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listening.__aenter__(), self._loop).result(PATIENCE_S)
        return self

    def __exit__(self, *_: object) -> None:
        ending = self._listening.__aexit__(None, None, None)
        asyncio.run_coroutine_threadsafe(ending, self._loop).result(PATIENCE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        self._loop.close()


def test_everything_leaves_through_the_proxy(tmp_path: Path) -> None:
    """Messages and requests for tokens; what the proxy refuses is told, its password is told nowhere."""
    config = ReceiverConfig(token_credentials=b"client")
    with ProxyThread() as way_out, ReceiverThread(config) as receiver:
        proxy = way_out.proxy
        environ = {
            "ARKE_EGRESS_PROXY": f"http://arke:env:PROXY_PASSWORD@127.0.0.1:{proxy.port}",
            "PROXY_PASSWORD": PASSWORD,
            "HTTPS_PROXY": "http://127.0.0.1:1",
            "CLIENT": "client",
        }
        with EngineProcess(tmp_path, environ=environ) as engine:
            oauth2 = {"token_url": receiver.token_url, "credentials": "env:CLIENT"}
            engine.apply(catalog([destination(1, receiver.url, receiver.ca_file, oauth2=oauth2)]))
            engine.accept(visit(1, "camera"))
            wait_until(lambda: receiver.segments_of("p1"), "the message")
            wait_until(
                lambda: len(proxy.asked) == receiver.ask(lambda server: server.stats.connections),
                "every connection to be one of the proxy's",
            )
            assert set(proxy.asked) == {receiver.url.split("/")[2]}
            receiver.ask(lambda server: server.expire_tokens())
            proxy.answer = b"HTTP/1.1 407 No\r\n\r\n"
            receiver.misbehave("close")  # so that connections are needed
            engine.accept(visit(2, "camera"))
            wait_until(
                lambda: [one.reason for one in engine.client().undelivered(None)] == ["proxy_407"],
                "the refusal of the proxy",
            )
            proxy.answer = ESTABLISHED
            receiver.misbehave()
            engine.client().replay(None)
            wait_until(lambda: receiver.segments_of("p2"), "the message, once the proxy lets it through")
            assert PASSWORD not in engine.log()


def test_sloppy_answers_are_acknowledged_and_counted(tmp_path: Path) -> None:
    """The users are there: nothing is sent twice, and status and metrics say what it costs."""
    with ReceiverThread() as receiver, EngineProcess(tmp_path) as engine:
        receiver.misbehave("sloppy")
        engine.apply(catalog([destination(1, receiver.url, receiver.ca_file)]))
        for number in range(1, 4):
            engine.accept(visit(number, "camera"))
            wait_until(lambda n=number: receiver.segments_of(f"p{n}"), "the message")  # type: ignore[misc]
        wait_until(engine.delivered, "the acknowledgements")
        figures = engine.client().status().destinations[0]
        assert figures.acknowledged >= 3
        assert set(figures.answers) <= {"200", "timeout_headers"}
        assert figures.sloppy >= 3
        assert f"{figures.sloppy} answers were not well-formed HTTP" in engine.arke("status").stdout
        token = engine.client().create_token("read", "scraper", None).secret
        authorised = {"Authorization": f"Bearer {token}"}
        metrics = request(engine.admin, "GET", "/metrics", headers=authorised).body.decode()
        assert f'arke_destination_sloppy_total{{destination="1"}} {figures.sloppy}.0' in metrics


def test_sloppy_answers_of_a_token_server_are_counted_with_them(tmp_path: Path) -> None:
    """The token is taken; the messages themselves are answered well."""
    config = ReceiverConfig(token_credentials=b"client")
    with (
        ReceiverThread(config) as receiver,
        EngineProcess(tmp_path, environ={"CLIENT": "client"}) as engine,
    ):
        receiver.misbehave("token:sloppy")
        oauth2 = {"token_url": receiver.token_url, "credentials": "env:CLIENT"}
        engine.apply(catalog([destination(1, receiver.url, receiver.ca_file, oauth2=oauth2)]))
        engine.accept(visit(1, "camera"))
        wait_until(lambda: receiver.segments_of("p1"), "the message")
        wait_until(engine.delivered, "the acknowledgement")
        assert engine.client().status().destinations[0].sloppy >= 1


def test_files_that_cannot_work_are_refused_by_check_and_apply(tmp_path: Path) -> None:
    """With place and hint, and exit code 2; what was in force stays."""
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    file = tmp_path / "catalog.yaml"
    file.write_text(catalog([destination(1, "https://dsp.example/", empty)]))
    with EngineProcess(tmp_path) as engine:
        checked = engine.arke("check", str(file))
        assert checked.returncode != 0
        assert "ca_file: the file is empty" in checked.stdout + checked.stderr
        applied = engine.arke("apply", str(file))
        assert applied.returncode == 2
        assert "ca_file: the file is empty" in applied.stdout + applied.stderr
        assert engine.client().status().catalog_version == 0
