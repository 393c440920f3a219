"""One HTTP connection of a door: uvicorn's fast protocol, with bounds on everything that the other side decides.

uvicorn parses whatever arrives, queues requests without end, bounds neither heads nor bodies nor unread answers in
time, and writes errors into the middle of an answer. Here a connection has one deadline at any time, which the
server checks now and then (`overdue`). It reads nothing while a request waits for the one before it. A refusal is
answered in its turn, in the door's own form, before the connection ends.
"""

from __future__ import annotations

import asyncio
import math
import urllib.parse
from typing import TYPE_CHECKING, Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from arke.doors.bounds import (
    CLOSE_TIMEOUT_S,
    FRAMING_SHARE,
    LINGER_S,
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    MAX_LINGER_BYTES,
    MAX_LINGERING,
    MAX_WAITING,
)
from arke.doors.exchange import Exchange, answer
from arke.doors.flow import HeldFlow, Line, waiting_bytes
from arke.doors.names import bucket, plain_address
from arke.doors.names import scheme as forwarded_scheme
from arke.doors.refused import Ended, Refused, head_too_large, no_room, not_http, other_coding

if TYPE_CHECKING:
    from arke.doors.admission import Refusal, Share
    from arke.doors.bounds import Door

NEVER: Final = math.inf
_ASGI: Final = {"version": "3.0", "spec_version": "2.3"}


