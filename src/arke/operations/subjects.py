"""Everything that may be asked of one engine, by subject."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.delivery.channel import Wire
from arke.delivery.secrets import Confinement, Secrets
from arke.engine.sources.reading import Sources
from arke.operations.attention import AttentionOperations
from arke.operations.callers import AuditOperations, TokenOperations
from arke.operations.catalog import CatalogOperations
from arke.operations.certificates import CertificateOperations
from arke.operations.destinations import DestinationOperations
from arke.operations.explain import PeopleOperations
from arke.operations.glance import FunnelGlances
from arke.operations.history import HistoryOperations
from arke.operations.installation import InstallationOperations
from arke.operations.jobs import BatchOperations, FileOperations, UndeliveredOperations
from arke.operations.live import LiveOperations
from arke.operations.previews import PreviewOperations
from arke.operations.privacy import PrivacyOperations
from arke.operations.reconciliation import ReconciliationOperations
from arke.operations.segments import Indexes, SegmentOperations
from arke.operations.settings import SettingsOperations
from arke.operations.sign_in import SignIns
from arke.operations.sizes import SizeOperations
from arke.operations.sources import SourceOperations
from arke.operations.status import StatusOperations
from arke.operations.trials import NoWayOut, TrialOperations
from arke.operations.versions import VersionOperations
from arke.settings import Settings

if TYPE_CHECKING:
    from arke.catalog.destinations import Checkers
    from arke.clock import Clock
    from arke.onboarding.service import Onboarding
    from arke.operations.engine import Engine
    from arke.operations.installation import Surroundings
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
        wire: Wire | None = None,
        settings: Settings | None = None,
        admin_url: str | None = None,
        around: Surroundings | None = None,
    ) -> None:
        """`confinement`: what a catalog from the network may refer to. `onboarding` None: it takes no files.
        `node`: where the engine is one of a cluster's. `sources` None: it reads no topics. `wire`: what test
        messages leave through; None: it sends none. `settings`: those it runs by. `admin_url`: where people reach
        its console; None: it has none. `around`: what it runs among.
        """
        audit = engine.audit
        confinement = confinement or Confinement()
        sources = sources or Sources(engine.directory.sources)
        wire = wire or Wire(NoWayOut(), Secrets(confinement))
        indexes = Indexes(engine.live, engine.compiler)
        self.status = StatusOperations(engine, node, sources)
        self.history = HistoryOperations(engine)
        self.source_refusals = SourceOperations(sources)
        self.people = PeopleOperations(engine)
        self.sizes = SizeOperations(engine.shards)
        self.reconciliation = ReconciliationOperations(
            engine.reconciliation, engine.live, self.sizes, audit, clock
        )
        self.funnels = FunnelGlances(self.reconciliation, clock)
        self.live = LiveOperations(engine)
        self.catalog = CatalogOperations(
            engine.catalogs, engine.estimator, checkers, confinement, audit, node
        )
        self.versions = VersionOperations(
            engine.live, engine.directory.catalogs, engine.compiler, checkers, confinement
        )
        self.segments = SegmentOperations(indexes, clock)
        self.destinations = DestinationOperations(indexes, self.status, clock)
        self.previews = PreviewOperations(engine, self.people, wire, checkers, confinement)
        self.trials = TrialOperations(engine, wire)
        settings = settings or Settings()
        self.settings = SettingsOperations(settings)
        self.attention = AttentionOperations(CertificateOperations(engine.live, settings, confinement), clock)
        self.undelivered = UndeliveredOperations(engine.undelivered, engine.live, engine.shards, audit)
        self.batches = BatchOperations(engine.batches, audit)
        self.privacy = PrivacyOperations(engine)
        self.tokens = TokenOperations(engine.directory.tokens, clock, audit)
        self.installation = InstallationOperations(engine, clock, around)
        self.sign_in = SignIns(engine.directory.tokens, clock, audit, admin_url)
        self.audit = AuditOperations(engine.directory.audit)
        self.files = FileOperations(onboarding)
