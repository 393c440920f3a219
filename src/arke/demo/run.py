"""One demo from start to end: destinations up, engine up, traffic, replay of what is owed, reconciliation."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from arke.checking import catalog_checkers
from arke.clock import SystemClock
from arke.delivery.observer import LATENCIES_KEPT
from arke.demo.catalog import filled_catalog
from arke.demo.destinations import Destinations, Samples
from arke.demo.intake_client import IntakeClient
from arke.demo.reconcile import reconcile
from arke.demo.summary import (
    Summary,
    destination_figures,
    event_figures,
    membership_figures,
    percentile,
    problems_of,
)
from arke.demo.traffic import Traffic
from arke.demo.visitors import plan_visits
from arke.errors import InvalidInput, Unavailable
from arke.operations.subjects import Operations
from arke.serve import open_doors
from arke.settings import Egress, Privacy, Server, Settings
from arke.shard.protocol import AskStatus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from arke.demo.reconcile import Reconciliation
    from arke.demo.summary import DestinationFigures, EventFigures, MembershipFigures
    from arke.demo.traffic import Tally
    from arke.demo.visitors import Plan
    from arke.operations.engine import Engine
    from arke.operations.explain import Explanation
    from arke.operations.status import Status
    from arke.serve import Doors

TICK_S: Final = 0.5
IDLE_WITHIN_S: Final = 60.0
"""How long what is in flight may take to end: seconds, but a machine with other work needs its time."""
IDLE_POLL_S: Final = 0.1
SHARDS: Final = 2
REGION: Final = 6
OPT_OUTS_PER_MINUTE: Final = 1_000_000
"""All visitors have one address here."""


class Options(msgspec.Struct, frozen=True):
    """`length_s`: how long visitors come; `keep`: a new or empty folder that outlives the demo. `cluster`: on one,
    whose events these brokers carry (`kafka`), or PostgreSQL.
    """

    visitors: int = 1_500
    length_s: float = 20.0
    seed: int = 1
    keep: Path | None = None
    cluster: bool = False
    kafka: str = ""


class Opened(msgspec.Struct, frozen=True):
    """Where everything listens and lives while the demo runs; `others`: what else there is, by name."""

    intake: str
    admin: str
    console: str
    data: Path
    catalog: Path
    destinations: dict[str, str]
    planned_events: int
    others: dict[str, str] = {}


class Played(msgspec.Struct, frozen=True):
    """The engine's figures `before` and `after` the replay of what was owed, and the latencies before it."""

    before: Status
    after: Status
    replayed: int
    latencies_ms: list[float]


class Audience(Protocol):
    """Whoever watches: told what happens as it does."""

    def opened(self, opened: Opened) -> None: ...

    def stage(self, text: str) -> None: ...

    def tick(self, tally: Tally, status: Status) -> None: ...

    async def concluded(self, summary: Summary, stop: asyncio.Event) -> None:
        """Everything still runs, until this returns."""


async def run_demo(options: Options, audience: Audience) -> Summary:
    """Run it. Raises what the engine raises when it cannot start; sums that disagree are in the summary.

    Ctrl-C ends the traffic early, and the rest follows as usual; a second one ends everything. Whoever watches may
    have it run on when all is said.
    """
    started = time.monotonic()
    with demo_folder(options.keep) as folder, stop_on_signals() as stop:
        samples = Samples()
        destinations = Destinations(
            folder,
            seed=options.seed,
            keep_requests=options.keep is not None,
            on_received=samples.offer,
        )
        settings = Settings(
            region=REGION,
            server=Server(intake="127.0.0.1:0", admin="127.0.0.1:0", shards=SHARDS),
            egress=Egress(allow_cidrs=("127.0.0.0/8",)),
            privacy=Privacy(opt_outs_per_minute=OPT_OUTS_PER_MINUTE),
        )
        audience.stage("starting three HTTPS destinations and the engine")
        async with (
            destinations,
            open_doors(folder / "data", settings, catalog_checkers()) as (engine, doors),
        ):
            demo = Demo(options, audience, folder, destinations, engine, doors)
            summary = ended(await demo.play(samples, stop), options, folder, started)
            await audience.concluded(summary, stop)
        return summary


def ended(summary: Summary, options: Options, folder: Path, started: float) -> Summary:
    """With how long it took, and where what is kept is."""
    wall_s = round(time.monotonic() - started, 1)
    kept = str(folder) if options.keep is not None else None
    return msgspec.structs.replace(summary, wall_s=wall_s, kept=kept)


