"""Numbers of mappings, of which the higher one of an id is the newer, whichever engine makes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from arke.clock import Clock

PER_SECOND: Final = 1_000_000


class Generations:
    """Draws numbers from the mapping that is replaced and the clock, so that no engine has to ask another one.

    A number is higher than that of the mapping before, which the directory checks, and than all that were drawn
    here. Where an id was forgotten, the clock keeps a number from coming twice. `last` is the newest one.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.last = 0

    def after(self, before: int) -> int:
        """The number of a mapping that takes the place of number `before`; 0: of none."""
        number = int(self._clock.now() * PER_SECOND)
        newest = max(self.last, before)
        self.last = number if number > newest else newest + 1
        return self.last
