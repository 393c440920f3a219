"""What the HTTP edge needs from the engine behind it: protocols, no code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.domain.event import Accepted, DeclaredId, IncomingEvent
    from arke.domain.ids import IdRules
    from arke.errors import EventError
    from arke.intake.figures import IntakeFigures
    from arke.intake.room import Reservation


class NameSpaces(Protocol):
    """Which id name spaces the live catalog knows, and what may be an id in each."""

    @property
    def ids(self) -> IdRules:
        """Of the catalog in force: asked for anew by each request."""
        ...


class Ingest(NameSpaces, Protocol):
    """Where events go. `figures` is told what the doors refuse."""

    figures: IntakeFigures

    async def enter(self, events: int, *, resuming: bool = False) -> Reservation:
        """Room for events that have arrived and are not read yet, before anything is done about them.

        Waits a moment where there is none. `resuming`: events of the same body were stored before. Raises
        `Overloaded` when more cannot be answered in time, `Unavailable` when nothing can be stored; then the caller
        may send them again.
        """
        ...

    async def ingest(
        self, events: Sequence[IncomingEvent], place: Reservation | None = None, *, evaluated: bool = True
    ) -> list[Accepted | EventError]:
        """Store events and answer one by one, in order. What is returned as accepted is durable; who needs not
        know which traits and segments came of it does not ask for it to be `evaluated`.

        Without a `place` that the caller has for them, they take one themselves. A problem of one event comes
        back as a value in its place. Raises `Overloaded` and `Unavailable` as `enter` does; then none of
        `events` was stored.
        """
        ...

    def only_by_token(self, dpid: int) -> bool:
        """Whether only who shows a token may declare ids of this source (`declared_by: token`)."""
        ...

    def ready(self) -> bool:
        """Whether events can be stored right now."""
        ...


class OptOutPort(Protocol):
    """Where opt-outs go."""

    async def opt_out(self, uuid: str | None, ids: tuple[DeclaredId, ...], *, public: bool) -> Accepted:
        """Opt out a device, or declared ids and the device each was last linked to; durable on return. `public`: by
        anybody's word, so ids that the device had from others are free afterwards.

        `ids` are as their sender writes them: each is looked for as it is spelled today, and as it may have been
        kept before. What can be no id and is not kept is passed over.

        `uuid`, where given, is the device meant: it takes precedence over what `ids` map to (dossier 13).
        """
        ...

    async def has_opted_out(self, uuid: str | None, ids: Sequence[DeclaredId]) -> bool:
        """Whether nothing is taken of an event that names these, written as for `opt_out`."""
        ...


class TokenPort(Protocol):
    """Who knows tokens."""

    async def authorize(self, token: str | None, scope: str) -> object:
        """Raise `Unauthorized` unless the token carries the scope, `Unavailable` where that cannot be known."""
        ...
