"""A machine on which the engine runs, dies at any point, and starts again over the files that are there."""

from __future__ import annotations

import asyncio
import random
import shutil
from functools import partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar
from unittest.mock import patch

from arke import app
from arke.clock import SeededEntropy
from arke.engine.live_catalog import CatchUp
from arke.errors import ArkeError, StoreUnavailable
from arke.storage.sqlite.directory import SqliteDirectory
from arke.storage.sqlite.store import SqliteShardStore
from simulation.network import Uplink
from simulation.pauses import Pausing
from synced_log import SyncedLog, cut

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from arke.clock import Clock
    from arke.operations.engine import Engine
    from simulation.fate import Fate
    from simulation.network import Network

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S", SqliteShardStore, SqliteDirectory)

KEY = b"simulated"
SHARD_FILE, DIRECTORY_FILE = "shard-00.db", "directory.db"
AGAIN_S = 0.2
TAKEOVERS = 1
"""A day and device at the public door: few, so that some are refused."""


class Died(Exception):
    """The engine went away while it was asked: what it was asked may have happened or not."""


class DoomedCommitter:
    """Writes in the loop's own thread, as virtual time wants it, with a point before and after each commit."""

    busy = False

    def __init__(self, fate: Fate) -> None:
        self._fate = fate

    async def run(self, write: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        await self._fate.point()
        if self._fate.commit_fails():
            raise StoreUnavailable("disk full")
        result = write(*args, **kwargs)
        await self._fate.point()
        return result

    run_small = run

    async def between(self, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return read(*args, **kwargs)

    def close(self) -> None:
        return


class Machine:
    """Keeps an engine running. `ask` is how visitors and operators speak to whichever runs now."""

    def __init__(self, folder: Path, clock: Clock, fate: Fate, network: Network, seed: int) -> None:
        self._folder = folder
        self._clock = clock
        self._fate = fate
        self._network = network
        self._seed = seed
        self._engine: Engine | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._outsiders: set[asyncio.Task[object]] = set()
        self._open_files: list[SqliteShardStore | SqliteDirectory] = []
        self._synced: SyncedLog | None = None
        self.life = 0
        self.lost = 0
        """Times that the directory lost what it had not synced."""

    def start(self) -> None:
        self._keeper = self.outsider(asyncio.create_task(self._keep_running()))

    def outsider(self, task: asyncio.Task[T]) -> asyncio.Task[T]:
        """This task is not part of the engine and survives its death."""
        self._outsiders.add(task)
        return task

    async def stop(self) -> None:
        """In good order."""
        assert self._keeper is not None
        self._keeper.cancel()
        if self._engine is not None:
            await self._engine.stop()
            self._open_files.clear()

    async def ask(self, question: Callable[[Engine], Awaitable[T]]) -> T:
        """Raises Died where the engine died over it, and what the engine raised."""
        while (engine := self._engine) is None:
            await asyncio.sleep(AGAIN_S)
        task = asyncio.ensure_future(question(engine))
        await asyncio.wait({task})
        if task.cancelled():
            raise Died
        return task.result()

    async def _keep_running(self) -> None:
        while True:
            boot = asyncio.create_task(self._boot())
            await self._fate.crashed.wait()
            self._fate.crashed.clear()
            self._engine = None
            boot.cancel()
            await self._die()
            await asyncio.sleep(AGAIN_S)

    async def _boot(self) -> None:
        """As `arke up` does. Where the store does not let it, it ends and is started again."""
        while self._engine is None:
            try:
                self._engine = await self._open()
            except ArkeError:
                await self._die()
                await asyncio.sleep(AGAIN_S)

    async def _open(self) -> Engine:
        here = self._here
        here.mkdir(exist_ok=True)
        poster = Uplink(self._network, self.life)
        entropy = SeededEntropy(self._seed * 1_000 + self.life)
        chance = random.Random(self._seed * 1_000 + self.life)
        with (
            patch.object(
                app,
                "SqliteShardStore",
                lambda _, committer, key: Pausing(
                    self._opened(SqliteShardStore(here / SHARD_FILE, committer=committer, key=key)), chance
                ),
            ),
            patch.object(
                app,
                "SqliteDirectory",
                lambda _, committer, key: Pausing(self._directory(here, committer, key), chance),
            ),
            patch.object(app, "InlineCommitter", partial(DoomedCommitter, self._fate)),
        ):
            engine, shard = app.memory_engine(poster, self._clock, entropy)
        engine.identity._door._takeovers_per_device = TAKEOVERS
        await shard.start()
        await CatchUp(engine.directory.catalogs).bring(shard)
        await engine.recover()
        await engine.batches.resume()
        engine.batches.start_schedule()
        await engine.privacy.start()
        return engine

    async def _die(self) -> None:
        """Nothing of the engine runs on: what its tasks would still do, they do to files that nobody reads."""
        self._network.cut()
        self._move_on()
        # One that is cancelled may have started another, and outsiders go on starting theirs.
        while doomed := asyncio.all_tasks() - {*self._outsiders, asyncio.current_task()}:
            for task in doomed:
                task.cancel()
            await asyncio.sleep(0)
        await self._close_files()

    def _directory(self, here: Path, committer: DoomedCommitter, key: bytes) -> SqliteDirectory:
        directory = self._opened(SqliteDirectory(here / DIRECTORY_FILE, committer=committer, key=key))
        self._synced = SyncedLog(directory)
        return directory

    def _opened(self, store: S) -> S:
        self._open_files.append(store)
        return store

    async def _close_files(self) -> None:
        """As the kernel would. The next life has its own copies of them."""
        for store in self._open_files:
            await store.close()
        self._open_files.clear()

    def _move_on(self) -> None:
        """The next life gets the files as they are this moment, write-ahead logs included, and no one else does. If
        the power goes it gets of the directory's log what was synced, and perhaps some of what came after.
        """
        before, synced = self._here, self._synced
        self.life += 1
        self._here.mkdir()
        for name in (SHARD_FILE, DIRECTORY_FILE):
            for path in (before / name, before / f"{name}-wal"):
                if path.exists():
                    shutil.copyfile(path, self._here / path.name)
        log = self._here / f"{DIRECTORY_FILE}-wal"
        if synced is not None and log.exists() and self._fate.power_goes():
            self.lost += cut(log, self._fate.left(synced.bytes, log.stat().st_size))
        self._synced = None

    @property
    def _here(self) -> Path:
        return self._folder / f"life-{self.life}"
