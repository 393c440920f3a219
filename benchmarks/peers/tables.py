"""The tables, as docs/benchmarks.md has them: medians of the rounds."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, TypeVar

from peers.scenes import Drain, Latency, Rate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from peers.driver import Report, Row

T = TypeVar("T", Rate, Latency, Drain)


def markdown(report: Report) -> str:
    rows = [row for row in report.rows if row.rounds]
    parts = [_about(report), "", *_rates(report, rows), "", *_answers(report, rows), ""]
    if report.settings.rates:
        parts += [*_latencies(report, rows), ""]
    parts += [*_drains(rows), "", *_contenders(report.rows)]
    return "\n".join(parts) + "\n"


def _about(report: Report) -> str:
    averages = [turn.load_average for row in report.rows for turn in row.rounds]
    facts = "; ".join(f"{name} {value}" for name, value in report.machine.items() if name != "load average")
    rounds = max((len(row.rounds) for row in report.rows), default=0)
    load = f"{min(averages):.1f} to {max(averages):.1f}" if averages else "-"
    late_ms = max((one.late_ms for row in report.rows for one in _all(row, Latency)), default=0)
    return (
        f"Medians of {rounds} rounds in turns. {facts}. Load average before each turn: {load}. "
        f"The load generator was at most {late_ms:.0f} ms late."
    )


def _rates(report: Report, rows: Sequence[Row]) -> Iterator[str]:
    """Events a second over CPU us an event, in a cell."""
    columns = [(connections, 1) for connections in report.settings.connections]
    names = [f"{connections}" for connections in report.settings.connections]
    if any(one.events_a_post > 1 for row in rows for one in _all(row, Rate)):
        columns.append((0, report.settings.bulk))
        names.append(f"{report.settings.bulk} a POST")
    yield from _head("events/s (CPU us an event), by connections", "users a request", *names)
    for row in rows:
        cells = []
        for connections, events in columns:
            cells.append(_rate([one for one in _all(row, Rate) if _is(one, connections, events)]))
        yield _line(row.name, str(row.users_a_request), *cells)


def _is(one: Rate, connections: int, events: int) -> bool:
    return one.events_a_post == events and (events > 1 or one.connections == connections)


def _rate(found: Sequence[Rate]) -> str:
    if not found:
        return "-"
    text = f"{_middle(one.rate for one in found):,.0f} ({_middle(one.cpu_us for one in found):,.0f})"
    missing = _middle(one.missing for one in found)
    return text + (f", {missing:,.0f} missing" if missing else "")


def _answers(report: Report, rows: Sequence[Row]) -> Iterator[str]:
    names = [f"{connections}" for connections in report.settings.connections]
    yield from _head("p50 of the answer, ms, by connections", "users a request", *names)
    for row in rows:
        cells = []
        for connections in report.settings.connections:
            found = [one for one in _all(row, Rate) if _is(one, connections, 1)]
            cells.append(f"{_middle(one.answer_p50_ms for one in found):,.1f}" if found else "-")
        yield _line(row.name, str(row.users_a_request), *cells)


def _latencies(report: Report, rows: Sequence[Row]) -> Iterator[str]:
    names = [f"{rate:,}/s" for rate in report.settings.rates]
    yield from _head("p50 / p99 ms, due to arrived (CPU us an event)", "users a request", *names)
    for row in rows:
        cells = [
            _latency([one for one in _all(row, Latency) if one.rate == rate])
            for rate in report.settings.rates
        ]
        yield _line(row.name, str(row.users_a_request), *cells)


def _latency(found: Sequence[Latency]) -> str:
    if not found:
        return "-"
    if sum(one.sustained for one in found) * 2 < len(found):
        return f"not sustained (p50 {_middle(one.p50_ms for one in found):,.0f})"
    p50, p99 = _middle(one.p50_ms for one in found), _middle(one.p99_ms for one in found)
    return f"{p50:,.1f} / {p99:,.1f} ({_middle(one.cpu_us for one in found):,.0f})"


def _drains(rows: Sequence[Row]) -> Iterator[str]:
    yield from _head(
        "after an outage, s",
        *(
            "users a request",
            "accepted meanwhile",
            "first",
            "all",
            "missing",
            "twice",
            "twice without an outage",
        ),
        *("memory MB, most", "services"),
    )
    for row in rows:
        found = _all(row, Drain)
        memory = f"{_middle(turn.memory_mb for turn in row.rounds):,.0f}"
        services = str(row.rounds[-1].processes)
        twice = f"{sum(one.twice for one in _all(row, Rate)):,}"
        if found:
            cells = [
                f"{_middle(one.accepted for one in found):,.0f}",
                *(_seconds([one.first_s for one in found]), _seconds([one.all_s for one in found])),
                f"{_middle(one.missing for one in found):,.0f}",
                f"{_middle(one.twice for one in found):,.0f}",
            ]
        else:
            cells = ["-" if row.keeps else "nothing", *("-",) * 4]
        yield _line(row.name, str(row.users_a_request), *cells, twice, memory, services)


def _seconds(values: Sequence[float]) -> str:
    came = [value for value in values if value >= 0]
    return f"{median(came):.1f}" if len(came) * 2 > len(values) else "did not come"


def _contenders(rows: Sequence[Row]) -> Iterator[str]:
    yield from _head("contender", "version", "what an answer means", "what makes it unlike")
    for row in rows:
        version = row.version if row.rounds else f"not measured: {row.missing}"
        yield _line(f"{row.name}, {row.users_a_request} a request", version, row.durability, row.unlike)


def _all(row: Row, kind: type[T]) -> list[T]:
    """What this kind of scene came to, in all rounds."""
    return [one for turn in row.rounds for one in turn.outcomes if isinstance(one, kind)]


def _middle(values: Iterable[float]) -> float:
    return median(list(values))


def _head(*names: str) -> Iterator[str]:
    yield _line(*names)
    yield "|" + "---|" * len(names)


def _line(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