class Demo:
    """The demo once everything listens. `doors` are the intake's and the admin API's."""

    def __init__(
        self,
        options: Options,
        audience: Audience,
        folder: Path,
        destinations: Destinations,
        engine: Engine,
        doors: Doors,
    ) -> None:
        self.options = options
        self.audience = audience
        self._folder = folder
        self._destinations = destinations
        self.engine = engine
        self._doors = doors
        self._operations = Operations(engine, SystemClock(), catalog_checkers())

    async def play(self, samples: Samples, stop: asyncio.Event) -> Summary:
        await self.apply_catalog()
        plan = plan_visits(self.options.visitors, self.options.length_s, self.options.seed)
        token = await self._operations.tokens.create("ingest", "the demo's visitors")
        self.audience.opened(self.opened(plan))
        client = IntakeClient(self._doors.intake)
        traffic = Traffic(plan, client, token.secret, stop)
        try:
            async with self._ticking(traffic.tally):
                played = await self._perform(plan, traffic)
        finally:
            await client.close()
        return await self._conclude(plan, traffic, played, samples)

    def opened(self, plan: Plan) -> Opened:
        return Opened(
            intake=f"http://{self._doors.intake}",
            admin=f"http://{self._doors.admin}",
            console=self._doors.console,
            data=self._folder / "data",
            catalog=self._folder / "catalog.yaml",
            destinations={
                destination.name: destination.url for destination in self.engine.live.catalog.destinations
            },
            planned_events=plan.events,
        )

    async def visit(self, plan: Plan, traffic: Traffic) -> None:
        """The visitors come and go."""
        self.audience.stage(f"{plan.visitors:,} visitors come to the shop")
        await traffic.run()

    async def _perform(self, plan: Plan, traffic: Traffic) -> Played:
        """Traffic, then the replay of what is owed; nothing is in flight when this returns."""
        await self.visit(plan, traffic)
        self.audience.stage("the last messages are delivered")
        before = await self.wait_until_idle()
        latencies_ms = await self._latencies_ms()
        self.audience.stage("Borealis behaves from now on: what is owed is sent again")
        self._destinations.behave()
        replayed = (await self._operations.undelivered.replay(None)).devices
        return Played(before, await self.wait_until_idle(), replayed, latencies_ms)

    async def _conclude(self, plan: Plan, traffic: Traffic, played: Played, samples: Samples) -> Summary:
        self.audience.stage("the books of the engine and of the destinations are compared")
        states = {number: server.state for number, server in self._destinations.servers.items()}
        reconciliation = await reconcile(
            self._operations, self.engine.live.catalog, states, plan.partner_ids, traffic.cookies
        )
        events = event_figures(traffic.tally, played.after.events)
        memberships = membership_figures(played.after.changes, reconciliation.memberships)
        rows = self._rows(played.before, played.after)
        problems = self.problems(events, memberships, rows, reconciliation, played.after)
        explanation = await self._explanation(samples)
        return Summary(
            ok=not problems,
            problems=problems,
            visitors=plan.visitors,
            devices=played.after.profiles,
            events=events,
            memberships=memberships,
            destinations=rows,
            replayed_devices=played.replayed,
            p50_ms=percentile(played.latencies_ms, 50),
            p99_ms=percentile(played.latencies_ms, 99),
            reconciliation=reconciliation,
            messages=samples.chosen(),
            explanation=explanation,
        )

    def problems(
        self,
        events: EventFigures,
        memberships: MembershipFigures,
        destinations: list[DestinationFigures],
        books: Reconciliation,
        status: Status,
    ) -> list[str]:
        """What does not add up."""
        return problems_of(events, memberships, destinations, books, status)

    async def apply_catalog(self) -> None:
        path = self._folder / "catalog.yaml"
        text = filled_catalog(self._folder, self._destinations.addresses)
        path.write_text(text, encoding="utf-8")
        await self._operations.catalog.apply(text, str(path), self._folder)

    @contextlib.asynccontextmanager
    async def _ticking(self, tally: Tally) -> AsyncIterator[None]:
        """Show the figures as they grow, and once more when the traffic is done."""

        async def tick() -> None:
            while True:
                await asyncio.sleep(TICK_S)
                with contextlib.suppress(Unavailable):  # some shard is on its way to another worker
                    self.audience.tick(tally, await self._operations.status.read())

        ticking = asyncio.create_task(tick())
        try:
            yield
        finally:
            ticking.cancel()
            await asyncio.gather(ticking, return_exceptions=True)
        self.audience.tick(tally, await self._operations.status.read())

    async def wait_until_idle(self) -> Status:
        """Wait until nothing is in flight. A lane behind an open circuit gets IDLE_WITHIN_S to come out of it."""
        end = time.monotonic() + IDLE_WITHIN_S
        while True:
            await self.engine.drain(max(0.0, end - time.monotonic()))
            status = await self._operations.status.read()
            if not status.queued and not any(row.backlog for row in status.destinations):
                return status
            if time.monotonic() >= end:
                return status
            await asyncio.sleep(IDLE_POLL_S)

    async def _latencies_ms(self) -> list[float]:
        """From event to acknowledgement over all destinations, in ms, ascending."""
        shards = await self.engine.shards.ask_all(AskStatus(latencies=LATENCIES_KEPT))
        return sorted(
            value for shard in shards for lane in shard.lanes for value in lane.figures.latencies_ms
        )

    def _rows(self, before: Status, after: Status) -> list[DestinationFigures]:
        earlier = {row.id: row for row in before.destinations}
        return [
            destination_figures(earlier[row.id], row, self._destinations.servers[row.id].stats)
            for row in after.destinations
        ]

    async def _explanation(self, samples: Samples) -> Explanation | None:
        """Everything about a user of the last sample, which becomes one about a user of whom something is
        still told: one who opted out since is forgotten.
        """
        for uuid in samples.examples():
            found = await self._operations.people.look_up(uuid, None)
            if any(told.told for side in found.destinations for told in side.ids):
                samples.show(uuid)
                return found
        return None


@contextlib.contextmanager
def demo_folder(keep: Path | None) -> Iterator[Path]:
    """A folder of the demo's own: temporary, or the one to keep, which must be new or empty."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="arke-demo-") as name:
            yield Path(name)
        return
    try:
        keep.mkdir(mode=0o700, parents=True, exist_ok=True)
        occupied = any(keep.iterdir())
    except OSError as error:
        raise InvalidInput(f"{keep}: cannot be used as a folder: {error.strerror}") from None
    if occupied:
        raise InvalidInput(f"{keep}: this folder is not empty: give --keep a new one")
    yield keep.absolute()


@contextlib.contextmanager
def stop_on_signals() -> Iterator[asyncio.Event]:
    """Set by the first SIGINT or SIGTERM; the second one cancels."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    task = asyncio.current_task()

    def heard() -> None:
        if stop.is_set() and task is not None:
            task.cancel()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, heard)
    try:
        yield stop
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
