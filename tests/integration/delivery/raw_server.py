"""A TLS server that counts the requests that reach it and answers them with whatever bytes a test says."""

from __future__ import annotations

import re
import socket
import ssl
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from cryptography import x509
from cryptography.x509.oid import NameOID

from patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_LENGTH = re.compile(rb"content-length: *([0-9]+)", re.IGNORECASE)


class Peer:
    """The server's side of one connection."""

    def __init__(self, connected: socket.socket, server: RawServer, number: int) -> None:
        self._socket = connected
        self._server = server
        self._buffer = b""
        self.number = number

    def request(self) -> bytes | None:
        """The next whole request, counted; None when the client has gone."""
        while (whole := self._whole()) is None:
            data = self._socket.recv(65_536)
            if not data:
                return None
            self._buffer += data
        self._server.received(whole)
        return whole

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def repeat(self, data: bytes, every_s: float = 0.0) -> None:
        """Send the same bytes again and again until the client goes or the test ends."""
        while not self._server.stopping.wait(every_s):
            self._socket.sendall(data)

    def hold(self) -> None:
        """Keep the connection open, silent, until the client goes or the test ends."""
        while self._socket.recv(65_536):
            pass

    def reset(self) -> None:
        """Close with a TCP reset."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        self._socket.close()

    def client_name(self) -> str:
        """The common name of the client's certificate."""
        assert isinstance(self._socket, ssl.SSLSocket)
        raw = self._socket.getpeercert(binary_form=True)
        assert raw is not None
        names = x509.load_der_x509_certificate(raw).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return str(names[0].value)

    def _whole(self) -> bytes | None:
        head, mark, rest = self._buffer.partition(b"\r\n\r\n")
        if not mark:
            return None
        match = _LENGTH.search(head)
        length = int(match[1]) if match else 0
        if len(rest) < length:
            return None
        self._buffer = rest[length:]
        return head + mark + rest[:length]


class RawServer:
    """Listens on loopback and runs `behave` on a thread for each connection.

    Without a `context` the connection is plain TCP. `requests` holds every whole request received.
    """

    def __init__(self, behave: Callable[[Peer], None], context: ssl.SSLContext | None) -> None:
        self._behave = behave
        self._context = context
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self.requests: list[bytes] = []
        self.connections = 0
        self.stopping = threading.Event()

    def received(self, request: bytes) -> None:
        with self._lock:
            self.requests.append(request)

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            connected = list(self._open)
        for one in connected:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join(PATIENCE_S)
            assert not thread.is_alive(), "a server thread hangs"

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self.stopping.is_set():
            try:
                connected, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                self._open.append(connected)
                if self.stopping.is_set():
                    connected.close()
                    return
            self._start(self._serve, connected, self.connections)

    def _serve(self, connected: socket.socket, number: int) -> None:
        try:
            if self._context is not None:
                secured = self._context.wrap_socket(
                    connected, server_side=True, do_handshake_on_connect=False
                )
                with self._lock:
                    self._open.append(secured)
                connected = secured
                secured.do_handshake()
            self._behave(Peer(connected, self, number))
        except (OSError, ssl.SSLError):
            pass  # the client went away, which is what many tests are about
        finally:
            connected.close()


def answering(answer: bytes) -> Callable[[Peer], None]:
    """Answers every request on a kept-alive connection with these bytes."""

    def behave(peer: Peer) -> None:
        while peer.request() is not None:
            peer.send(answer)

    return behave


def once(answer: bytes) -> Callable[[Peer], None]:
    """Answers one request, then stays silent until the client goes."""

    def behave(peer: Peer) -> None:
        if peer.request() is not None:
            peer.send(answer)
            peer.hold()

    return behave
