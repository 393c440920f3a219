"""How far a long work is, for whoever looks on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Progress:
    """`done` of `total`, bytes or rows, as far as they are counted, now at `stage`. `show` hears of it."""

    def __init__(self, show: Callable[[Progress], None] | None = None) -> None:
        self._show = show
        self.stage = ""
        self.total = 0
        self.done = 0

    def begin(self, stage: str, more: int = 0) -> None:
        self.stage = stage
        self.total += more
        self._tell()

    def advance(self, size: int) -> None:
        self.done += size
        self._tell()

    def _tell(self) -> None:
        if self._show is not None:
            self._show(self)
