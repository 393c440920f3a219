"""`arke demo --cluster`: the same demo on a cluster of four nodes, one of which is killed meanwhile.

PostgreSQL is started for it, and carries the events too unless Kafka is named. The admin node is this process, an
intake and two workers are processes of their own; what is compared in the end is what is stored, as the memory of
the killed one has gone with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from typing import TYPE_CHECKING, Final

import msgspec

from arke.checking import catalog_checkers
from arke.cluster_app import cluster_status, found_cluster
from arke.demo.destinations import Destinations, Samples
from arke.demo.node import NodeProcess
from arke.demo.postgres import PostgresServer, find_programs, reachable
from arke.demo.run import IDLE_POLL_S, IDLE_WITHIN_S, Demo, demo_folder, ended, stop_on_signals
from arke.demo.summary import Killed, lasting_problems_of
from arke.errors import Unavailable
from arke.serve import Doors, open_doors
from arke.settings import find_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

    from arke.cluster.role import Role
    from arke.demo.reconcile import Reconciliation
    from arke.demo.run import Audience, Opened, Options
    from arke.demo.summary import DestinationFigures, EventFigures, MembershipFigures, Summary
    from arke.demo.traffic import Traffic
    from arke.demo.visitors import Plan
    from arke.operations.status import Status
    from arke.settings import Settings

SHARDS: Final = 16
PROCESSES: Final[dict[str, Role]] = {"intake": "intake", "worker-1": "worker", "worker-2": "worker"}
KILLED: Final = "worker-1"
KILLED_AFTER: Final = 0.4
"""Of the visitors' time."""
SERVER: Final = {"fsync": "off", "max_connections": "60"}
"""Nothing of it survives the demo."""
SETTINGS: Final = """region = 6
[server]
intake = "127.0.0.1:0"
admin = "127.0.0.1:0"
[egress]
allow_cidrs = ["127.0.0.0/8"]
[privacy]
opt_outs_per_minute = 1000000
[cluster]
store = "file:{dsn}"
shards = {shards}
peers = "127.0.0.1:0"
log = "{log}"
"""
KAFKA: Final = """[kafka]
prefix = "arke-demo-{name}"
options = {{"bootstrap.servers" = "{brokers}"}}
"""


async def run_cluster_demo(options: Options, audience: Audience) -> Summary:
    """Run it, as `run_demo` does. Raises InvalidInput where there is no server to start."""
    started = time.monotonic()
    with demo_folder(options.keep) as folder, stop_on_signals() as stop, _postgres(audience) as postgres:
        settings, config = _settings(folder, postgres, options.kafka)
        samples = Samples()
        destinations = Destinations(
            folder, seed=options.seed, keep_requests=options.keep is not None, on_received=samples.offer
        )
        audience.stage("starting three HTTPS destinations and four nodes")
        await found_cluster(settings)
        async with (
            destinations,
            open_doors(folder / "data", settings, catalog_checkers(), "admin") as (engine, admin),
            _nodes(folder, config) as nodes,
        ):
            doors = Doors(nodes["intake"].intake, admin.admin, admin.socket, admin.console)
            demo = ClusterDemo(options, audience, folder, destinations, engine, doors)
            demo.join(settings, nodes, postgres.programs.folder)
            summary = msgspec.structs.replace(await demo.play(samples, stop), killed=demo.killed)
            summary = ended(summary, options, folder, started)
            await audience.concluded(summary, stop)
    return summary


@contextlib.contextmanager
def _postgres(audience: Audience) -> Iterator[PostgresServer]:
    programs = find_programs()
    audience.stage(f"starting PostgreSQL ({programs.folder})")
    server = PostgresServer(programs, SERVER)
    try:
        server.programs = reachable(programs, server.folder)
        server.make()
        server.start()
        yield server
    finally:
        server.close()


