"""What the leader of a cluster does: batches, files, privacy requests, people who move in and join, history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from arke.background import POSTPONED, Background, every
from arke.log import get_logger

if TYPE_CHECKING:
    from arke.onboarding.service import Onboarding
    from arke.operations.engine import Engine

LOOK_EVERY_S: Final = 1.0
"""How soon the leader sees what other nodes have taken."""

log = get_logger("leader")


class Lead:
    """See `Led`. Of an engine that begins without it, and of its `files`, which load nothing before."""

    def __init__(self, engine: Engine, files: Onboarding) -> None:
        self._engine = engine
        self._files = files
        self._background = Background()
        self._leads = False
        engine.batches.leave()
        engine.privacy.leave()
        engine.joins.leave()

    async def begin(self) -> None:
        engine = self._engine
        await engine.catalogs.load()
        await engine.homes.recover()
        engine.homes.start()
        await engine.batches.resume()
        engine.batches.start_schedule()
        engine.recorder.start()
        await engine.privacy.start()
        engine.joins.carry()
        await self._files.start()
        self._leads = True
        self._background.spawn(every(LOOK_EVERY_S, self._look), "lead")

    async def follow_catalog(self) -> None:
        """Another node has applied a catalog. Raises StoreUnavailable."""
        if self._leads:
            await self._engine.batches.follow_catalog(self._engine.live.catalog)

    async def end(self) -> None:
        engine = self._engine
        self._leads = False
        await self._background.stop()
        await self._files.pause()
        engine.batches.leave()
        engine.privacy.leave()
        engine.joins.leave()
        await engine.batches.stop()
        await engine.privacy.stop()
        await engine.joins.stop()
        await engine.homes.stop()
        # Last, for it takes a moment. Where another leads by now and looks as well, no row is wrong: each says how
        # much it covers.
        await engine.recorder.stop(look=True)

    async def _look(self) -> None:
        try:
            await self._engine.batches.follow()
            await self._engine.privacy.follow()
        except POSTPONED as error:
            log.warning("lead_postponed", code=error.code)
        self._engine.joins.follow()
