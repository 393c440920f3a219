"""Series of figures over time, made of what the ring keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import msgspec

from arke.domain.time import DAY_S
from arke.engine.history.block import MINUTES, QUARTERS, columns_of, key_of
from arke.engine.history.columns import COLUMNS, COVERED, LATENCY, PLACES, Kind, merged
from arke.histogram import quantile_s

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from arke.engine.history.block import Grain
    from arke.engine.history.columns import Subject
    from arke.storage.ports.history import HistoryStore

STEPS_S: Final = (60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 21_600, 43_200, DAY_S)
"""Those that people read off an axis."""
POINTS: Final = 400
"""At most so many, unless a step is asked for."""
MAX_POINTS: Final = 2_000

Unit = Literal["per_second", "count", "seconds", "users"]


class Series(msgspec.Struct, frozen=True):
    """One series: the column that it is made of, and how: `rate` a second, `level` as it is, or the duration that
    `share` of those counted stayed within.
    """

    unit: Unit
    column: str = ""
    share: float = 0.0


def _rates(*names: str) -> dict[str, Series]:
    return {name: Series("per_second", name) for name in names}


def _levels(*names: str) -> dict[str, Series]:
    return {name: Series("count", name) for name in names}


SERIES: Final[dict[Kind, dict[str, Series]]] = {
    "all": _rates("events", "changes", "refused") | _levels("queued", "backlog"),
    "destination": {
        **_rates("messages", "acknowledged", "users", "users_acknowledged", "retries"),
        **_levels("owed", "backlog", "circuits_open"),
        "latency_p50": Series("seconds", share=0.5),
        "latency_p90": Series("seconds", share=0.9),
        "latency_p99": Series("seconds", share=0.99),
    },
    "segment": {"size": Series("users", "size")},
}
"""By name, of each kind of subject."""


class Line(msgspec.Struct, frozen=True):
    """The values of a series, one a step; None where nothing is known."""

    name: str
    unit: Unit
    values: list[float | None]


def default_step_s(since: int, until: int) -> int:
    """The shortest one of at most `POINTS` points."""
    return next((step for step in STEPS_S if (until - since) <= step * POINTS), STEPS_S[-1])


class HistoryReader:
    """Reads the ring."""

    def __init__(self, store: HistoryStore) -> None:
        self._store = store

    async def lines(
        self, subject: Subject, names: Sequence[str], since: int, until: int, step_s: int
    ) -> list[Line]:
        """The value at place i is that of `step_s` seconds from `since` + i * `step_s` on. Raises
        StoreUnavailable.
        """
        steps = _Steps(subject.kind, names, since, until, step_s)
        # Old minutes are quarters of an hour: each moment is in one of both.
        for grain in (QUARTERS, MINUTES):
            first, last = key_of(subject, grain, since), key_of(subject, grain, until - 1)
            for begins, body in await self._store.of(*first, last.begins):
                steps.add(begins, grain, body)
        return steps.lines()


class _Part(NamedTuple):
    """Rows of a block, from `first` to before `end`, and the steps that they belong to."""

    first: int
    end: int
    steps: range


class _Steps:
    """Steps that are being filled, of the columns that the series need."""

    def __init__(self, kind: Kind, names: Sequence[str], since: int, until: int, step_s: int) -> None:
        self._since = since
        self._until = until
        self._step_s = step_s
        self._series = {name: SERIES[kind][name] for name in names}
        self._places = places = PLACES[kind]
        needed = {places[COVERED.name], *(places[one.column] for one in self._series.values() if one.column)}
        if any(one.share for one in self._series.values()):
            needed.update(LATENCY)
        self._merges = {place: COLUMNS[kind][place].merge for place in sorted(needed)}
        count = -(-(until - since) // step_s)
        self._values = {place: [0] * count for place in needed}

    def add(self, begins: int, grain: Grain, body: bytes) -> None:
        """What a block has of each step. Steps shorter than the block's have what it has, each."""
        columns = columns_of(body, grain, self._merges)
        known = columns.get(0, ())
        parts = [part for part in self._parts(begins, grain) if any(known[part.first : part.end])]
        for place, values in columns.items():
            there, merge = self._values[place], self._merges[place]
            for first, end, steps in parts:
                if merge == "sum":
                    found = sum(values[first:end])
                elif merge == "most":
                    found = max(values[first:end])
                else:
                    found = values[max(row for row in range(first, end) if known[row])]
                for step in steps:
                    there[step] = merged(merge, there[step], found)

    def _parts(self, begins: int, grain: Grain) -> Iterator[_Part]:
        """Which rows of a block belong to which steps."""
        row = max(0, (self._since - begins) // grain.step_s)
        while row < grain.steps and (at := begins + row * grain.step_s) < self._until:
            step = max(0, at - self._since) // self._step_s
            if self._step_s <= grain.step_s:
                ends = min(at + grain.step_s, self._until)
                yield _Part(row, row + 1, range(step, -(-(ends - self._since) // self._step_s)))
                row += 1
                continue
            step_ends = min(self._since + (step + 1) * self._step_s, self._until)
            end = min(grain.steps, -(-(step_ends - begins) // grain.step_s))
            yield _Part(row, end, range(step, step + 1))
            row = end

    def lines(self) -> list[Line]:
        return [Line(name, one.unit, list(self._line(one))) for name, one in self._series.items()]

    def _line(self, series: Series) -> Iterator[float | None]:
        covered_ms = self._values[self._places[COVERED.name]]
        if series.share:
            for counts in zip(*(self._values[place] for place in LATENCY), strict=True):
                found = quantile_s(counts, series.share)
                yield None if found is None else round(found, 6)
            return
        rate = series.unit == "per_second"
        for known_ms, value in zip(covered_ms, self._values[self._places[series.column]], strict=True):
            if known_ms:
                yield round(value * 1000 / known_ms, 6) if rate else value
            else:
                yield None