def _settings(folder: Path, postgres: PostgresServer, brokers: str) -> tuple[Settings, Path]:
    """Those of all nodes, and the file that has them."""
    dsn, config = folder / "postgres.dsn", folder / "arke.toml"
    dsn.write_text(postgres.dsn())
    text = SETTINGS.format(dsn=dsn, shards=SHARDS, log="kafka" if brokers else "postgresql")
    if brokers:
        text += KAFKA.format(name=secrets.token_hex(4), brokers=brokers)
    config.write_text(text)
    return find_settings(config), config


@contextlib.asynccontextmanager
async def _nodes(folder: Path, config: Path) -> AsyncIterator[dict[str, NodeProcess]]:
    nodes = {name: NodeProcess(name, role, folder, config) for name, role in PROCESSES.items()}
    try:
        async with asyncio.TaskGroup() as starting:
            for node in nodes.values():
                starting.create_task(node.start())
        yield nodes
    finally:
        await asyncio.gather(*(node.stop() for node in nodes.values()))


class ClusterDemo(Demo):
    """The demo once every node runs. `killed`: what became of the one that was."""

    killed: Killed | None = None

    def join(self, settings: Settings, nodes: dict[str, NodeProcess], programs: Path) -> None:
        """Before anything else: the nodes besides this one."""
        self._settings = settings
        self._nodes = nodes
        self._programs = programs

    def opened(self, plan: Plan) -> Opened:
        names = ", ".join(f"{node.name} (process {node.pid})" for node in self._nodes.values())
        others = {"nodes": f"admin (this process), {names}", "PostgreSQL": str(self._programs)}
        return msgspec.structs.replace(super().opened(plan), others=others)

    async def apply_catalog(self) -> None:
        """Once somebody owns every shard."""
        self.audience.stage(f"{SHARDS} shards are shared out to the workers")
        await _until(self._all_owned)
        await super().apply_catalog()

    async def visit(self, plan: Plan, traffic: Traffic) -> None:
        """In the middle of it a worker is killed, unless it ends before."""
        visiting = asyncio.create_task(super().visit(plan, traffic))
        try:
            await asyncio.wait([visiting], timeout=self.options.length_s * KILLED_AFTER)
            if not visiting.done():
                await self._kill()
            await visiting
        finally:
            visiting.cancel()

    async def _kill(self) -> None:
        node = self._nodes[KILLED]
        owned = await self._owned_by(node.pid)
        at = time.monotonic()
        node.kill()
        self.audience.stage(f"{node.name} is killed (kill -9): it owned {owned} of {SHARDS} shards")
        await _until(lambda: self._given_up(node.pid))
        seconds = round(time.monotonic() - at, 1)
        self.audience.stage(f"its shards go on elsewhere, {seconds:g} s later")
        self.killed = Killed(node.name, owned, seconds)

    async def _all_owned(self) -> bool:
        return not (await cluster_status(self._settings)).unowned

    async def _given_up(self, pid: int) -> bool:
        return await self._owned_by(pid) == 0

    async def _owned_by(self, pid: int) -> int:
        """How many shards a process owns: a node's name tells which process it is."""
        shards = (await cluster_status(self._settings)).shards
        return sum(one.owner is not None and f"-{pid}-" in one.owner for one in shards)

    async def wait_until_idle(self) -> Status:
        """Whatever is on its way to another worker, or another device, is waited for."""
        end = time.monotonic() + IDLE_WITHIN_S
        while True:
            with contextlib.suppress(Unavailable):
                status = await super().wait_until_idle()
                if time.monotonic() >= end or not await self.engine.directory.identities.moves():
                    return status
            await asyncio.sleep(IDLE_POLL_S)

    def problems(
        self,
        events: EventFigures,
        memberships: MembershipFigures,  # noqa: ARG002 - counted by those that were killed
        destinations: list[DestinationFigures],
        books: Reconciliation,
        status: Status,
    ) -> list[str]:
        return lasting_problems_of(events, destinations, books, status)


async def _until(done: Callable[[], Awaitable[bool]]) -> None:
    while not await done():  # noqa: ASYNC110 - others know, in other processes
        await asyncio.sleep(IDLE_POLL_S)
