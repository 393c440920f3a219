"""By which names the admin port may be called, and that nobody is redirected anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from attacks.doors import DOORS, Door, connect, read_all
from e2e.engine_process import OPEN, EngineProcess

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    settings = f'{OPEN}\n[server]\nadmin_hosts = ["Arke.Internal."]\n'
    with EngineProcess(tmp_path_factory.mktemp("engine"), settings=settings) as engine:
        yield engine


def ask(engine: EngineProcess, door: Door, *lines: str) -> bytes:
    with connect(engine, door) as connection:
        connection.sendall("\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1"))
        return read_all(connection)


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:8081", "localhost.", "127.0.0.1", "127.0.0.1:1", "127.8.9.10", "[::1]", "[::1]:8081",
     "arke.internal", "arke.internal:443"],
)  # fmt: skip
def test_known_names_are_served(engine: EngineProcess, host: str) -> None:
    """Finding 16: loopback names, and what the settings name, whatever the port."""
    assert ask(engine, "admin", "GET /healthz HTTP/1.1", f"Host: {host}").startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8081", "localhost.evil.example", "evil.localhost", "127.0.0.1.evil.example",
     "192.0.2.1", "[2001:db8::1]", "0x7f000001", "2130706433", "127.1", "localhost:8081@evil.example",
     "localhost:x", "[::1", "", "lo\xc3calhost", "internal", "localhost, evil.example"],
)  # fmt: skip
def test_other_names_are_refused_before_the_token_is_looked_at(engine: EngineProcess, host: str) -> None:
    """Finding 16: a page that has its own name resolve to this machine gets no further, with or without a token."""
    for token in ("", "Authorization: Bearer arke_x"):
        lines = ["GET /v1/status HTTP/1.1", f"Host: {host}", *([token] if token else [])]
        answer = ask(engine, "admin", *lines)
        assert answer.startswith(b"HTTP/1.1 421 ")
        assert b'{"code":"unknown_host"' in answer
        assert not host or host.encode("latin-1") not in answer


def test_a_host_in_the_target_outranks_the_header(engine: EngineProcess) -> None:
    """Finding 16: RFC 9112 3.2.2."""
    for target in (
        "http://evil.example/healthz",
        "http://localhost@evil.example/healthz",
        "http://evil.example",
    ):
        answer = ask(engine, "admin", f"GET {target} HTTP/1.1", "Host: localhost")
        assert answer.startswith(b"HTTP/1.1 421 ")
    answer = ask(engine, "admin", "GET http://localhost:1/healthz HTTP/1.1", "Host: evil.example")
    assert answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("door", DOORS)
def test_two_hosts_or_none_are_refused_at_every_door(engine: EngineProcess, door: Door) -> None:
    """Finding 16: HTTP/1.1 has exactly one; HTTP/1.0 may have none, and no more than one."""
    for lines in (
        ["GET /healthz HTTP/1.1"],
        ["GET /healthz HTTP/1.1", "Host: localhost", "Host: localhost"],
        ["GET /healthz HTTP/1.0", "Host: localhost", "Host: localhost"],
    ):
        answer = ask(engine, door, *lines)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b'"code":"bad_host"' in answer
    assert ask(engine, door, "GET /healthz HTTP/1.0").startswith(b"HTTP/1.1 200 ")


def test_the_socket_takes_any_one_host(engine: EngineProcess) -> None:
    """Finding 16: no page reaches it."""
    assert ask(engine, "socket", "GET /healthz HTTP/1.1", "Host: x").startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("door", ["admin", "socket"])
@pytest.mark.parametrize("path", ["/v1/status/", "/healthz/", "/v1/catalog/", "//", "//evil.example/"])
def test_no_slash_is_redirected(engine: EngineProcess, door: Door, path: str) -> None:
    """Finding 16: a redirect would repeat the Host that the caller wrote."""
    answer = ask(engine, door, f"GET {path} HTTP/1.1", "Host: localhost")
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"location" not in answer.lower()
