"""Running a script: one shard in memory, virtual time, seeded randomness. Same input, same bytes out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from arke.app import memory_engine
from arke.clock import SeededEntropy
from arke.errors import BatchRunning, EventError, InvalidInput, ScriptError
from arke.intake.ndjson import left_out, refusal
from arke.intake.partner_ids import with_read_ids
from arke.onboarding.columns_file import SUFFIX, columns_beside
from arke.onboarding.loading import Loader
from arke.privacy.request_file import Wanted, read_id
from arke.privacy.sought import as_kept
from arke.simulate.network import Sent, SimulatedNetwork, UnsentObserver
from arke.simulate.script import Privacy as ScriptedRequest
from arke.simulate.script import Step, read_script
from arke.storage.committer import InlineCommitter
from arke.virtual_time import VirtualClock, VirtualTimeLoop, run_virtual
from arke.wording import many

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from arke.clock import Clock
    from arke.domain.catalog import Catalog
    from arke.domain.event import Accepted, IncomingEvent
    from arke.operations.engine import Engine
    from arke.shard.shard import Shard

IDLE_WITHIN_S = 120.0
"""Virtual time given to lanes after the last line: longer than any linger and pause of a circuit."""


class Summary(msgspec.Struct):
    """What a simulation did; `complaints` are things a person should look at."""

    events: int = 0
    requests: int = 0
    owed: int = 0
    complaints: list[str] = []


class Output(Protocol):
    """Where requests go: a list will do."""

    def append(self, sent: Sent, /) -> None: ...


class Simulation:
    """One run. `load` reads and validates a catalog file; `output` takes each request as it is made."""

    def __init__(self, load: Callable[[Path], Catalog], output: Output, *, schedule: bool = True) -> None:
        """`schedule`: batches also run when they are due, not only where the script says so."""
        self._load = load
        self._output = output
        self._schedule = schedule
        self.summary = Summary()

    def run(
        self,
        script: Path,
        catalog: Path,
        *,
        seed: int = 0,
        reads: Callable[[Collection[Path]], None] | None = None,
    ) -> Summary:
        """`reads` is told the files that are read, before anything is sent. Raises ScriptError, CatalogError."""
        with script.open("rb") as lines:
            steps = list(read_script(lines, str(script)))
        first = self._load(catalog)
        if reads is not None:
            reads([script, catalog, *_files_of(steps, script.parent)])
        loop = VirtualTimeLoop()
        start = steps[0].at if steps else 0.0
        clock = VirtualClock(loop, start)
        run_virtual(self._play(script, steps, first, clock, seed), loop)
        return self.summary

    async def _play(
        self, script: Path, steps: list[Step], catalog: Catalog, clock: VirtualClock, seed: int
    ) -> None:
        network = SimulatedNetwork(clock, self)
        observer = UnsentObserver(self)
        engine, shard = memory_engine(network, clock, SeededEntropy(seed), observer)
        await shard.start()
        await engine.catalogs.apply(catalog)
        engine.batches.start_schedule(by_the_clock=self._schedule)
        for step in steps:
            await clock.sleep_until(step.at)
            await self._step(engine, shard, clock, network, script, step)
        await engine.batches.stop_schedule()
        await engine.drain(IDLE_WITHIN_S)
        self.summary.owed = sum((await shard.store.owed_counts()).values())
        await engine.stop()

    async def _step(
        self,
        engine: Engine,
        shard: Shard,
        clock: Clock,
        network: SimulatedNetwork,
        script: Path,
        step: Step,
    ) -> None:
        where = f"{script}:{step.line}"
        if step.event is not None:
            self.summary.events += 1
            await self._event(engine, step.event, where)
        elif step.respond is not None:
            if all(one.id != step.respond.destination for one in engine.live.catalog.destinations):
                self.complain(f"{where}: respond: no destination {step.respond.destination} in the catalog")
            network.respond(
                step.respond.destination, step.respond.status, step.respond.times, step.respond.retry_after
            )
        elif step.apply is not None:
            path = script.parent / step.apply
            if not path.is_file():
                raise ScriptError(f"{where}: apply: {path} does not exist")
            await engine.catalogs.apply(self._load(path))
            await shard.walks.settled()
        elif step.batch is not None:
            try:
                await engine.batches.start(step.batch, "command")
            except (InvalidInput, BatchRunning) as error:
                self.complain(f"{where}: batch: {error}")
        elif step.onboard is not None:
            await self._onboard(engine, clock, script.parent / step.onboard.file, where)
        elif step.privacy is not None:
            await self._privacy(engine, step.privacy, where)

    async def _privacy(self, engine: Engine, who: ScriptedRequest, where: str) -> None:
        uuids = (who.uuid,) if who.uuid is not None else ()
        try:
            ids = (read_id(who.name, engine.live.ids),) if who.name is not None else ()
            wanted = await as_kept([Wanted(uuids, ids)], engine.live.ids, engine.identity, engine.homes)
        except InvalidInput as error:
            raise ScriptError(f"{where}: privacy: {error}") from None
        await engine.privacy.request([one.asked(who.action) for one in wanted])

    async def _event(self, engine: Engine, event: IncomingEvent, where: str) -> None:
        """Its ids are read by the catalog of this moment."""
        answer: Accepted | EventError
        try:
            (answer,) = await engine.events.ingest([with_read_ids(event, engine.live.ids)])
        except EventError as error:
            answer = error
        refused = refusal(answer)
        if refused is not None:
            self.complain(f"{where}: event refused: {refused.reason}: {refused.message}")
        for left in left_out(answer):
            self.complain(f"{where}: left out: {left.code}: {left.message}")

    async def _onboard(self, engine: Engine, clock: Clock, path: Path, where: str) -> None:
        """Runs to completion at this moment."""
        loader = Loader(engine.files, engine.directory.files, clock, InlineCommitter())
        try:
            receipt = await loader.load(path, path.name, columns_beside(path))
        except InvalidInput as error:
            raise ScriptError(f"{where}: onboard: {error}") from None
        if receipt.reason == "vanished":
            raise ScriptError(f"{where}: onboard: {path} does not exist")
        if receipt.state == "failed":
            self.complain(f"{where}: onboard: {receipt.file}: {receipt.message}")
        for kind, count in sorted(receipt.errors.items()):
            self.complain(f"{where}: onboard: {receipt.file}: {many(count, 'line')} not stored: {kind}")

    def sent(self, request: Sent) -> None:
        self.summary.requests += 1
        self._output.append(request)

    def complain(self, text: str) -> None:
        if text not in self.summary.complaints:
            self.summary.complaints.append(text)


def _files_of(steps: Iterable[Step], folder: Path) -> Iterator[Path]:
    """Catalogs and data files that a script names, and where the columns files of those would be."""
    for step in steps:
        if step.apply is not None:
            yield folder / step.apply
        elif step.onboard is not None:
            yield folder / step.onboard.file
            yield folder / f"{step.onboard.file}{SUFFIX}"
