"""Identity: which device an event is about, and who owns a partner id now (SPEC section 7, dossier 13)."""

from arke.engine.identity.identity import CACHED_IDS, CACHED_PEOPLE, Identity
from arke.engine.identity.resolving import Away, Decided, Named, Naming, Near, Resolved

__all__ = [
    "CACHED_IDS",
    "CACHED_PEOPLE",
    "Away",
    "Decided",
    "Identity",
    "Named",
    "Naming",
    "Near",
    "Resolved",
]
