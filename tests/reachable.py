"""What networks for tests share: everybody can be reached, nothing is kept open, and retries need not wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from arke.delivery.channel import Message
    from arke.delivery.https.endpoint import Endpoint
    from arke.delivery.https.ports import Answer, Failure
    from arke.domain.catalog import Tls


class Reachable:
    """The part of a `Poster` that most networks do not care about; `post` is their own."""

    async def connect(
        self, destination: int, endpoint: Endpoint, tls: Tls, *, timeout_s: float
    ) -> Failure | None:
        return None

    async def close(self) -> None:
        """Nothing is open."""


class AtOnce:
    """Retries leave whenever they like."""

    def failed(self, answer: Answer) -> None:
        """Nobody asks for a pause."""

    async def turn(self, message: Message) -> bool:
        return True

    def answered(self) -> None:
        """Nobody waits."""
