"""Plots of figures over time, and for how long back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from markupsafe import Markup

from arke.console import charts
from arke.console.charts import Series

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from arke.operations.history import History, HistoryOperations

SPANS: Final = {"1h": 3_600, "6h": 21_600, "24h": 86_400, "7d": 604_800, "30d": 2_592_000}
STEPS: Final = {3_600: 60, 21_600: 180, 86_400: 720, 604_800: 5_400, 2_592_000: 21_600}
"""Seconds between two points: 60 to 120 of them, which is what a plot of that width shows."""
SPAN: Final = "1h"
"""What is shown unless somebody chooses."""
HALF_WIDTH: Final = 560
"""Of a plot that has another one beside it."""
MS: Final = 1_000


class Plot(msgspec.Struct, frozen=True):
    """A picture, and the figures that it is made of. The picture is empty where nothing is known yet."""

    title: str
    unit: str
    times: list[float]
    series: list[Series]
    picture: Markup


class SpanLink(msgspec.Struct, frozen=True):
    """One choice of how far back plots go."""

    name: str
    href: str
    here: bool


def span_s(name: str) -> int:
    return SPANS.get(name, SPANS[SPAN])


def span_links(path: str, name: str) -> list[SpanLink]:
    here = name if name in SPANS else SPAN
    return [SpanLink(one, f"{path}?span={one}", one == here) for one in SPANS]


async def read(
    history: HistoryOperations, now: float, span: str, series: Sequence[str], destination: int | None = None
) -> History:
    until = int(now)
    back_s = span_s(span)
    return await history.read(
        destination=destination, series=series, since=until - back_s, until=until, step_s=STEPS[back_s]
    )


def plot(
    title: str,
    history: History,
    labels: Mapping[str, str],
    unit: str,
    *,
    factor: float = 1,
    area: bool = False,
) -> Plot:
    """Some of the lines, under names for people. `factor`: from the unit that is kept to the one that is shown."""
    lines = {line.name: line.values for line in history.lines}
    series = [
        Series(label, [None if value is None else value * factor for value in lines[name]])
        for name, label in labels.items()
    ]
    return drawn(title, times_of(history), series, unit, area=area)


def drawn(title: str, times: list[float], series: list[Series], unit: str, *, area: bool = False) -> Plot:
    picture = charts.line(title, times, series, unit, area=area, width=HALF_WIDTH)
    return Plot(title, unit, times, series, picture)


def times_of(history: History) -> list[float]:
    return [float(at) for at in range(history.since, history.until, history.step_s)]