class DoorProtocol(HttpToolsProtocol):
    """One connection of a door."""

    def __init__(self, *args: Any, door: Door, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.scope: Any
        self.place: Share | None = None
        self.access_log = False  # it would hold parameters; said here, no logging configuration turns it on
        self.bucket: str | None = None
        self._door = door
        self._bounds = door.bounds
        self._deadline = NEVER
        self._unread_since = 0.0
        self._closing_since = 0.0
        self._running: Exchange | None = None
        self._refusal: bytes | None = None
        self._proxied = False
        self._lingering = False
        self._linger_bytes = 0
        self._deaf = False
        """Nothing that arrives from now on is a request."""
        self._last = False
        """The request being read is the last one of this connection."""
        self._ended = False
        """The client has said that it says no more."""
        self._in_head = True
        self._begun = False
        """Of a head something has arrived."""
        self._timed = False
        """Since then its time runs."""
        self._read_bytes = 0
        """What was read in one piece."""
        self._unread_bytes = 0
        """What arrived of a head, or of a body's framing."""
        self._offered = b""
        """The head of a request with a body that offers another protocol, without the offer."""
        self._hosts = 0
        self._host = b""
        self._body_bytes = 0
        self._window_from = 0
        self._asking: str | None = None
        self._local: str | None = None

    # -- the transport's side

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn does
        super().connection_made(transport)
        self.flow: HeldFlow = HeldFlow(transport)
        self._line: Any = Line(transport, self._hang_up)
        self._local = self.server[0] if self.server is not None else None
        if self.client is not None:
            address = plain_address(self.client[0]) or self.client[0]
            self.client = (address, self.client[1])
            self._proxied = address in self._door.proxies
            if not self._proxied:
                self.bucket = bucket(address)
        self._deadline = self.loop.time() + self._bounds.head_s
        refusal = self._door.admission.enter(self)
        if refusal is not None:
            self._refuse(no_room(refusal))

    def connection_lost(self, exc: Exception | None) -> None:
        self._door.admission.leave(self)
        self._door.lingering.pop(self.transport, None)
        self.pipeline.clear()
        if self._running is not None:
            self._abandon(self._running)
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio's may return whether to stay open
        """A client that has said everything still gets its answers."""
        self._deaf = self._ended = True
        if self._running is None or self._lingering:
            return False
        if not self._in_head:
            self.cycle.disconnected = True  # its body never ends
            self.cycle.message_event.set()
            if self.cycle is self._running:
                return False
            self.pipeline.popleft()
        last = self.pipeline[0][0] if self.pipeline else self._running
        last.keep_alive = False
        return True

    def pause_writing(self) -> None:
        self._unread_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._unread_since = 0.0
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            self._linger_bytes += len(data)
            if self._linger_bytes > MAX_LINGER_BYTES:
                self.transport.abort()
            return
        self._read_bytes = len(data)
        self._unread_bytes += self._read_bytes
        try:
            while data:
                data = self._read(data)
        except httptools.HttpParserUpgrade:
            self._deaf = True  # the request is answered as if it had not asked for another protocol
            return
        except httptools.HttpParserError as error:
            cause = error.__context__
            if isinstance(cause, Ended):
                self._deaf = True
            else:
                self._refuse(cause if isinstance(cause, Refused) else not_http())
            return
        if self._unread_bytes > MAX_HEAD_BYTES or (self._begun and len(self.headers) > MAX_HEADERS):
            self._refuse(head_too_large() if self._in_head else not_http())
        elif self._deadline is NEVER:
            if not self._in_head:
                self._deadline = self.loop.time() + self._bounds.window_s
                self._window_from = self._body_bytes
        elif self._begun and not self._timed:
            self._timed = True
            self._deadline = self.loop.time() + self._bounds.head_s

    def _read(self, data: bytes) -> bytes:
        """Give it to the parser; what is returned is to be given to it next. It ends a request that offers another
        protocol, as Java's own client does with each to `http://`, at its head, and would pass over its body: such
        a one is read anew, as if it had not offered.
        """
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            if not self._offered:
                raise
            read: int = offer.args[0]
        else:
            return b""
        head, self._offered = self._offered, b""
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return head + data[read:]

    # -- the parser's side

    def on_message_begin(self) -> None:
        if self._last:
            raise Ended
        self._begun = True
        self._hosts = 0
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        # One dictionary, made here: uvicorn's own takes a state along that no application of ours has.
        self.scope = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": "1.1",
            "server": self.server,
            "client": self.client,
            "scheme": "http",
            "root_path": "",
            "headers": self.headers,
        }

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            return  # a trailer: the application has its headers already
        name = name.lower()
        if name == b"host":
            self._hosts += 1
            self._host = value
        elif name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        elif name == b"transfer-encoding" and value.strip().lower() != b"chunked":
            raise other_coding()  # the parser takes what is chunked last, and leaves the rest of it packed
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        parser, scope = self.parser, self.scope
        version = parser.get_http_version()
        if parser.should_upgrade() and parser.get_method() != b"CONNECT" and self._has_body():
            lines = [b"%b: %b\r\n" % pair for pair in self.headers if pair[0] != b"upgrade"]
            first = b"%b %b HTTP/%b\r\n" % (parser.get_method(), self.url, version.encode())
            self._offered = b"".join((first, *lines, b"\r\n"))
            return
        if version != "1.1":
            self._old(version)
        scope["method"] = method = parser.get_method().decode("ascii")
        if len(self.headers) > MAX_HEADERS:
            raise head_too_large()
        if self._read_bytes > MAX_HEAD_BYTES or self._unread_bytes > MAX_HEAD_BYTES:
            self._measure()  # what was read in one piece may be several requests
        if self._hosts != 1 and (self._hosts or version == "1.1"):
            raise Refused(400, "bad_host", "a request has one Host header")
        self._target(method)
        if self._proxied and self.client is not None:
            visitor = self._door.proxies.visitor(self.client[0], self.headers)
            if visitor != self.client[0]:
                scope["client"] = (visitor, 0)
            scope["scheme"] = forwarded_scheme(self.headers)
        keep_alive = version == "1.1" and parser.should_keep_alive() and not parser.should_upgrade()
        self._last = not keep_alive
        cycle = Exchange(
            self._door,
            scope=scope,
            transport=self._line,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=keep_alive,
            on_response=self.on_response_complete,
        )
        if self._running is None:
            self._door.admission.busy(self)
            self._deadline = NEVER
            self._start_asgi_task(cycle, self.app)
        elif len(self.pipeline) >= MAX_WAITING:
            raise Refused(429, "too_many_waiting", f"{MAX_WAITING} requests wait for their answers")
        else:
            self.flow.hold()
            self.pipeline.appendleft((cycle, self.app))
        self.cycle = cycle
        self._in_head = self._begun = self._timed = False
        self._unread_bytes = self._body_bytes = 0

    def _old(self, version: str) -> None:
        if version != "1.0":
            raise Refused(400, "bad_request", "HTTP/1.1 and HTTP/1.0 are spoken here")
        self.scope["http_version"] = version
        self.expect_100_continue = False

    def _has_body(self) -> bool:
        return any(name in (b"content-length", b"transfer-encoding") for name, _ in self.headers)

    def _measure(self) -> None:
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > MAX_HEAD_BYTES:
            raise head_too_large()

    def _target(self, method: str) -> None:
        """Put path and query into the scope. Raises Refused, also for a host that the door does not have."""
        if method == "CONNECT":
            raise Refused(405, "method_not_allowed", "this is no proxy")
        try:
            url = httptools.parse_url(self.url)
            raw_path: bytes = url.path or b"/"
            path = raw_path.decode("ascii")
        except (httptools.HttpParserInvalidURLError, UnicodeDecodeError):
            raise Refused(400, "bad_target", "the request's target is no percent-encoded path") from None
        scope = self.scope
        scope["raw_path"] = raw_path
        scope["path"] = urllib.parse.unquote(path) if "%" in path else path
        scope["query_string"] = url.query or b""
        if self._door.hosts is not None and (self._hosts or url.host):
            # A target with a host in it outranks the header (RFC 9112, 3.2.2).
            host = self._host if not url.host else self.url.split(b"/", 3)[2].rpartition(b"@")[2]
            if not self._door.hosts.knows(host, self._local):
                raise Refused(
                    421,
                    "unknown_host",
                    "this host name is not known here: see server.admin_hosts in the settings",
                )

    def on_body(self, body: bytes) -> None:
        size = len(body)
        self._body_bytes += size
        self._unread_bytes = max(0, self._unread_bytes - size * (1 + FRAMING_SHARE))
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._offered:
            return
        self._unread_bytes = 0
        self._in_head = True
        if not self.cycle.response_complete:
            self.cycle.more_body = False
            self.cycle.message_event.set()
        if self._running is not None:
            self._deadline = NEVER
        elif not self._deaf:
            self._rest()  # it was answered before its body was over

    # -- answering

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._running = cycle
        whole = self._door.whole
        if self._proxied and not self._ask(cycle):
            app, whole = _TooMany(self._door), None
        task = self.loop.create_task(cycle.run(app, whole))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def _ask(self, cycle: Exchange) -> bool:
        """Count a request of a visitor behind a proxy. Returns whether there is room for it."""
        visitor = cycle.scope["client"]
        if visitor is not None and visitor != self.client:
            key = bucket(visitor[0])
            if not self._door.admission.ask(key):
                return False
            self._asking = key
        return True

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        self._finish()
        if self.transport.is_closing() or self._lingering:
            return
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
            if not self.pipeline and self._refusal is None:
                self.flow.release()
        elif self._refusal is not None:
            self._say(self._refusal)
        elif not self._in_head:
            # The rest of the body is thrown away for a moment, so that its sender gets to see the answer.
            self._deadline = self.loop.time() + LINGER_S
            self.flow.release()
        else:
            self._rest()

    def _finish(self) -> None:
        """The last request in flight has been answered."""
        self._running = None
        if self._proxied:
            asking, self._asking = self._asking, None
            if asking is not None:
                self._door.admission.answered(asking)

    def _rest(self) -> None:
        """Wait for the client's next request."""
        self._timed = self._begun
        self._deadline = self.loop.time() + (
            self._bounds.head_s if self._begun else self._bounds.keep_alive_s
        )
        self._door.admission.idle(self)
        if self.flow.read_paused:
            self.flow.release()

    # -- ending

    def shutdown(self) -> None:
        """The server stops: requests under way are answered, one that has only begun to arrive is told."""
        if self._lingering:
            return
        waits = self._running is None and self._in_head and not self._deaf
        if waits and (self._begun or waiting_bytes(self.transport)):
            self._refuse(Refused(503, "stopping", "the engine stops: try again"))
        else:
            super().shutdown()

    def _refuse(self, refused: Refused) -> None:
        """Answer a refusal in its turn, and end the connection. If part of an answer was sent, only end it."""
        self._door.refused(refused.kind)
        self._deaf = True
        silent = False
        if not self._in_head:
            broken = self.cycle
            if broken is self._running:
                self._abandon(broken)
                silent = broken.response_started
            elif self.pipeline and self.pipeline[0][0] is broken:
                self.pipeline.popleft()
            else:
                silent = True
        text = b"" if silent else self._words(refused)
        if self._running is None:
            self._say(text)
        else:
            self._refusal = text
            self.flow.hold()

    def _words(self, refused: Refused) -> bytes:
        body = self._door.body(refused.kind, refused.message)
        headers = [
            *self.server_state.default_headers,
            *self._door.headers,
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        if refused.status in (429, 503):
            headers.append((b"retry-after", b"1"))
        head = b"".join(b"%s: %s\r\n" % header for header in headers)
        only_head = self._begun and self.scope.get("method") == "HEAD"
        return STATUS_LINE[refused.status] + head + b"\r\n" + (b"" if only_head else body)

    def _abandon(self, cycle: Exchange) -> None:
        """Tell the application that its client is gone, and drop what it still sends."""
        cycle.disconnected = True
        cycle.message_event.set()
        if cycle is self._running:
            self._finish()

    def _say(self, text: bytes) -> None:
        """Send the last answer of this connection."""
        if text:
            self.transport.write(text)
        self._linger()

    def _hang_up(self) -> None:
        """Close the connection, for a request whose answer was the last one."""
        if self._ended or (self._in_head and not self._deaf):
            self.transport.close()
        else:
            self._linger()

    def _linger(self) -> None:
        """Close the sending side, and read for a moment what still arrives.

        Closing with unread input would make the kernel reset the connection, and the answer would be lost.
        """
        self._deaf = True
        if self._lingering or self.transport.is_closing():
            return
        others = self._door.lingering
        if len(others) >= MAX_LINGERING:
            longest = next(iter(others))  # its client has had the most time to see the answer
            del others[longest]
            longest.abort()
        self._lingering = True
        others[self.transport] = None
        self._door.admission.leave(self)
        self._deadline = self.loop.time() + LINGER_S
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.release()

    def in_use(self) -> bool:
        """Whether an answer is still being sent, or a request has arrived of which nothing was read yet."""
        if self.transport.get_write_buffer_size():
            return True
        return not (self._begun or self._unread_bytes) and waiting_bytes(self.transport) > 0

    def make_room(self, why: Refusal) -> None:
        """End, because another connection needs the room."""
        if self._begun:
            self._refuse(no_room(why))
        else:
            self._door.refused("made_room")
            self._linger()

    def overdue(self, now: float) -> None:
        """Refuse or close where the deadline has passed. `now` is the loop's time, which stands still from when it
        has read what there was: a loop that is busy takes nobody's time.
        """
        if self.transport.is_closing():
            if not self._closing_since:
                self._closing_since = now
            elif now - self._closing_since > CLOSE_TIMEOUT_S:
                self.transport.abort()
        elif self._unread_since and now - self._unread_since > self._bounds.unread_s:
            self._door.refused("answer_unread")
            self.transport.abort()
        elif now > self._deadline:
            self._too_late(now)

    def _too_late(self, now: float) -> None:
        if self._lingering or (self._running is None and not self._in_head):
            if self.transport.get_write_buffer_size():
                self.transport.close()  # once the last answer is read, or has been unread for too long
            else:
                self.transport.abort()
        elif self._in_head:
            if self._begun:
                self._refuse(Refused(408, "head_too_slow", "the head of the request did not arrive in time"))
            else:
                self.transport.close()
        elif (
            self.flow.read_paused
            or not self._bounds.window_bytes
            or self._body_bytes - self._window_from >= self._bounds.window_bytes
        ):
            self._window_from = self._body_bytes
            self._deadline = now + self._bounds.window_s
        else:
            self._refuse(Refused(408, "body_too_slow", "the body stopped arriving, or came too slowly"))


class _TooMany:
    """The answer to a visitor behind a proxy who has too many requests in flight."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def __call__(self, _scope: Any, _receive: Any, send: Any) -> None:
        kind, message = "too_many_requests", "too many requests of one address: try again"
        self._door.refused(kind)
        await answer(send, self._door, 429, kind, message, (b"retry-after", b"1"))
