"""The load generator: a process of its own that posts NDJSON, `python -m arke.bench.load_client`.

Reads one job as JSON from standard input, prepares everything, prints a line, waits for a line, runs, and
prints what it saw as JSON. `flood` posts as fast as the intake takes it; `steady` posts at a rate, whatever
the intake does, and measures latency from outside.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from pathlib import Path

import msgspec
import uvloop

from arke.bench.sinks import PROBE_PREFIX, ProbeSink
from arke.bench.workload import PARTNER_DPID, Workload

FLOOD_BATCH = 500
STEADY_BATCH = 50
CONNECTIONS = 8
PROBE_SHARE = 0.02
IDLE_WITHIN_S = 60.0
"""How long the last probes are waited for: one that is later than that is lost."""
RETRY_S = 0.05
PROBE_SIGNALS = {
    "c_category": "cat0",
    "c_product": "p0",
    "c_brand": "b0",
    "c_action": "buy",
    "c_price": "900",
}


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """`users` visitors, `events` of theirs; `rate` 0 floods, otherwise events a second for `seconds`.

    `introduce`: post each visitor once before, so that profiles and identities exist. `directory` is where a
    probe sink keeps its certificate; None: no sink, as for a flood.
    """

    users: int
    events: int = 0
    rate: float = 0.0
    seconds: float = 0.0
    introduce: bool = False
    directory: str | None = None
    seed: int = 1


class Prepared(msgspec.Struct, frozen=True):
    """Ready to go. `port` of the probe sink, 0 without one."""

    port: int = 0


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """`accepted` events in `seconds`; `refused` were answered 429 and sent again; latencies of the probes."""

    accepted: int
    seconds: float
    refused: int = 0
    late_s: float = 0.0
    probes: int = 0
    latencies_s: list[float] = []


class Intake:
    """One keep-alive connection to the intake."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.refused = 0

    async def post(self, body: bytes) -> int:
        """Events accepted; a refused body is sent again until it is taken, and one whose answer was lost."""
        while True:
            try:
                status, answer = await self._exchange(body)
            except (asyncio.IncompleteReadError, ConnectionError):
                self.close()
                self.refused += body.count(b"\n")
                await asyncio.sleep(RETRY_S)
                continue
            if status == 200:
                return int(msgspec.json.decode(answer)["accepted"])
            if status != 429:
                raise RuntimeError(f"the intake answered {status}: {answer[:300]!r}")
            self.refused += body.count(b"\n")
            await asyncio.sleep(RETRY_S)

    async def _exchange(self, body: bytes) -> tuple[int, bytes]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 20)
        reader, writer = self._streams
        head = f"POST /v1/events HTTP/1.1\r\nHost: bench\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        fields = answer.lower().split(b"\r\n")
        length = next(int(line.split(b":")[1]) for line in fields if line.startswith(b"content-length"))
        return int(answer[9:12]), await reader.readexactly(length)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def flood(port: int, bodies: list[bytes]) -> tuple[int, int]:
    """Post all bodies over a few connections; returns accepted and refused events."""
    waiting = iter(bodies)
    intakes = [Intake(port) for _ in range(CONNECTIONS)]

    async def work(intake: Intake) -> int:
        return sum([await intake.post(body) for body in waiting])

    accepted = sum(await asyncio.gather(*map(work, intakes)))
    for intake in intakes:
        intake.close()
    return accepted, sum(intake.refused for intake in intakes)


async def steady(port: int, lines: list[bytes], rate: float, sink: ProbeSink) -> Outcome:
    """Post on time, probes among the lines, then wait for the last probe."""
    free: list[Intake] = [Intake(port) for _ in range(CONNECTIONS)]
    tasks: set[asyncio.Task[int]] = set()
    probes = accepted = 0
    late_s = 0.0
    loop = asyncio.get_running_loop()
    started = loop.time()
    step = max(1, round(STEADY_BATCH * PROBE_SHARE))

    async def send(body: bytes) -> int:
        intake = free.pop() if free else Intake(port)
        try:
            return await intake.post(body)
        finally:
            free.append(intake)

    for first in range(0, len(lines), STEADY_BATCH):
        due = started + first / rate
        delay = due - loop.time()
        if delay > 0:
            await asyncio.sleep(delay)
        late_s = max(late_s, -delay)
        batch = lines[first : first + STEADY_BATCH]
        batch[-step:] = [_probe(probes + n) for n in range(step)]
        probes += step
        task = asyncio.create_task(send(b"\n".join(batch) + b"\n"))
        tasks.add(task)
    accepted = sum(await asyncio.gather(*tasks))
    seconds = loop.time() - started
    await sink.wait_for(probes, IDLE_WITHIN_S)
    for intake in free:
        intake.close()
    return Outcome(
        accepted=accepted,
        seconds=seconds,
        refused=sum(intake.refused for intake in free),
        late_s=late_s,
        probes=probes,
        latencies_s=sink.latencies_s,
    )


def _probe(number: int) -> bytes:
    partner = f"{PROBE_PREFIX}{time.monotonic_ns()}-{number}"
    return msgspec.json.encode({"ids": [{"dpid": PARTNER_DPID, "id": partner}], "signals": PROBE_SIGNALS})


def bodies_of(lines: list[bytes]) -> list[bytes]:
    return [b"\n".join(lines[at : at + FLOOD_BATCH]) + b"\n" for at in range(0, len(lines), FLOOD_BATCH)]


async def _run(job: Job) -> Outcome:
    workload = Workload(now=int(time.time()), users=job.users)
    everybody = bodies_of(workload.lines(range(job.users), seed=0)) if job.introduce else []
    lines = workload.lines(workload.visitors(job.events, job.seed), seed=job.seed)
    bodies = bodies_of(lines) if not job.rate else []
    sink = ProbeSink(Path(job.directory)) if job.directory is not None else None
    if sink is not None:
        await sink.start()
    gc.collect()
    gc.freeze()
    _say(Prepared(sink.port if sink is not None else 0))
    port = int(await asyncio.to_thread(sys.stdin.readline))
    try:
        if everybody:
            accepted, _ = await flood(port, everybody)
            _say(Prepared())
            await asyncio.to_thread(sys.stdin.readline)
        if job.rate and sink is not None:
            return await steady(port, lines, job.rate, sink)
        started = time.monotonic()
        accepted, refused = await flood(port, bodies)
        return Outcome(accepted=accepted, seconds=time.monotonic() - started, refused=refused)
    finally:
        if sink is not None:
            await sink.stop()


def _say(message: Prepared | Outcome) -> None:
    sys.stdout.write(msgspec.json.encode(message).decode() + "\n")
    sys.stdout.flush()


def main() -> None:
    job = msgspec.json.decode(sys.stdin.readline(), type=Job)
    _say(uvloop.run(_run(job)))


if __name__ == "__main__":
    main()
