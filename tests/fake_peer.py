"""A contender for the tests of `benchmarks/peers`: a forwarder in a process of its own that takes lines, keeps them
in memory, and posts each to the destination until that takes it.
"""

from __future__ import annotations

import hmac
import http.client
import itertools
import queue
import ssl
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

from arke.demo.processes import free_port
from peers.contender import Running, listens, program
from peers.wire import KEY, Posting, Signature, Sink

if TYPE_CHECKING:
    from collections.abc import Iterator


MOST_WAITING = 700
"""Events that it keeps: as many as an outage of the tests has."""


class FakePeer:
    """`key`: what it signs with. `times`: how often it sends each message. `loses`: every so manieth event.
    `refuses`: every so manieth POST, and hangs up without an answer on the one after it; it takes neither.
    """

    name = "A forwarder"
    users_a_request = 1
    keeps = True
    signature = Signature("X-Signature", "sha256", "hex", "v0=")
    durability = "none"
    unlike = "a test"

    def __init__(
        self, key: str = KEY, times: int = 1, loses: int = 0, refuses: int = 0, lacks: str = ""
    ) -> None:
        self._key = key
        self._times = times
        self._loses = loses
        self._refuses = refuses
        self._lacks = lacks

    def missing(self) -> str:
        return self._lacks

    def version(self) -> str:
        return "1"

    @contextmanager
    def running(self, directory: Path, sink: Sink) -> Iterator[Running]:
        port = free_port()
        given = map(str, (port, sink.port, sink.ca_file, self._key, self._times, self._loses, self._refuses))
        environ = {"PYTHONPATH": ":".join(filter(None, sys.path))}
        with program(directory, "forwarder", [sys.executable, __file__, *given], environ) as started:
            started.until(lambda: listens(port))
            event = ('{"user":"', '"}')
            yield Running(Posting(port=port, path="/", event=event, proof="taken"), (started.pid,))


class Forwarder:
    """One thread, one connection to the destination."""

    def __init__(self, port: int, ca_file: str, key: str, times: int, loses: int) -> None:
        self.waiting: queue.Queue[bytes] = queue.Queue(MOST_WAITING)
        self._port = port
        self._context = ssl.create_default_context(cafile=ca_file)
        self._key = key.encode()
        self._times = times
        self._loses = loses

    def work(self) -> None:
        connection = http.client.HTTPSConnection("127.0.0.1", self._port, context=self._context)
        number = 0
        while True:
            body = self.waiting.get()
            number += 1
            if self._loses and number > 20 and number % self._loses == 0:
                continue
            digest = hmac.digest(self._key, body, "sha256")
            for _ in range(self._times):
                while True:
                    try:
                        connection.request("POST", "/", body, {"X-Signature": f"v0={digest.hex()}"})
                        connection.getresponse().read()
                    except (OSError, http.client.HTTPException):
                        connection.close()
                        time.sleep(0.02)
                    else:
                        break


def main() -> None:
    port, sink, ca_file, key, times, loses, refuses = sys.argv[1:]
    posts = itertools.count(1)
    forwarder = Forwarder(int(sink), ca_file, key, int(times), int(loses))
    threading.Thread(target=forwarder.work, daemon=True).start()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            turn = next(posts) % int(refuses) if int(refuses) else -1
            if turn == 1:
                self.close_connection = True
                return
            if turn == 0:
                self.send_response(503)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            for line in body.split(b"\n"):
                forwarder.waiting.put(line)
            self.send_response(202)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"taken")

        def log_message(self, *_: object) -> None:
            pass

    ThreadingHTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()


if __name__ == "__main__":
    main()
