"""Everything that may be asked of one engine, by subject."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.delivery.secrets import Confinement
from arke.engine.sources.reading import Sources
from arke.operations.callers import AuditOperations, TokenOperations
from arke.operations.catalog import CatalogOperations
from arke.operations.explain import PeopleOperations
from arke.operations.jobs import BatchOperations, FileOperations, UndeliveredOperations
from arke.operations.privacy import PrivacyOperations
from arke.operations.reconciliation import ReconciliationOperations
from arke.operations.sizes import SizeOperations
from arke.operations.sources import SourceOperations
from arke.operations.status import StatusOperations

if TYPE_CHECKING:
    from arke.catalog.destinations import Checkers
    from arke.clock import Clock
    from arke.onboarding.service import Onboarding
    from arke.operations.engine import Engine
    from arke.operations.nodes import ClusterNode


class Operations:
    """Operations over one engine. Every change, and every look at people, is audited with its `actor`: a token's
    id, or `local`.
    """

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        checkers: Checkers,
        confinement: Confinement | None = None,
        onboarding: Onboarding | None = None,
        node: ClusterNode | None = None,
        sources: Sources | None = None,
    ) -> None:
        """`confinement`: what a catalog from the network may refer to. `onboarding` None: it takes no files.
        `node`: where the engine is one of a cluster's. `sources` None: it reads no topics.
        """
        audit = engine.audit
        sources = sources or Sources(engine.directory.sources)
        self.status = StatusOperations(engine, node, sources)
        self.source_refusals = SourceOperations(sources)
        self.people = PeopleOperations(engine)
        self.sizes = SizeOperations(engine.shards)
        self.reconciliation = ReconciliationOperations(
            engine.reconciliation, engine.live, self.sizes, audit, clock
        )
        self.catalog = CatalogOperations(
            engine.catalogs, engine.estimator, checkers, confinement or Confinement(), audit, node
        )
        self.undelivered = UndeliveredOperations(engine.undelivered, engine.live, engine.shards, audit)
        self.batches = BatchOperations(engine.batches, audit)
        self.privacy = PrivacyOperations(engine)
        self.tokens = TokenOperations(engine.directory.tokens, clock, audit)
        self.audit = AuditOperations(engine.directory.audit)
        self.files = FileOperations(onboarding)
