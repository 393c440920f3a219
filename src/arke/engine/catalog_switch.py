"""From one catalog to the next: planned, prepared on every shard, forecast, stored, and then in force."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Collection
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from arke.background import Pause, retry
from arke.catalog import stored as stored_form
from arke.catalog.consequences import retired
from arke.catalog.plan import Plan, plan
from arke.engine.what_if import Forecast, Returning, forecast_from, question, returning_from
from arke.errors import ArkeError, InvalidInput, OtherInForce, ShardDown, ShardMoved, StoreUnavailable
from arke.log import get_logger
from arke.shard.protocol import AskBehind, AskStatus, Prepare, Switch
from arke.storage.ports.directory import NO_CATALOG_TAG, StoredCatalog

if TYPE_CHECKING:
    from arke.clock import Clock
    from arke.domain.catalog import Catalog
    from arke.engine.batches import Batches
    from arke.engine.identity import Identity
    from arke.engine.live_catalog import LiveCatalog
    from arke.engine.shards import Shards
    from arke.shard.protocol import Question
    from arke.storage.committer import Committer
    from arke.storage.ports.directory import Catalogs

PAUSE = Pause(1.0)
"""Before a store is asked again: a catalog that is stored has no way back."""
REFUSED = (StoreUnavailable,)
AWAY = (ShardDown, ShardMoved)
POSTPONED = "catalog_switch_postponed"

log = get_logger("engine")

Tags = Collection[str]
"""Catalogs, each by what names it alone (`StoredCatalog.tag`)."""
ANY: Final = "*"
"""Among tags: whichever is in force, as long as there is one."""

A = TypeVar("A")


class Applied(msgspec.Struct, frozen=True):
    """What applying a catalog did, or would do. `version` is None for a dry run or an empty plan."""

    plan: Plan
    version: int | None
    forecast: Forecast
    returning: list[Returning] = []


class CatalogSwitch:
    """Applies catalogs, one at a time; where engines share a directory, one of two that are applied at once.
    `live`, `identity` and `batches` go by what is stored. `compiler` runs what takes long for a large catalog.
    """

    def __init__(
        self,
        live: LiveCatalog,
        catalogs: Catalogs,
        identity: Identity,
        shards: Shards,
        batches: Batches,
        *,
        clock: Clock,
        compiler: Committer,
        patience_s: float = 0.0,
    ) -> None:
        """`patience_s`: how long a shard that nobody owns is waited for before a catalog is given up."""
        self._patience_s = patience_s
        self._live = live
        self._catalogs = catalogs
        self._identity = identity
        self._shards = shards
        self._batches = batches
        self._clock = clock
        self._compiler = compiler
        self._applying = asyncio.Lock()

    async def load(self) -> None:
        """Go by the stored catalog, if there is one. Raises StoreUnavailable."""
        stored = await self._catalogs.get()
        if stored is not None:
            self._use(stored.version, stored_form.from_json(stored.body))
        await self._batches.follow_catalog(self._live.catalog)

    async def follow(self) -> bool:
        """Go by what is stored, if another node has applied a catalog since; whether one has. Raises
        StoreUnavailable.
        """
        if self._applying.locked():
            return False
        async with self._applying:
            return await self._followed()

    async def _followed(self) -> bool:
        if await self._catalogs.newest() <= self._live.version:
            return False
        stored = await self._catalogs.get()
        if stored is None or stored.version <= self._live.version:
            return False
        self._use(stored.version, await self._compiler.run(stored_form.from_json, stored.body))
        return True

    def _use(self, version: int, catalog: Catalog) -> None:
        self._live.use(version, catalog)
        self._identity.know(self._live.cross_device, self._live.by_token, self._live.ids)
        self._batches.know(catalog)

    async def apply(
        self, catalog: Catalog, *, dry_run: bool = False, note: str = "", instead_of: Tags | None = None
    ) -> Applied:
        """Switch to another catalog. Nothing changes if any shard cannot take it. Whom it moves is forecast before
        it is stored; a dry run ends there. `instead_of`: the tags of those whose place it may take; None: of any.
        Raises CatalogChanged, OtherInForce.
        """
        async with self._applying:
            await self._followed()
            await self._check(instead_of)
            return await self._apply(catalog, dry_run=dry_run, note=note)

    async def _apply(self, catalog: Catalog, *, dry_run: bool, note: str) -> Applied:
        before = self._live.catalog if self._live.version else None
        steps = await self._compiler.run(plan, before, catalog)
        if steps.empty and self._live.version:
            return Applied(steps, None, Forecast.nothing(await self._profiles()))
        body = await self._compiler.run(stored_form.to_json, catalog)
        stored = await self._next_version(catalog, body, steps, note)
        mark = hashlib.blake2b(body, digest_size=8).digest()
        request = Prepare(stored.version, stored.body, stored.mapping_versions, stored.retired, mark)
        await self._ask_every(request)
        returning = await self._returning(request, await self._batches.returning(catalog))
        forecast = await self._forecast(request, steps, catalog, keep=not dry_run)
        if dry_run:
            return Applied(steps, None, forecast, returning)
        await self._catalogs.add(stored)
        try:
            await self._switch(request)
        finally:  # the next edit goes by what is stored, whatever became of this one
            self._use(stored.version, catalog)
        await retry(
            partial(self._batches.follow_catalog, catalog), PAUSE, on=REFUSED, log=log, event=POSTPONED
        )
        return Applied(steps, stored.version, forecast, returning)

    async def rollback(
        self, version: int | None, *, dry_run: bool = False, instead_of: Tags | None = None
    ) -> Applied:
        """Apply an earlier catalog again, as a new version. None: the one before the current one. `instead_of` as
        in `apply`.
        """
        async with self._applying:
            await self._followed()
            await self._check(instead_of)
            wanted = self._live.version - 1 if version is None else version
            stored = await self._catalogs.get(wanted) if wanted >= 1 else None
            if stored is None:
                known = f"1 to {self._live.version}" if self._live.version else "none"
                sought = "earlier catalog" if version is None else f"catalog version {version}"
                raise InvalidInput(f"there is no {sought} to go back to; stored: {known}")
            catalog = stored_form.from_json(stored.body)
            return await self._apply(catalog, dry_run=dry_run, note=f"rollback to {wanted}")

    async def _check(self, wanted: Tags | None) -> None:
        """Raises OtherInForce where another catalog is in force than whoever asks has seen."""
        if wanted is None:
            return
        stored = await self._catalogs.get()
        tag = NO_CATALOG_TAG if stored is None else stored.tag
        if tag not in wanted and (stored is None or ANY not in wanted):
            raise OtherInForce(
                f"another catalog is in force than the one that this was made from, version "
                f"{self._live.version} by now: look at it, and make the change again"
            )

    async def _switch(self, request: Prepare) -> None:
        """Every shard; one that goes away returns with what is stored."""
        question = Switch(request.version, request.mark)
        answers = await self._shards.ask_each(question)
        await asyncio.gather(
            *(
                self._switch_one(shard, answer, request, question)
                for shard, answer in enumerate(answers)
                if isinstance(answer, ArkeError)
            )
        )

    async def _switch_one(self, shard: int, problem: ArkeError, request: Prepare, question: Switch) -> None:
        if isinstance(problem, REFUSED):
            await asyncio.sleep(PAUSE.first_s)
        try:
            await retry(
                partial(self._ask_prepared, shard, request, question),
                PAUSE,
                on=REFUSED,
                log=log,
                event=POSTPONED,
            )
        except AWAY:
            return

    async def _ask_prepared(self, shard: int, prepared: Prepare, question: Question[A]) -> A:
        """Ask a shard about a catalog it was told to prepare."""
        try:
            return await self._shards.ask(shard, question)
        except InvalidInput:  # it went away and came back between the two steps
            await self._shards.ask(shard, prepared)
            return await self._shards.ask(shard, question)

    async def _ask_every(self, question: Question[A], prepared: Prepare | None = None) -> list[A]:
        """Ask all shards, about a catalog that they were told to prepare if one is given. One that was away is
        asked again by itself. Raises the first error.
        """
        answers = await self._shards.ask_each(question)

        async def once_more(shard: int) -> A:
            if prepared is None:
                return await self._shards.ask(shard, question)
            return await self._ask_prepared(shard, prepared, question)

        async def settled(shard: int, answer: A | ArkeError) -> A:
            if not isinstance(answer, ArkeError):
                return answer
            mended = (*(AWAY if self._patience_s else ()), *((InvalidInput,) if prepared else ()))
            if not isinstance(answer, mended):
                raise answer
            return await retry(partial(once_more, shard), PAUSE, on=AWAY, patience_s=self._patience_s)

        return await asyncio.gather(*(settled(*one) for one in enumerate(answers)))

    async def _forecast(self, prepared: Prepare, steps: Plan, catalog: Catalog, *, keep: bool) -> Forecast:
        """Whom a prepared catalog would move, asked of all shards at once."""
        ask = question(steps, prepared, keep=keep)
        parts = await self._ask_every(ask, prepared)
        return await self._compiler.run(forecast_from, parts, self._live.catalog, catalog, len(ask.moving))

    async def _returning(self, prepared: Prepare, destinations: list[int]) -> list[Returning]:
        """What destinations that a prepared catalog switches on again are to be told, asked of all shards."""
        if not destinations:
            return []
        ask = AskBehind(prepared.version, tuple(destinations), prepared.mark)
        parts = await self._ask_every(ask, prepared)
        return returning_from(parts, destinations)

    async def _profiles(self) -> int:
        """How many are stored."""
        return sum(part.profiles + part.people for part in await self._shards.ask_all(AskStatus()))

    async def _next_version(self, catalog: Catalog, body: bytes, steps: Plan, note: str) -> StoredCatalog:
        before = await self._catalogs.get()
        known = before.mapping_versions if before is not None else {}
        version = self._live.version + 1
        versions = {
            destination.id: version
            if destination.id in steps.mapping_changed or destination.id not in known
            else known[destination.id]
            for destination in catalog.destinations
        }
        gone = retired(self._live.catalog, catalog, before.retired if before is not None else {})
        return StoredCatalog(version, int(self._clock.now()), body, versions, note, gone)
