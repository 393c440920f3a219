"""The sender of `arke bench overload`, a process of its own: `python -m arke.bench.overload_client`.

Reads one job as JSON from standard input, says on which port its destination listens, and then does what each
further line asks: `flood` posts as fast as the intake answers, `push` posts at a rate, whatever the intake does
and without sending anything again. The destination in the same process notes whom it was told about, so that
the sender knows of every event that was accepted whether it was told.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
from pathlib import Path

import msgspec
import uvloop

from arke.bench.sinks import ProbeSink
from arke.bench.workload import PARTNER_DPID

SEGMENT = 700_001
"""The external segment that events tell."""
BODY_EVENTS = 100
FLOOD_CONNECTIONS = 8
PUSH_CONNECTIONS = 1_000
"""At once: an engine takes 1,024 of one address, and senders have pools."""
RETRY_S = 0.05
LOOK_S = 0.2
TOLD_WITHIN_S = 300.0
"""How long after the load its events may take to be told."""


class Job(msgspec.Struct, frozen=True):
    """`known` visitors are introduced first; half of all bodies are about them, half about new ones."""

    directory: str
    known: int


class Order(msgspec.Struct, frozen=True):
    """`rate` in events a second; 0: as fast as the intake answers."""

    port: int
    seconds: float
    rate: float = 0.0


class Answers(msgspec.Struct):
    """What became of the bodies of one order, in events: `accepted_new` are about new visitors, `untold` were
    accepted and never reached the destination, `failed` got neither 200 nor 429 (`failures` say what instead, for
    each body). Times in seconds; `moments` are those of the answers to accepted bodies.
    """

    accepted: int = 0
    accepted_new: int = 0
    refused: int = 0
    failed: int = 0
    failures: list[str] = []
    untold: int = 0
    seconds: float = 0.0
    drained_s: float = 0.0
    accepted_s: list[float] = []
    refused_s: list[float] = []
    moments: list[float] = []


class Ready(msgspec.Struct, frozen=True):
    """The destination listens."""

    port: int


class _Identity(msgspec.Struct, frozen=True):
    DataPartner_UUID: str


class _Body(msgspec.Struct, frozen=True):
    Users: list[_Identity]


class _Receipt(msgspec.Struct, frozen=True):
    accepted: int = 0


class _Unanswered(ConnectionError):
    """The connection was closed before any byte of an answer."""


class _Sender:
    """Posts bodies over as many connections as are needed; keeps those that are free."""

    def __init__(self, port: int, told: set[str], known: int) -> None:
        self._port = port
        self._told = told
        self._known = known
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._new = self._turn = 0
        self._due: set[str] = set()
        self.answers = Answers()

    def bodies(self) -> tuple[bytes, list[str]]:
        """The next body and the ids in it: of known and of new visitors in turn."""
        self._turn += 1
        if self._turn % 2:
            ids = [f"new-{self._new + n}" for n in range(BODY_EVENTS)]
            self._new += BODY_EVENTS
        else:
            first = self._turn // 2 * BODY_EVENTS
            ids = [f"known-{(first + n) % self._known}" for n in range(BODY_EVENTS)]
        return _lines(ids), ids

    async def flood(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()

        async def work() -> None:
            while loop.time() < started + seconds:
                await self._post(*self.bodies())

        await asyncio.gather(*(work() for _ in range(FLOOD_CONNECTIONS)))
        self.answers.seconds = loop.time() - started

    async def push(self, seconds: float, rate: float) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        tasks = set()
        pool = asyncio.Semaphore(PUSH_CONNECTIONS)

        async def post(body: bytes, ids: list[str]) -> None:
            async with pool:
                await self._post(body, ids)

        for number in range(round(seconds * rate / BODY_EVENTS)):
            delay = started + number * BODY_EVENTS / rate - loop.time()
            if delay > 0:
                await asyncio.sleep(delay)
            task = asyncio.create_task(post(*self.bodies()))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        if tasks:
            await asyncio.wait(tasks)
        self.answers.seconds = loop.time() - started

    async def introduce(self) -> None:
        for first in range(0, self._known, BODY_EVENTS):
            ids = [f"known-{n}" for n in range(first, min(self._known, first + BODY_EVENTS))]
            while not await self._post(_lines(ids, told=False), ids, told=False):  # noqa: ASYNC110
                await asyncio.sleep(RETRY_S)
        self.answers = Answers()

    async def _post(self, body: bytes, ids: list[str], *, told: bool = True) -> bool:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            status, answer = await self._exchange(body)
        except (OSError, asyncio.IncompleteReadError) as error:
            self.answers.failed += len(ids)
            self.answers.failures.append(type(error).__name__)
            return False
        took = loop.time() - begun
        taken = answer.accepted if status in (200, 429) else 0
        self.answers.accepted += taken
        self.answers.accepted_new += taken if ids[0].startswith("new") else 0
        if told:
            self._due.update(ids[:taken])  # a body is taken line by line
        if status == 200:
            self.answers.accepted_s.append(took)
            self.answers.moments.append(loop.time())
        elif status == 429:
            self.answers.refused += len(ids) - taken
            self.answers.refused_s.append(took)
        else:
            self.answers.failed += len(ids)
            self.answers.failures.append(str(status))
        return status == 200

    async def _exchange(self, body: bytes) -> tuple[int, _Receipt]:
        while self._free:
            with contextlib.suppress(_Unanswered):  # it was closed for being idle
                return await self._ask(*self._free.pop(), body)
        opened = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 20)
        return await self._ask(*opened, body)

    async def _ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes
    ) -> tuple[int, _Receipt]:
        head = f"POST /v1/events HTTP/1.1\r\nHost: bench\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        try:
            answer = await reader.readuntil(b"\r\n\r\n")
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            if getattr(error, "partial", b""):
                raise
            raise _Unanswered from error
        fields = answer.lower().split(b"\r\n")
        length = next(int(line.split(b":")[1]) for line in fields if line.startswith(b"content-length"))
        told = await reader.readexactly(length)
        if b"connection: close" in fields:
            writer.close()
        else:
            self._free.append((reader, writer))
        try:
            receipt = msgspec.json.decode(told, type=_Receipt)
        except msgspec.MsgspecError:
            receipt = _Receipt()
        return int(answer[9:12]), receipt

    async def drained(self) -> None:
        """Until the destination was told of everybody who was accepted."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        while (left := self._due - self._told) and loop.time() < started + TOLD_WITHIN_S:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_S)
        self.answers.untold = len(left)
        self.answers.drained_s = loop.time() - started

    def report(self) -> Answers:
        answers, self.answers = self.answers, Answers()
        return answers


