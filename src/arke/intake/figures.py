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

MAX_LEFT_NAMES: Final = 100
"""Names of parts that nothing stands for which are told apart: senders make them up."""
LEFT_NAME_CHARS: Final = 80
OTHER: Final = "other"
"""All further ones."""


def count_left(counts: Counter[str], names: Iterable[str]) -> None:
    """Count parts of a call that nothing stands for, by names that are cut off; names beyond the bound are one."""
    for name in names:
        short = name[:LEFT_NAME_CHARS]
        counts[short if short in counts or len(counts) < MAX_LEFT_NAMES else OTHER] += 1


class IntakeFigures:
    """Counted where answers are made, so that no door forgets one. `left` are parts of calls of Segment's API."""

    def __init__(self) -> None:
        self.events_refused: Counter[str] = Counter()
        self.ids_dropped: Counter[str] = Counter()
        self.left: Counter[str] = Counter()

    def refused(self, code: str) -> None:
        self.events_refused[code] += 1

    def left_out(self, parts: Iterable[LeftOut]) -> None:
        self.ids_dropped.update(part.code for part in parts if part.part == "id")

    def left_of_call(self, names: Iterable[str]) -> None:
        count_left(self.left, names)

    def answered(self, errors: list[DcsError], *, stored: bool) -> None:
        """A DCS request was answered with these errors; of one that was not stored the last says why."""
        self.ids_dropped.update(str(error.code) for error in errors if error.code in _ID_CODES)
        if not stored and errors:
            self.refused(str(errors[-1].code))
