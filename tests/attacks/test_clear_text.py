"""Finding 18: no command sends a token in clear to another machine, unless it is told to."""

from __future__ import annotations

import http.server
import threading
from typing import TYPE_CHECKING, ClassVar

import pytest

from e2e.engine_process import OPEN, EngineProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN = "arke_canary"


@pytest.fixture
def engine(tmp_path: Path) -> EngineProcess:
    """Not started: the commands are what is attacked."""
    return EngineProcess(tmp_path, settings=OPEN)


@pytest.mark.parametrize(
    "url",
    [
        "http://192.0.2.1:8081",
        "http://127.0.0.1.evil.example:8081",
        "HTTP://[2001:db8::1]",
    ],
)
def test_clear_text_to_another_machine_is_refused(engine: EngineProcess, url: str) -> None:
    """Finding 18: before anything is looked up or sent; exit code 2, with what to write instead."""
    done = engine.arke("status", ARKE_URL=url, ARKE_TOKEN=TOKEN)
    assert done.returncode == 2
    assert "https://" in done.stderr
    assert "--insecure" in done.stderr
    assert TOKEN not in done.stderr


def test_it_is_sent_where_the_user_insists(engine: EngineProcess) -> None:
    """Finding 18: `--insecure`. Nobody answers at a name that is reserved for that: it was tried."""
    done = engine.arke("status", "--url", "http://arke.invalid:8081", "--insecure", "--token", TOKEN)
    assert done.returncode == 1
    assert "no engine answers" in done.stderr


@pytest.mark.parametrize(
    "url",
    [
        "http://user:word@127.0.0.1",
        "ftp://127.0.0.1",
        "http://127.0.0.1:²",
        "http://[::1",
    ],
)
def test_what_is_no_address_is_refused_and_not_repeated(engine: EngineProcess, url: str) -> None:
    """The kind of finding 18: an address may hold a password."""
    done = engine.arke("status", "--url", url)
    assert done.returncode == 2
    assert url not in done.stderr
    assert "Traceback" not in done.stderr


class _Pointing(http.server.BaseHTTPRequestHandler):
    """Points everybody to another address, and remembers who came."""

    asked: ClassVar[list[str]] = []
    to = ""

    def do_GET(self) -> None:
        self.asked.append(self.headers.get("Authorization", ""))
        self.send_response(307)
        self.send_header("Location", self.to)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def pointing() -> Iterator[str]:
    _Pointing.asked.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Pointing)
    address = f"http://127.0.0.1:{server.server_address[1]}"
    _Pointing.to = f"{address}/elsewhere"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield address
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_redirect_is_not_followed(engine: EngineProcess, pointing: str) -> None:
    """Finding 18: the token goes to the address that was named, once, and to no other."""
    done = engine.arke("status", "--url", pointing, "--token", TOKEN)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert _Pointing.asked == [f"Bearer {TOKEN}"]
