"""Charts as SVG, made on the server: pure functions from figures to markup.

Colours are classes of the style sheet, so that they follow light and dark; every series has a dash pattern of its
own, too. Each chart has a title and a description for those who do not see it, and each point says its figures when
it is pointed at.
"""

from __future__ import annotations

import hashlib
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import msgspec
from markupsafe import Markup, escape

from arke.console.wording import DASH, share

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WIDTH: Final = 720
HEIGHT: Final = 220
LEFT: Final = 56
RIGHT: Final = 12
TOP: Final = 10
BOTTOM: Final = 26
Y_TICKS: Final = 4
X_LABEL_PX: Final = 84
"""Room that a time on the axis needs."""
MINUTE: Final = 60
HOUR: Final = 3_600
DAY: Final = 86_400
_TIME_STEPS: Final = (
    *(minutes * MINUTE for minutes in (1, 2, 5, 10, 15, 30)),
    *(hours * HOUR for hours in (1, 2, 3, 6, 12)),
    *(days * DAY for days in (1, 2, 5, 10, 30, 90)),
)
_PREFIXES: Final = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


class Series(msgspec.Struct, frozen=True):
    """One line: its name and a value for each time; None where nothing is known."""

    label: str
    values: Sequence[float | None]


class Step(msgspec.Struct, frozen=True):
    """One bar of a funnel. `href` leads to what it is made of; `note` says what is lost to the next."""

    label: str
    value: int
    href: str | None = None
    note: str = ""


LONELY_PX: Final = 4


def line(
    title: str,
    times: Sequence[float],
    series: Sequence[Series],
    unit: str = "",
    *,
    area: bool = False,
    width: int = WIDTH,
    height: int = HEIGHT,
) -> Markup:
    """Values over time, in UTC. `times` are epoch seconds, ascending and evenly apart. `area`: filled to zero."""
    known = [value for one in series for value in one.values if value is not None]
    if not known or len(times) < 2:
        return Markup("")
    top = _nice_top(max(known), whole=all(float(value).is_integer() for value in known))
    plot = _Plot(times[0], times[-1], top, width, height)
    parts = [*_y_axis(plot, unit), *_x_axis(plot)]
    for number, one in enumerate(series):
        points = [
            (plot.x(at), plot.y(value)) if value is not None else None
            for at, value in zip(times, one.values, strict=True)
        ]
        if area:
            parts.append(Markup('<path class="area a{}" d="{}"/>').format(number, _area(points, plot.bottom)))
        parts.append(Markup('<path class="line s{}" d="{}"/>').format(number, _path(points)))
    parts += _pointed_at(plot, times, series, unit)
    return _svg(title, _description(times, series, unit), parts, width, height)


def funnel(title: str, steps: Sequence[Step], *, width: int = WIDTH) -> Markup:
    """How many are left at each step, as bars of the first one's share."""
    if not steps:
        return Markup("")
    row, bar, label_px, value_px = 38, 22, 190, 150
    most = max(1, *(step.value for step in steps))
    room = width - label_px - value_px
    parts: list[Markup] = []
    for number, step in enumerate(steps):
        y = number * row + 6
        long = max(2.0 if step.value else 0.0, room * step.value / most)
        inside = Markup(
            '<text class="label" x="{}" y="{}" text-anchor="end">{}</text>'
            '<rect class="track" x="{}" y="{}" width="{}" height="{}" rx="3"/>'
            '<rect class="bar b{}" x="{}" y="{}" width="{:.1f}" height="{}" rx="3"/>'
            '<text class="value" x="{}" y="{}">{}</text>'
        ).format(
            label_px - 12,
            y + 15,
            step.label,
            label_px,
            y,
            room,
            bar,
            number,
            label_px,
            y,
            long,
            bar,
            label_px + room + 10,
            y + 15,
            f"{step.value:,}" + ("" if number == 0 else f" ({share(step.value, steps[0].value)})"),
        )
        parts.append(inside if step.href is None else Markup('<a href="{}">{}</a>').format(step.href, inside))
        if step.note:
            parts.append(
                Markup('<text class="note" x="{}" y="{}">{}</text>').format(label_px, y + 33, step.note)
            )
    text = "; ".join(f"{step.label}: {step.value:,}" for step in steps)
    role = "group" if any(step.href for step in steps) else "img"
    return _svg(title, text, parts, width, len(steps) * row + 6, role=role)


