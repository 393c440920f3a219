"""An API token as it is stored, and what its scopes allow."""

from __future__ import annotations

from typing import Final, Literal, get_args

import msgspec

Scope = Literal["ingest", "browser", "metrics", "read", "operate", "admin"]


SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)


_IMPLIED: Final[dict[str, frozenset[str]]] = {
    "admin": frozenset(SCOPES),
    "operate": frozenset({"operate", "read", "metrics"}),
    "read": frozenset({"read", "metrics"}),
}


LOCAL: Final = "local"
"""The actor of whoever has the data directory: file permission is the authority."""


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A token as it is stored. `secret_hash` is the SHA-256 of the secret; times in epoch seconds.

    A 256-bit random secret needs no slow hash: there is nothing to guess.
    """

    id: str
    name: str
    scopes: tuple[Scope, ...]
    secret_hash: bytes
    created: int
    expires: int | None = None
    revoked: int | None = None

    def live(self, now: float) -> bool:
        return self.revoked is None and (self.expires is None or now < self.expires)

    def allows(self, scope: str) -> bool:
        """Whether one of the scopes is, or implies, the one asked for (admin all; operate read; read metrics)."""
        return any(scope in _IMPLIED.get(own, (own,)) for own in self.scopes)
