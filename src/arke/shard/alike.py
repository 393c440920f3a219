"""What becomes of devices as time passes or the catalog changes, by the state they are in: once for all alike.

Devices that one file spoke of have the same traits since the same second, and lose them together. It follows from
the catalog, the mappings, the moment and their state alone, so it is remembered from one group to the next,
whatever becomes of the group.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from arke.domain.change import Change
    from arke.domain.profile import ProfileParts
    from arke.telling.routing import Routing

KEPT: Final = 4_096
LARGEST: Final = 2_048
"""Bytes of a stored profile; larger ones are hardly ever alike."""
TRIED: Final = 1_024
"""After so many that were looked for it is seen whether enough of them, one in `WORTH`, were found."""
WORTH: Final = 8


class Outcome(NamedTuple):
    """The state that a device comes to, None where it stays as it is, and what changed for it."""

    state: ProfileParts | None
    changes: tuple[Change, ...]


class Alike:
    """Remembers some, by their state, under one `routing`, at one moment of one kind of walk. Where few are alike
    that is given up until the next moment.
    """

    def __init__(self) -> None:
        self._routing: Routing | None = None
        self._what: tuple[int | str, ...] = ()
        self._known: dict[tuple[int | bytes, ...], Outcome] = {}
        self._tried = self._found = 0

    def under(self, routing: Routing, *what: int | str) -> None:
        """What is asked and noted from here on is under this."""
        if self._routing is not routing or self._what != what:
            self._routing, self._what, self._known = routing, what, {}
            self._tried = self._found = 0

    @property
    def pays(self) -> bool:
        return self._tried < TRIED or self._found * WORTH >= self._tried

    def find(self, state: tuple[int | bytes, ...]) -> Outcome | None:
        self._tried += 1
        found = self._known.get(state)
        if found is not None:
            self._found += 1
        return found

    def note(self, state: tuple[int | bytes, ...], outcome: Outcome) -> None:
        if len(self._known) >= KEPT:
            self._known.clear()
        self._known[state] = outcome
