"""How a lane comes back: nobody listens at the destination while events are accepted, and then somebody does.

`arke up` as it is, one destination. Each event is about somebody new, so that everybody is to be told exactly once.
Measured from outside, at the destination: when the first message arrives after its return, when the last user is
told, and how many are told twice. Nobody asks for a replay.
"""

from __future__ import annotations

import asyncio
import http.client
import re
import ssl
import threading
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import msgspec
import trustme

from arke.bench.end_to_end import running_up
from arke.bench.figures import Figure, Section
from arke.bench.sinks import BenchFailed, SinkConnection, free_port
from arke.bench.workload import PARTNER_DPID
from arke.domain.catalog import Catalog, DataSource, Destination, Mapping, Segment, Tls
from arke.wording import many

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from arke.bench.end_to_end import Up
    from arke.bench.figures import Options

DESTINATION: Final = 423
SEGMENT: Final = 14356
BODY: Final = 500
"""Events in a body."""
EVENTS: Final = 20_000
FIRST_TARGET_S: Final = 2.0
ALL_TARGET_S: Final = 20.0
PATIENCE_S: Final = 180.0
POLL_S: Final = 0.05
SHARDS: Final = (1, 2)
_USER: Final = re.compile(rb'"DataPartner_UUID":"(u\d+)"')


class Outage(msgspec.Struct, frozen=True):
    """One outage, in seconds: how long it lasted after the last event, and what came after its end. `owed` users
    were owed at its end; `twice` were told more often than once. `unanswered`: how often a user was in an attempt
    after its end that got no answer, so that nobody knows whether it was told.
    """

    lasted_s: float
    first_s: float
    all_s: float
    owed: int
    requests: int
    twice: int
    unanswered: int


def run(options: Options, directory: Path) -> Section:
    """One outage with one shard and one with two, each five stretches longer than the events take."""
    events = EVENTS
    figures = []
    notes = [f"`arke up`, {events:,} events about as many new devices, accepted while nobody listens"]
    for shards in SHARDS:
        found = outage(directory / f"{shards}", shards, events, 5 * options.seconds)
        which = many(shards, "shard")
        figures += [
            _seconds(
                f"first_{shards}", f"return to the first message, {which}", found.first_s, FIRST_TARGET_S
            ),
            _seconds(f"all_{shards}", f"return to the last user told, {which}", found.all_s, ALL_TARGET_S),
            Figure(
                key=f"twice_{shards}", text="told twice", value=found.twice, unit="", target=0, at_most=True
            ),
            Figure(key=f"owed_{shards}", text="owed at the return", value=found.owed, unit=""),
        ]
        notes.append(
            f"{which}: back {found.lasted_s:.0f} s after the last event; {found.requests:,} requests"
        )
    return Section(name="outage", figures=figures, notes=notes)


def _seconds(key: str, text: str, value: float, target: float) -> Figure:
    return Figure(key=key, text=text, value=value, unit="s", target=target, at_most=True)


def outage(directory: Path, shards: int, events: int, lasts_s: float) -> Outage:
    """Events while nobody listens, and for `lasts_s` longer; then somebody does until everybody is told."""
    directory.mkdir()
    destination = Returning(directory)
    with running_up(directory, shards, _catalog(destination)) as up:
        _post(up.intake_port, events)
        ended = time.monotonic()
        _wait(lambda: up.client.status().destinations[0].circuit != "closed", "an open circuit")
        time.sleep(max(0.0, ended + lasts_s - time.monotonic()))
        before = up.client.status().destinations[0]
        with destination.listening() as since:
            _wait(lambda: len(destination.told) >= events, "everybody to be told")
            all_s = destination.newest - since
            _wait(lambda: _is_done(up), "nothing to be left")
        after = up.client.status().destinations[0]
    return Outage(
        lasted_s=since - ended,
        first_s=destination.first - since,
        all_s=all_s,
        owed=before.owed,
        requests=destination.requests,
        twice=sum(count > 1 for count in destination.told.values()),
        unanswered=after.users_unanswered - before.users_unanswered,
    )


class Returning:
    """A destination with an address and a certificate where nobody listens, until `listening`. Times are of the
    monotonic clock.
    """

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self.ca_file = directory / "ca.pem"
        self.told: Counter[bytes] = Counter()
        self.requests = 0
        self.first = self.newest = 0.0
        self._server: asyncio.Server | None = None
        self._connections: list[SinkConnection] = []
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.ca_file))
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(self._context)

    def arrived(self, body: bytes) -> None:
        """See `Taker`."""
        now = time.monotonic()
        self.first = self.first or now
        self.requests += 1
        before = len(self.told)
        self.told.update(_USER.findall(body))
        if len(self.told) > before:
            self.newest = now

    @contextmanager
    def listening(self) -> Iterator[float]:
        """Since when it listens; until the end of the block."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="destination", daemon=True)
        thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(loop), loop).result(PATIENCE_S)
        try:
            yield time.monotonic()
        finally:
            asyncio.run_coroutine_threadsafe(self._hang_up(), loop).result(PATIENCE_S)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(PATIENCE_S)
            loop.close()

    async def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        self._server = await loop.create_server(
            self._connected, "127.0.0.1", self.port, ssl=self._context, backlog=1_024
        )

    def _connected(self) -> SinkConnection:
        connection = SinkConnection(self)
        self._connections.append(connection)
        return connection

    async def _hang_up(self) -> None:
        if self._server is not None:
            self._server.close()
        for connection in self._connections:
            connection.abort()
        await asyncio.sleep(0.1)  # until the sockets of the aborted ones are closed


def _catalog(destination: Returning) -> Catalog:
    return Catalog(
        data_sources=(DataSource(id=PARTNER_DPID),),
        segments=(Segment(id=SEGMENT),),
        destinations=(
            Destination(
                id=DESTINATION,
                url=f"https://127.0.0.1:{destination.port}/segments/aam",
                client_id="74323",
                user_dpids=(PARTNER_DPID,),
                batch=None,
                tls=Tls(ca_file=str(destination.ca_file)),
                segments=(Mapping(segment=SEGMENT),),
            ),
        ),
    )


def _post(port: int, events: int) -> None:
    """One event about each of so many devices, all accepted."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    for start in range(0, events, BODY):
        lines = [
            b'{"ids":[{"dpid":%d,"id":"u%d"}],"memberships":{"%d":1}}\n' % (PARTNER_DPID, number, SEGMENT)
            for number in range(start, min(events, start + BODY))
        ]
        connection.request("POST", "/v1/events", b"".join(lines))
        answer = connection.getresponse()
        told = msgspec.json.decode(answer.read())
        if answer.status != 200 or told["accepted"] != len(lines):
            raise BenchFailed(f"the intake answered {answer.status}: {told}")
    connection.close()


def _is_done(up: Up) -> bool:
    (row,) = up.client.status().destinations
    return not (row.owed or row.backlog)


def _wait(done: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        if time.monotonic() > deadline:
            raise BenchFailed(f"waited {PATIENCE_S:.0f} s for {what}")
        time.sleep(POLL_S)
