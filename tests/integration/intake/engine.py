"""A recording engine and a real uvicorn server, spoken to in raw HTTP."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from arke.domain.catalog import Catalog, DataSource
from arke.domain.event import Accepted, DeclaredId, IncomingEvent, LeftOut
from arke.domain.ids import IdRules
from arke.doors.bounds import Bounds
from arke.doors.refusals import Refusals
from arke.errors import EventError, Overloaded, Unauthorized
from arke.intake.figures import IntakeFigures
from arke.intake.http import intake_app, intake_server
from arke.intake.room import Reservation, Room
from arke.intake.settings import IntakeSettings
from patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from arke.doors.names import TrustedProxies

UUID = "12345678901234567890123456789012345678"
FRESH = "00000000000000000000000000000000000042"
SECRET = "arke_good"
PAGE_KEY = "arke_in_a_page"


class RecordingEngine:
    """Keeps what it is given. `fail_on` maps the number of an ingest call (from 1) to what it raises."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.events: list[IncomingEvent] = []
        self.groups: list[int] = []
        self.opt_outs: list[tuple[str | None, tuple[DeclaredId, ...]]] = []
        self.public_opt_outs: list[bool] = []
        self.fail_on: dict[int, Exception] = {}
        self.fail_always: Exception | None = None
        self.refuse_signal: str | None = None
        self.opted_out: set[str] = set()
        self.by_id = False
        self.is_ready = True
        self.full = False
        self.room = Room()
        self.figures = IntakeFigures()
        self.calls = 0
        self.stored = threading.Event()

    async def enter(self, events: int, *, resuming: bool = False) -> Reservation:
        if self.full:
            raise Overloaded("full")
        return await self.room.enter(events, resuming=resuming)

    async def ingest(
        self, events: Sequence[IncomingEvent], place: Reservation | None = None, *, evaluated: bool = True
    ) -> list[Accepted | EventError]:
        self.calls += 1
        problem = self.fail_on.get(self.calls) or self.fail_always
        if problem is not None:
            raise problem
        await asyncio.sleep(0)
        self.groups.append(len(events))
        self.stored.set()
        return [self._one(event) for event in events]

    def _one(self, event: IncomingEvent) -> Accepted | EventError:
        if event.uuid in self.opted_out:
            return Accepted(uuid=event.uuid or "", opted_out=True)
        if self.refuse_signal is not None and self.refuse_signal in event.signals:
            return EventError("not_wanted", "the engine does not want this")
        self.events.append(event)
        unknown = tuple(
            LeftOut("trait", "unknown_trait", f"no trait {trait}")
            for trait in event.traits
            if trait == 99_999
        )
        return Accepted(
            uuid=event.uuid or FRESH,
            traits=(1000, 1001),
            segments=(14356,),
            left_out=(*event.left_out, *unknown),
            by_id=self.by_id and event.public and event.uuid is None,
        )

    async def opt_out(self, uuid: str | None, ids: tuple[DeclaredId, ...], *, public: bool) -> Accepted:
        self.opt_outs.append((uuid, ids))
        self.public_opt_outs.append(public)
        return Accepted(uuid=uuid or FRESH, opted_out=True)

    async def has_opted_out(self, uuid: str | None, ids: Sequence[DeclaredId]) -> bool:
        return any(one == (uuid, ()) or (uuid is None and one[1] == tuple(ids)) for one in self.opt_outs)

    ids = IdRules(
        Catalog(
            data_sources=(
                DataSource(id=12345, integration_code="acme"),
                *(DataSource(id=dpid) for dpid in (123, 124, 125, 126)),
            )
        )
    )

    def only_by_token(self, dpid: int) -> bool:
        return dpid == 126

    async def authorize(self, token: str | None, scope: str) -> None:
        if token is None:
            raise Unauthorized("a token is needed")
        if token == PAGE_KEY and scope == "browser":
            return
        if token != SECRET or scope != "ingest":
            raise Unauthorized("not this one", forbidden=token in ("arke_reader", PAGE_KEY))

    def ready(self) -> bool:
        return self.is_ready


class Answer(NamedTuple):
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)

    def cookies(self) -> list[str]:
        return [value for key, value in self.headers if key == "set-cookie"]


class Server:
    """Where a running intake listens, and how to talk to it."""

    def __init__(self, port: int) -> None:
        self.port = port

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)

    def send(self, raw: bytes) -> Answer:
        """One request on its own connection."""
        with self.connect() as connection:
            connection.sendall(raw)
            return read_answer(connection)

    def get(self, target: str, *headers: str, host: str = "intake.example") -> Answer:
        lines = [f"GET {target} HTTP/1.1", f"Host: {host}", "Connection: close", *headers, "", ""]
        return self.send("\r\n".join(lines).encode())

    def post(self, target: str, body: bytes, *headers: str) -> Answer:
        lines = [f"POST {target} HTTP/1.1", "Host: intake.example", "Connection: close"]
        lines += [f"Content-Length: {len(body)}", *headers, "", ""]
        return self.send("\r\n".join(lines).encode() + body)

    def bulk(self, body: bytes, *headers: str) -> Answer:
        return self.post("/v1/events", body, f"Authorization: Bearer {SECRET}", *headers)


def read_answer(connection: socket.socket) -> Answer:
    """One answer, by its Content-Length (or none for 204)."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65_536)
        if not part:
            return Answer(0, [], data)
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    first, *rest = head.decode("latin-1").split("\r\n")
    headers = [(key.lower(), value.strip()) for key, _, value in (line.partition(":") for line in rest)]
    length = int(dict(headers).get("content-length", "0"))
    while len(body) < length:
        part = connection.recv(65_536)
        if not part:
            break
        body += part
    return Answer(int(first.split()[1]), headers, body)


@contextmanager
def running(
    engine: RecordingEngine,
    settings: IntakeSettings | None = None,
    *,
    bounds: Bounds | None = None,
    refusals: Refusals | None = None,
    proxies: TrustedProxies | None = None,
) -> Iterator[Server]:
    """The intake under a real uvicorn on a loopback port, stopped at the end."""
    listener = socket.create_server(("127.0.0.1", 0))
    app = intake_app(engine, engine, engine, settings or IntakeSettings())
    server = intake_server(app, refusals or Refusals(), bounds=bounds, proxies=proxies)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])), daemon=True)
    thread.start()
    try:
        yield Server(listener.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)
        listener.close()
        assert not thread.is_alive(), "the server did not stop"
