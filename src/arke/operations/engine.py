"""A running engine: its services, and the order in which they start and stop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.clock import Clock
    from arke.engine.audit import Audit
    from arke.engine.batches import Batches
    from arke.engine.catalog_switch import CatalogSwitch
    from arke.engine.file_desk import FileDesk
    from arke.engine.history.recorder import Recorder
    from arke.engine.homes import Homes
    from arke.engine.identity import Identity
    from arke.engine.ingest import Ingestion
    from arke.engine.links import Joins, Links
    from arke.engine.live_catalog import LiveCatalog
    from arke.engine.moves import MoveDriver
    from arke.engine.reconciliation import Reconciliation
    from arke.engine.shards import Shards
    from arke.engine.undelivered import Undelivered
    from arke.engine.what_if import Estimator
    from arke.intake.settings import ConsentRules
    from arke.privacy.copies import Copy
    from arke.privacy.fulfilment import Privacy
    from arke.privacy.opt_outs import OptOuts
    from arke.storage.committer import Committer
    from arke.storage.ports.directory import Directory
    from arke.tokens import Doorkeeper


@dataclass(frozen=True)
class Engine:
    """Intake and operations over all shards. `compiler` runs what takes long, `consent` is asked for by the intake,
    `copies` are what a privacy request leaves to time.

    The same services are a running engine (shards in processes of their own), commands that open the store
    themselves, tests, and `simulate` (one shard in memory on virtual time).
    """

    directory: Directory
    compiler: Committer
    identity: Identity
    live: LiveCatalog
    shards: Shards
    events: Ingestion
    links: Links
    moves: MoveDriver
    joins: Joins
    homes: Homes
    files: FileDesk
    catalogs: CatalogSwitch
    batches: Batches
    recorder: Recorder
    estimator: Estimator
    reconciliation: Reconciliation
    undelivered: Undelivered
    privacy: Privacy
    opt_outs: OptOuts
    doorkeeper: Doorkeeper
    audit: Audit
    clock: Clock
    consent: ConsentRules
    copies: Sequence[Copy] = ()

    async def recover(self) -> None:
        """Go on with what a crash left half done. Call before taking events. Raises StoreUnavailable."""
        await self.identity.start(self.shards.promised)
        await self.catalogs.load()
        await self.homes.recover()
        self.moves.follow()
        self.joins.follow()

    def watch(self) -> None:
        """Look after what failed, so that the engine is ready again by itself."""
        self.shards.watch()
        self.links.watch()

    async def drain(self, timeout_s: float) -> None:
        """Wait until every id has arrived, privacy requests have done what they can, and every lane that can send
        has nothing left; each at most for `timeout_s`.
        """
        await self.moves.until_idle(timeout_s)
        await self.privacy.until_idle(timeout_s)
        await self.homes.until_idle(timeout_s)
        await self.joins.until_idle(timeout_s)
        await self.shards.drain(timeout_s)

    async def stop(self) -> None:
        """What is in flight is committed or goes on with the next start."""
        await self.recorder.stop(look=True)
        await self.links.stop()
        await self.batches.stop()
        await self.reconciliation.stop()
        await self.privacy.stop()
        await self.moves.stop()
        await self.joins.stop()
        await self.homes.stop()
        await self.shards.stop()
        self.compiler.close()
        await self.directory.close()
