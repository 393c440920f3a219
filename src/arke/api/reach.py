"""Which way leads to an engine: a URL, the Unix socket of a running one, or the store itself."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import threading
import time
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from arke.api.client import Client
from arke.api.session import Session
from arke.data_directory import SOCKET_FILE, check_private, engine_answers, engine_runs, reachable
from arke.errors import EngineUnreachable, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from arke.api.session import Call, Reply
    from arke.settings import Settings


def connect(
    data: Path,
    url: str | None,
    token: str | None,
    settings: Settings,
    *,
    insecure: bool = False,
    waits: Callable[[str], None] | None = None,
) -> Client:
    """To the engine at `url` where given, else the running one of `data`, else one that is opened on its store.
    `insecure`: the url may be http:// to another machine. `waits` is told, from a thread beside, of an engine that
    takes its time. Raises InvalidInput, DataExposed.
    """
    if url is not None:
        return Client(_remote(url, token, insecure=insecure, waits=waits))
    running = over_socket(engine_socket(data), waits=waits)
    if engine_runs(data):
        check_private(data)
        return Client(running)
    from arke.api.in_process import InProcess

    return Client(InProcess(data, settings, running))


def running(
    data: Path, url: str | None, token: str | None, *, insecure: bool, timeout_s: float
) -> Client | None:
    """To an engine that runs already, as `connect` finds it; no step of asking it may take longer than that. None:
    there is none. Raises InvalidInput, DataExposed.
    """
    if url is not None:
        return Client(_remote(url, token, insecure=insecure, timeout_s=timeout_s))
    if not engine_answers(data):
        return None
    check_private(data)
    return Client(over_socket(engine_socket(data), timeout_s))


def engine_socket(data: Path) -> Path:
    return data / SOCKET_FILE


TIMEOUT_S = 300.0
PATIENCE_S = 10.0
"""How long an answer takes before whoever waits is told that it is waited for."""


def over_socket(
    path: Path, timeout_s: float = TIMEOUT_S, waits: Callable[[str], None] | None = None
) -> HttpSession:
    """The running engine that listens there."""
    return HttpSession(lambda: UnixConnection(path, timeout_s), None, str(path), waits)


def _remote(
    url: str,
    token: str | None,
    *,
    insecure: bool,
    timeout_s: float = TIMEOUT_S,
    waits: Callable[[str], None] | None = None,
) -> HttpSession:
    """No address is followed that an answer names, and no proxy of the environment asked."""
    host, port, secure = _address(url)
    if secure:
        import ssl

        context = ssl.create_default_context()
        return HttpSession(
            lambda: http.client.HTTPSConnection(host, port, timeout=timeout_s, context=context),
            token,
            url,
            waits,
        )
    if not (insecure or _is_here(host)):
        raise InvalidInput(
            "--url http:// to another machine sends the token, and what is asked about people, in clear: write "
            "https:// (the admin API behind a TLS proxy), or --insecure where everybody on the way is trusted"
        )
    return HttpSession(lambda: http.client.HTTPConnection(host, port, timeout=timeout_s), token, url, waits)


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


class UnixConnection(http.client.HTTPConnection):
    """HTTP over an engine's Unix socket."""

    def __init__(self, path: Path, timeout_s: float = TIMEOUT_S) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path
        self._timeout_s = timeout_s

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self._timeout_s)
        with reachable(self._path) as name:
            self.sock.connect(name)


class HttpSession(Session):
    """Each request has a connection of its own. `where` names the engine in messages."""

    def __init__(
        self,
        connect: Callable[[], http.client.HTTPConnection],
        token: str | None,
        where: str,
        waits: Callable[[str], None] | None,
    ) -> None:
        self._connect = connect
        self._token = token
        self._where = where
        self._waits = waits

    def session(self, *, delivering: bool = False) -> AbstractContextManager[Session]:  # noqa: ARG002
        """There is nothing to open: the engine runs, and delivers."""
        return nullcontext(self)

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)

    @contextmanager
    def send(self, call: Call) -> Iterator[Reply]:
        connection = self._connect()
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        try:
            with self._waiting():
                connection.request(call.route.method, call.target, call.body, headers)
                reply = connection.getresponse()
            yield reply
        except msgspec.MsgspecError:
            raise EngineUnreachable(
                f"{self._where}: what answers there is no engine of this version"
            ) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise EngineUnreachable(
                f"{self._where}: no engine answers ({reason.lower()}): see that `arke up` runs there, then ask "
                "again; what had begun goes on from where it was"
            ) from error
        finally:
            connection.close()

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        """Whoever waits is told, once it takes long."""
        if self._waits is None:
            yield
            return
        said = f"{self._where}: no answer for {PATIENCE_S:.0f} s; it is waited for, {TIMEOUT_S:.0f} s at most"
        patience = threading.Timer(PATIENCE_S, self._waits, (said,))
        patience.daemon = True
        patience.start()
        try:
            yield
        finally:
            patience.cancel()