def overlap(title: str, left: tuple[str, int], right: tuple[str, int], both: int) -> Markup:
    """Two sets as bars one below the other, of which the shared part stands in the same place. Circles would be
    prettier, and nobody reads areas.
    """
    width, label_px, value_px, bar, row = WIDTH, 190, 110, 22, 34
    room = width - label_px - value_px
    alone = (left[1] - both, right[1] - both)
    whole = max(alone[0] + both + alone[1], 1)
    scale = room / whole
    starts = (label_px, label_px + alone[0] * scale)
    parts: list[Markup] = []
    for number, ((label, size), start) in enumerate(zip((left, right), starts, strict=True)):
        y = 6 + number * row
        parts.append(
            Markup(
                '<text class="label" x="{}" y="{}" text-anchor="end">{}</text>'
                '<rect class="track" x="{}" y="{}" width="{}" height="{}" rx="3"/>'
                '<rect class="bar b{}" x="{:.1f}" y="{}" width="{:.1f}" height="{}" rx="3"/>'
                '<text class="value" x="{}" y="{}">{:,}</text>'
            ).format(
                label_px - 12, y + 15, label, label_px, y, room, bar, number, start, y, size * scale, bar,
                label_px + room + 10, y + 15, size,
            )
        )  # fmt: skip
    y = 6 + 2 * row
    parts.append(
        Markup(
            '<text class="label" x="{}" y="{}" text-anchor="end">both</text>'
            '<rect class="bar b2" x="{:.1f}" y="{}" width="{:.1f}" height="{}" rx="3"/>'
            '<text class="value" x="{}" y="{}">{:,}</text>'
        ).format(label_px - 12, y + 15, starts[1], y, both * scale, bar, label_px + room + 10, y + 15, both)
    )
    text = f"{left[0]}: {left[1]:,}; {right[0]}: {right[1]:,}; in both: {both:,}"
    return _svg(title, text, parts, width, y + bar + 8)


def rows(times: Sequence[float], series: Sequence[Series]) -> Markup:
    """The figures of a chart as rows of a table, newest first; times of which nothing is known are left out."""
    found = []
    for number in reversed(range(len(times))):
        values = [one.values[number] for one in series]
        if all(value is None for value in values):
            continue
        cells = "".join(f'<td class="number">{figure(value)}</td>' for value in values)
        found.append(f'<tr><th scope="row">{_utc(times[number]):%Y-%m-%d %H:%M}</th>{cells}</tr>')
    return Markup("".join(found))  # noqa: S704 - numbers


class _Plot:
    """Where a value lies in the picture."""

    def __init__(self, first: float, last: float, top: float, width: int, height: int) -> None:
        self.first, self.last, self.top = first, last, top
        self.left, self.right, self.bottom = LEFT, width - RIGHT, height - BOTTOM

    def x(self, at: float) -> float:
        return self.left + (self.right - self.left) * (at - self.first) / (self.last - self.first)

    def y(self, value: float) -> float:
        return self.bottom - (self.bottom - TOP) * value / self.top


def _y_axis(plot: _Plot, unit: str) -> Iterable[Markup]:
    for number in range(Y_TICKS + 1):
        value = plot.top * number / Y_TICKS
        y = plot.y(value)
        yield Markup('<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>').format(
            plot.left, plot.right, y, y
        )
        text = f"{figure(value)} {unit}".strip() if number == Y_TICKS else figure(value)
        yield Markup('<text class="tick" x="{}" y="{:.1f}" text-anchor="end">{}</text>').format(
            plot.left - 6, y + 4, text
        )


def _x_axis(plot: _Plot) -> Iterable[Markup]:
    fit = max(2, int((plot.right - plot.left) / X_LABEL_PX))
    span = plot.last - plot.first
    step = next((one for one in _TIME_STEPS if span / one <= fit), _TIME_STEPS[-1])
    at = math.ceil(plot.first / step) * step
    while at <= plot.last:
        x = plot.x(at)
        yield Markup('<line class="grid" x1="{:.1f}" x2="{:.1f}" y1="{}" y2="{}"/>').format(
            x, x, plot.bottom, plot.bottom + 4
        )
        yield Markup('<text class="tick" x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(
            x, plot.bottom + 18, _time_label(at, step)
        )
        at += step


