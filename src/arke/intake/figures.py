"""What the intake refused since it started: events, and ids left out of events, by code.

A code is the one that the sender was answered with: a word at `/v1/events`, a number at the DCS endpoints.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from arke.domain.event import LeftOut
    from arke.intake.dcs_codes import DcsError

_ID_CODES: Final = frozenset((300, 302, 303, 309, 310))
"""DCS codes that stand for one id each. 312 comes with 300; 104 and 301 are said once of all."""


class IntakeFigures:
    """Counted where answers are made, so that no door forgets one."""

    def __init__(self) -> None:
        self.events_refused: Counter[str] = Counter()
        self.ids_dropped: Counter[str] = Counter()

    def refused(self, code: str) -> None:
        self.events_refused[code] += 1

    def left_out(self, parts: Iterable[LeftOut]) -> None:
        self.ids_dropped.update(part.code for part in parts if part.part == "id")

    def answered(self, errors: list[DcsError], *, stored: bool) -> None:
        """A DCS request was answered with these errors; of one that was not stored the last says why."""
        self.ids_dropped.update(str(error.code) for error in errors if error.code in _ID_CODES)
        if not stored and errors:
            self.refused(str(errors[-1].code))
