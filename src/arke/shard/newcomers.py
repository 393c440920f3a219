"""What becomes of devices that nobody knew before, by what a file says of them: for all that are alike once.

It follows from the catalog, the mappings, the file and the moment alone, so it is remembered from one group to the
next, whatever becomes of the group.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from arke.domain.change import Change
    from arke.telling.routing import Routing

KEPT: Final = 20_000


class Newcomer(NamedTuple):
    """The stored form of one of them (`form_of`), when the sweep is to look at it, what changed for it, and which
    onboarded traits it realises.
    """

    form: tuple[bytes, bytes]
    wake: int
    changes: tuple[Change, ...]
    realised: tuple[int, ...]


class Newcomers:
    """Remembers some, by what lines say (packed), under one `routing`, of one file, at one moment."""

    def __init__(self) -> None:
        self._routing: Routing | None = None
        self._what: tuple[int | None, ...] = ()
        self._known: dict[bytes, Newcomer] = {}

    def under(self, routing: Routing, *what: int | None) -> dict[bytes, Newcomer]:
        """Those that are known under this; to be added to."""
        if self._routing is not routing or self._what != what or len(self._known) >= KEPT:
            self._routing, self._what, self._known = routing, what, {}
        return self._known
