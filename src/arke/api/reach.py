"""Which way leads to an engine: a URL, the Unix socket of a running one, or the store itself."""

from __future__ import annotations

import http.client
import ipaddress
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from arke.api.client import Client
from arke.api.http import TIMEOUT_S, HttpSession, UnixConnection
from arke.data_directory import SOCKET_FILE, check_private, reachable
from arke.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

    from arke.settings import Settings


def connect(
    data: Path, url: str | None, token: str | None, settings: Settings, *, insecure: bool = False
) -> Client:
    """To the engine at `url` where given, else the running one of `data`, else one that is opened on its store.
    `insecure`: the url may be http:// to another machine. Raises InvalidInput, DataExposed.
    """
    if url is not None:
        return Client(_remote(url, token, insecure=insecure))
    path = engine_socket(data)
    if _answers(path):
        check_private(data)
        return Client(over_socket(path))
    from arke.api.in_process import InProcess

    return Client(InProcess(data, settings))


def engine_socket(data: Path) -> Path:
    return data / SOCKET_FILE


def over_socket(path: Path) -> HttpSession:
    """The running engine that listens there."""
    return HttpSession(lambda: UnixConnection(path), None, str(path))


def _remote(url: str, token: str | None, *, insecure: bool) -> HttpSession:
    """No address is followed that an answer names, and no proxy of the environment asked."""
    host, port, secure = _address(url)
    if secure:
        import ssl

        context = ssl.create_default_context()
        return HttpSession(
            lambda: http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=context), token, url
        )
    if not (insecure or _is_here(host)):
        raise InvalidInput(
            "--url http:// to another machine sends the token, and what is asked about people, in clear: write "
            "https:// (the admin API behind a TLS proxy), or --insecure where everybody on the way is trusted"
        )
    return HttpSession(lambda: http.client.HTTPConnection(host, port, timeout=TIMEOUT_S), token, url)


def _address(url: str) -> tuple[str, int | None, bool]:
    """Host, port, and whether it is https. Raises InvalidInput, which does not repeat what may hold a password."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc:
        raise InvalidInput("--url is not an http(s) address of an admin API, as https://arke.example:8443")
    return host, port, parts.scheme == "https"


def _is_here(host: str) -> bool:
    """Whether this is this very machine, without asking anybody what a name means."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _answers(path: Path) -> bool:
    """Whether an engine listens; a socket file left by a crash does not."""
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with reachable(path) as name:
            probe.connect(name)
    except OSError:
        return False
    finally:
        probe.close()
    return True
