"""API tokens: whose secrets open which doors. Of a secret there is a hash only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from arke.domain.token import Token


class Tokens(Protocol):
    """Every change is durable on return; every call may suspend and raises StoreUnavailable."""

    async def list(self) -> list[Token]:
        """All tokens, revoked and expired ones too, oldest first."""
        ...

    async def add(self, token: Token) -> None:
        """Raises InvalidInput where the id or the hash is taken."""
        ...

    async def revoke(self, token_id: str, at: int) -> Token:
        """Mark as revoked and return it; a second time changes nothing. Raises InvalidInput: no such id."""
        ...

    async def find(self, secret_hash: bytes) -> Token | None:
        """The token of a secret, whether it still holds or not. Asked once a request."""
        ...
