"""Counts what the doors refused, by door and kind, and logs each kind at most once a minute.

Anybody can make a door refuse as often as he likes, so no line of the log repeats what the caller sent.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from arke.doors.durations import Durations
from arke.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

INTERNAL: Final = "the engine failed on this request; it is logged"
"""What is said of a defect."""
LOG_EVERY_S: Final = 60.0
MAX_PLACES: Final = 1_000
"""Places of defects that are told apart; there are only as many as there is code."""

log = get_logger("doors")


class Refusals:
    """The counts of one engine's doors. `monotonic` is the clock that spaces the lines of the log, `answered` has
    how long requests took that an application answered.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.answered = Durations()
        self._monotonic = monotonic
        self._counts: dict[tuple[str, str], int] = {}
        self._unlogged: dict[tuple[str, str], int] = {}
        self._logged_at: dict[tuple[str, str], float] = {}

    def note(self, door: str, kind: str) -> None:
        """Count one refusal of a kind."""
        self._count(door, kind)
        if times := self._due((door, kind)):
            log.warning("refused", door=door, kind=kind, times=times)

    def failed(self, door: str, what: str) -> None:
        """Count a request on which the engine failed. `what` names kind and place of the defect."""
        self._count(door, "internal")
        if len(self._logged_at) > MAX_PLACES:
            self._logged_at.clear()
            self._unlogged.clear()
        if times := self._due((door, what)):
            log.error("request failed", door=door, what=what, times=times)

    def counts(self) -> dict[tuple[str, str], int]:
        """How many requests were refused, by door and kind."""
        return dict(self._counts)

    def _count(self, door: str, kind: str) -> None:
        self._counts[door, kind] = self._counts.get((door, kind), 0) + 1

    def _due(self, key: tuple[str, str]) -> int:
        """How many refusals to log now, this one included; 0 within a minute of the last line."""
        unlogged = self._unlogged.get(key, 0) + 1
        now = self._monotonic()
        logged_at = self._logged_at.get(key)
        if logged_at is not None and now - logged_at < LOG_EVERY_S:
            self._unlogged[key] = unlogged
            return 0
        self._logged_at[key] = now
        self._unlogged[key] = 0
        return unlogged
