"""Events on which the engine itself fails: each is refused by itself, unless one follows the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from arke.errors import EventError
from arke.log import Throttled, get_logger, kind_and_place

if TYPE_CHECKING:
    from arke.clock import Clock

INTERNAL: Final = "internal"
MAX_DEFECTS: Final = 10
"""Events in a row that are refused for a defect of the engine. Where more follow, it is not for what they say: then
nothing is refused for good, and whoever sent them is to come again.
"""
HELD: Final = (
    f"more than {MAX_DEFECTS} events in a row met a defect of the engine (the log has its place): "
    "nothing is taken until it is mended"
)


class Defects:
    """Tells of defects, a line a minute at most, and makes the answer to the event."""

    def __init__(self, component: str, event: str, clock: Clock) -> None:
        self._say = Throttled(get_logger(component), event, clock)

    def met(self, defect: Exception, **place: object) -> EventError:
        """The answer to an event on which the engine failed. Raises MemoryError: that is not for what it says."""
        if isinstance(defect, MemoryError):
            raise defect
        self._say(**place, error=kind_and_place(defect))
        return EventError(INTERNAL, "the engine failed on it, and has logged where")
