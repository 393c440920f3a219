"""The sender of the intake bench: a process of its own that posts events, `python -m arke.bench.intake_client`.

Reads one order a line as JSON, and prints what it saw as one line of JSON each. It costs as little as it can, since
it shares the machine with what it measures: requests are laid ready, and of an answer its length is looked at.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Final, cast

import msgspec
import uvloop

from arke.bench.workload import PARTNER_DPID

if TYPE_CHECKING:
    from collections.abc import Iterator

SEGMENT: Final = 600_001
IDLE_WITHIN_S: Final = 30.0
RETRY_S: Final = 0.05
_OK: Final = b"HTTP/1.1 200"
_OVERLOADED: Final = b"HTTP/1.1 429"
_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length: "


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """Post events to `port` over `connections` for `seconds`: as fast as they are answered, or `rate` a second.

    `lines`: events in one request. `known`: of so many devices, over and over; 0: every event names a new one.
    `names` tells this order's devices from those of others.
    """

    port: int
    connections: int
    seconds: float
    rate: float = 0.0
    lines: int = 1
    known: int = 0
    names: str = ""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """`events` accepted in `seconds`, and how long each request took, in order of length. `refused` requests were
    answered 429, and sent again.
    """

    events: int
    seconds: float
    took_ms: list[float]
    refused: int = 0


def requests(order: Order) -> Iterator[bytes]:
    number = 0
    while True:
        lines = []
        for _ in range(order.lines):
            device = number % order.known if order.known else number
            number += 1
            lines.append(
                b'{"ids":[{"dpid":%d,"id":"%s-%d"}],"memberships":{"%d":1}}'
                % (PARTNER_DPID, order.names.encode(), device, SEGMENT)
            )
        body = b"\n".join(lines)
        yield b"POST /v1/events HTTP/1.1\r\nHost: bench\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


class Connection(asyncio.Protocol):
    """Posts one request after the other; `answered` is told how long each took."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._transport: asyncio.Transport | None = None
        self._data = b""
        self._request = b""
        self._since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def post(self, request: bytes) -> None:
        self._request = request
        self._since = time.perf_counter()
        self._write()

    def again(self) -> None:
        """The same request; it takes as long as it takes in all."""
        asyncio.get_running_loop().call_later(RETRY_S, self._write)

    def _write(self) -> None:
        assert self._transport is not None  # noqa: S101 - connected before
        self._transport.write(self._request)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._data = data = self._data + data if self._data else data
        end = data.find(_END)
        if end < 0:
            return
        at = data.find(_LENGTH, 0, end)
        size = int(data[at + len(_LENGTH) : data.index(b"\r", at)])
        if len(data) < end + len(_END) + size:
            return
        self._data = b""
        self._run.answered(self, data, time.perf_counter() - self._since)

    def connection_lost(self, exc: Exception | None) -> None:
        self._run.lost(exc)


class Run:
    """One order being carried out."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._ready = requests(order)
        self._free: deque[Connection] = deque()
        self._refused = 0
        self._waiting = 0
        self._ends = 0.0
        self._last = 0.0
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._took: list[float] = []

    async def carry_out(self) -> Seen:
        loop = asyncio.get_running_loop()
        for _ in range(self._order.connections):
            _, connection = await loop.create_connection(
                lambda: Connection(self), "127.0.0.1", self._order.port
            )
            self._free.append(connection)
        connections = tuple(self._free)
        began = time.perf_counter()
        self._ends = began + self._order.seconds
        if self._order.rate:
            await self._paced(began)
        else:
            for connection in connections:
                self._post(connection)
        async with asyncio.timeout(self._order.seconds + IDLE_WITHIN_S):
            await self._done
        for connection in connections:
            connection.close()
        took = sorted(took * 1000 for took in self._took)
        events = len(took) * self._order.lines
        return Seen(events=events, seconds=self._last - began, took_ms=took, refused=self._refused)

    async def _paced(self, began: float) -> None:
        number = 0
        while (due := began + number / self._order.rate) < self._ends:
            number += 1
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            while not self._free:  # noqa: ASYNC110 - it is behind, and says so by its latency
                await asyncio.sleep(0.001)
            self._post(self._free.popleft())
        self._ends = time.perf_counter()
        self._end_if_idle()

    def _post(self, connection: Connection) -> None:
        self._waiting += 1
        connection.post(next(self._ready))

    def answered(self, connection: Connection, answer: bytes, took: float) -> None:
        if answer.startswith(_OVERLOADED):
            self._refused += 1
            connection.again()
            return
        self._waiting -= 1
        self._last = time.perf_counter()
        self._took.append(took)
        if not answer.startswith(_OK) or b'"rejected":[]' not in answer:
            self.lost(RuntimeError(f"the intake answered {answer[:600]!r}"))
        elif self._order.rate:
            self._free.append(connection)
            self._end_if_idle()
        elif self._last < self._ends:
            self._post(connection)
        else:
            self._end_if_idle()

    def _end_if_idle(self) -> None:
        if not self._waiting and time.perf_counter() >= self._ends and not self._done.done():
            self._done.set_result(None)

    def lost(self, error: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(error or ConnectionError(f"the intake hung up: {self._order}"))


def main() -> None:
    gc.disable()
    uvloop.run(_carry_out_all())


async def _carry_out_all() -> None:
    while line := await asyncio.to_thread(sys.stdin.readline):
        seen = await Run(msgspec.json.decode(line, type=Order)).carry_out()
        sys.stdout.write(msgspec.json.encode(seen).decode() + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