def _pointed_at(plot: _Plot, times: Sequence[float], series: Sequence[Series], unit: str) -> Iterable[Markup]:
    """Invisible columns that say their figures."""
    wide = (plot.right - plot.left) / max(1, len(times) - 1)
    labels = [escape(one.label) for one in series]
    after = f" {escape(unit)}" if unit else ""
    # There are hundreds of them, and nothing but numbers and what is escaped: put together as they are.
    found = []
    for number, at in enumerate(times):
        if all(one.values[number] is None for one in series):
            continue
        said = ", ".join(
            f"{label} {figure(one.values[number])}" for label, one in zip(labels, series, strict=True)
        )
        found.append(
            f'<rect class="hit" x="{plot.x(at) - wide / 2:.1f}" y="{TOP}" width="{wide:.1f}" '
            f'height="{plot.bottom - TOP}"><title>{_utc(at):%Y-%m-%d %H:%M} UTC: {said}{after}</title></rect>'
        )
    yield Markup("".join(found))  # noqa: S704


def _path(points: Iterable[tuple[float, float] | None]) -> str:
    """Broken where nothing is known; a point that stands alone is a short dash."""
    found = []
    for run in _runs(points):
        if len(run) == 1:
            ((x, y),) = run
            found.append(f"M{x - LONELY_PX / 2:.1f} {y:.1f}h{LONELY_PX}")
        else:
            found.append("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in run))
    return "".join(found)


def _area(points: Iterable[tuple[float, float] | None], bottom: float) -> str:
    found = []
    for run in _runs(points):
        along = "L".join(f"{x:.1f} {y:.1f}" for x, y in run)
        found.append(f"M{run[0][0]:.1f} {bottom:.1f}L{along}L{run[-1][0]:.1f} {bottom:.1f}Z")
    return "".join(found)


def _runs(points: Iterable[tuple[float, float] | None]) -> list[list[tuple[float, float]]]:
    """Points without a gap between them."""
    found: list[list[tuple[float, float]]] = [[]]
    for point in points:
        if point is not None:
            found[-1].append(point)
        elif found[-1]:
            found.append([])
    return [run for run in found if run]


def _nice_top(most: float, *, whole: bool) -> float:
    """The end of an axis that has this on it: four equal steps of 1, 2, 2.5 or 5 times a power of ten, `whole` ones
    where all values are.
    """
    if most <= 0:
        return float(Y_TICKS)
    step = most / Y_TICKS
    power = 10.0 ** math.floor(math.log10(step))
    nice = next(one * power for one in (1, 2, 2.5, 5, 10) if one * power >= step * (1 - 1e-9))
    return max(math.ceil(nice) if whole else nice, 1e-9) * Y_TICKS


def figure(value: float | None) -> str:
    """Short enough for an axis: 1,500 is 1.5k."""
    if value is None:
        return DASH
    for size, prefix in _PREFIXES:
        if abs(value) >= size:
            return f"{value / size:.4g}{prefix}"
    return f"{value:.4g}"


def _time_label(at: float, step: int) -> str:
    when = _utc(at)
    return f"{when:%b} {when.day}" if step >= DAY or (when.hour, when.minute) == (0, 0) else f"{when:%H:%M}"


def _utc(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def _description(times: Sequence[float], series: Sequence[Series], unit: str) -> str:
    said = []
    for one in series:
        known = [value for value in one.values if value is not None]
        if known:
            said.append(
                f"{one.label}: {figure(min(known))} to {figure(max(known))} {unit}".rstrip()
                + f", last {figure(known[-1])}"
            )
    return f"From {_utc(times[0]):%Y-%m-%d %H:%M} to {_utc(times[-1]):%Y-%m-%d %H:%M} UTC. " + "; ".join(said)


def _svg(
    title: str,
    text: str,
    parts: Iterable[Markup],
    width: int,
    height: int,
    *,
    role: str = "img",
) -> Markup:
    key = hashlib.sha256(f"{title}\n{text}".encode()).hexdigest()[:12]
    return Markup(
        '<svg class="chart" role="{role}" viewBox="0 0 {width} {height}" '
        'aria-labelledby="t{key} d{key}" preserveAspectRatio="xMinYMin meet">'
        '<title id="t{key}">{title}</title><desc id="d{key}">{text}</desc>{parts}</svg>'
    ).format(
        role=role,
        width=width,
        height=height,
        key=key,
        title=escape(title),
        text=escape(text),
        parts=Markup("").join(parts),
    )
