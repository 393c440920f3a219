"""A block: the rows of one subject over an hour of minutes, or a day of quarters of an hour.

Stored column by column, little endian, 8 bytes a number, compressed: most numbers are small and like those before.
"""

from __future__ import annotations

import zlib
from struct import pack, unpack
from typing import TYPE_CHECKING, Final, NamedTuple

from arke.domain.time import DAY_S
from arke.engine.history.columns import COLUMNS, KINDS, merged
from arke.storage.ports.history import BlockKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from arke.engine.history.columns import Column, Kind, Row, Subject


class Grain(NamedTuple):
    """How long a step is, and a block."""

    step_s: int
    block_s: int

    @property
    def steps(self) -> int:
        return self.block_s // self.step_s

    def begin(self, at: int) -> int:
        """When the block begins in which a moment is."""
        return at - at % self.block_s


MINUTES: Final = Grain(60, 3_600)
QUARTERS: Final = Grain(900, DAY_S)
LEVEL: Final = 6


def key_of(subject: Subject, grain: Grain, at: int) -> BlockKey:
    """The block in which a moment of a subject is."""
    return BlockKey(KINDS.index(subject.kind), subject.number, grain.step_s, grain.begin(at))


def columns_of(body: bytes, grain: Grain, places: Iterable[int]) -> dict[int, Sequence[int]]:
    """Some columns of a stored block: those that it has, and that are not 0 all along. Of a block that cannot be
    read nothing is known.
    """
    size = 8 * grain.steps
    try:
        plain = zlib.decompress(body)
    except zlib.error:
        return {}
    found: dict[int, Sequence[int]] = {}
    for place in places:
        column = plain[place * size : (place + 1) * size]
        if column.strip(b"\0"):
            found[place] = unpack(f"<{grain.steps}q", column)
    return found


class Block:
    """A list of numbers for each column, one a step."""

    def __init__(self, kind: Kind, grain: Grain, body: bytes | None = None) -> None:
        """`body` as it is stored; None: nothing is known yet."""
        self._layout = COLUMNS[kind]
        self._grain = grain
        self.columns = [[0] * grain.steps for _ in self._layout]
        if body is not None:
            for place, column in columns_of(body, grain, range(len(self._layout))).items():
                self.columns[place] = list(column)

    def encode(self) -> bytes:
        count = len(self.columns) * self._grain.steps
        return zlib.compress(pack(f"<{count}q", *(n for column in self.columns for n in column)), LEVEL)

    def put(self, at: int, row: Row) -> None:
        """A row of the step in which a moment is. One that is there already, from before a restart or before a
        clock was set back, becomes one with it: since both say how much they cover, rates stay what they were.
        """
        step = at % self._grain.block_s // self._grain.step_s
        there = self.row(step)
        if there[0]:
            row = _one(self._layout, [there, row])
        for column, value in zip(self.columns, row, strict=True):
            column[step] = value

    def row(self, step: int) -> Row:
        return tuple(column[step] for column in self.columns)

    def coarser(self, begins: int, step_s: int) -> Iterator[tuple[int, Row]]:
        """Rows of longer steps, with their times: those of which anything is known."""
        size = step_s // self._grain.step_s
        for first in range(0, self._grain.steps, size):
            rows = [row for step in range(first, first + size) if (row := self.row(step))[0]]
            if rows:
                yield begins + first * self._grain.step_s, _one(self._layout, rows)


def _one(layout: Sequence[Column], rows: Sequence[Row]) -> Row:
    """Rows that follow each other as one."""
    found = list(rows[0])
    for row in rows[1:]:
        for place, column in enumerate(layout):
            found[place] = merged(column.merge, found[place], row[place])
    return tuple(found)
