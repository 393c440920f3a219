"""Everything that may be asked of one engine, by subject."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.delivery.confinement import Confinement
from arke.operations.audit import AuditOperations
from arke.operations.batches import BatchOperations
from arke.operations.catalog import CatalogOperations
from arke.operations.files import FileOperations
from arke.operations.people import PeopleOperations
from arke.operations.privacy import PrivacyOperations
from arke.operations.status import StatusOperations
from arke.operations.tokens import TokenOperations
from arke.operations.undelivered import UndeliveredOperations

if TYPE_CHECKING:
    from arke.catalog.destinations import Checkers
    from arke.clock import Clock
    from arke.engine.engine import Engine
    from arke.onboarding.service import Onboarding


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
    ) -> None:
        """`confinement`: what a catalog from the network may refer to. `onboarding` None: it takes no files."""
        self.audit = AuditOperations(engine)
        self.status = StatusOperations(engine)
        self.people = PeopleOperations(engine, self.audit)
        self.catalog = CatalogOperations(engine, checkers, confinement or Confinement(), self.audit)
        self.undelivered = UndeliveredOperations(engine, self.audit)
        self.batches = BatchOperations(engine.batches, self.audit)
        self.privacy = PrivacyOperations(engine, self.audit)
        self.tokens = TokenOperations(engine, clock, self.audit)
        self.files = FileOperations(onboarding)