def _lines(ids: list[str], *, told: bool = True) -> bytes:
    rest = f'"memberships":{{"{SEGMENT}":1}}' if told else '"signals":{"c_k":"1"}'
    return b"".join(
        f'{{"ids":[{{"dpid":{PARTNER_DPID},"id":"{partner}"}}],{rest}}}\n'.encode() for partner in ids
    )


class _Told(ProbeSink):
    """Whom the destination was told about."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.ids: set[str] = set()
        self._decode = msgspec.json.Decoder(_Body).decode

    def arrived(self, body: bytes) -> None:
        self.ids.update(user.DataPartner_UUID for user in self._decode(body).Users)


async def _run(job: Job) -> None:
    told = _Told(Path(job.directory))
    await told.start()
    _say(Ready(told.port))
    sender: _Sender | None = None
    try:
        while line := await asyncio.to_thread(sys.stdin.readline):
            order = msgspec.json.decode(line, type=Order)
            if sender is None:
                sender = _Sender(order.port, told.ids, job.known)
                await sender.introduce()
                gc.collect()
                gc.freeze()
            if order.rate:
                await sender.push(order.seconds, order.rate)
            else:
                await sender.flood(order.seconds)
            await sender.drained()
            _say(sender.report())
    finally:
        await told.stop()


def _say(message: Ready | Answers) -> None:
    sys.stdout.write(msgspec.json.encode(message).decode() + "\n")
    sys.stdout.flush()


def main() -> None:
    job = msgspec.json.decode(sys.stdin.readline(), type=Job)
    uvloop.run(_run(job))


if __name__ == "__main__":
    main()
