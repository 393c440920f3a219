"""Counters that began when their process did, as what was counted since they were looked at last."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from arke.engine.history.columns import COLUMNS, EVERYTHING, PLACES, Row, Subject

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Iterable, Mapping

    from arke.shard.protocol import LaneStatus, ShardStatus

Rows = dict[Subject, Row]
"""By whose they are; the first column stays 0 until it is known what they cover."""


def rows_of(status: ShardStatus) -> Rows:
    """What a shard has counted, and how it stands."""
    rows = {Subject("destination", lane.destination): _lane_row(lane) for lane in status.lanes}
    backlog = sum(lane.backlog for lane in status.lanes)
    return rows | {EVERYTHING: (0, status.events, status.changes, 0, status.queued, backlog)}


def _lane_row(lane: LaneStatus) -> Row:
    figures = lane.figures
    return (
        *(
            0,
            figures.messages,
            figures.acknowledged,
            figures.users,
            figures.users_acknowledged,
            figures.retries,
        ),
        *(lane.owed, lane.backlog, int(lane.circuit == "open")),
        *figures.latency.counts,
    )


def refused_row(refused: int) -> Rows:
    """What an intake has refused."""
    row = [0] * len(COLUMNS["all"])
    row[PLACES["all"]["refused"]] = refused
    return {EVERYTHING: tuple(row)}


class Counting:
    """Remembers what each source (a shard, an intake) had counted, and how it stood."""

    def __init__(self) -> None:
        self._last: dict[Hashable, Rows] = {}

    def since(self, sources: Mapping[Hashable, Rows]) -> Rows:
        """What was counted since the last time, of all sources together, and how they stand now.

        One that was not seen before may have counted for days: nothing of that is new. One that has counted less
        than before has begun anew. One that does not answer stands as it did. What is not there for a while, as a
        destination that is switched off, goes on counting where it was.
        """
        total: dict[Subject, list[int]] = defaultdict(list)
        known: dict[Hashable, Rows] = {}
        for source, rows in sources.items():
            last = self._last.get(source)
            if last is None:
                last = rows
            elif any(_went_down(subject, row, last.get(subject)) for subject, row in rows.items()):
                last = {}
            _add(
                total,
                ((subject, _difference(subject, row, last.get(subject))) for subject, row in rows.items()),
            )
            away = last.keys() - rows.keys()
            known[source] = {**{subject: _counts_of(subject, last[subject]) for subject in away}, **rows}
        silent = self._last.keys() - sources.keys()
        for source in silent:
            rows = self._last[source]
            _add(total, ((subject, _difference(subject, row, row)) for subject, row in rows.items()))
        self._last.update(known)
        return {subject: tuple(row) for subject, row in total.items()}

    def keep_of(self, sources: Collection[Hashable]) -> None:
        """All others are gone for good."""
        self._last = {source: rows for source, rows in self._last.items() if source in sources}


def _add(total: dict[Subject, list[int]], rows: Iterable[tuple[Subject, Row]]) -> None:
    for subject, row in rows:
        there = total[subject]
        total[subject] = [one + other for one, other in zip(there, row, strict=True)] if there else [*row]


def _went_down(subject: Subject, row: Row, last: Row | None) -> bool:
    return last is not None and any(
        now < before
        for column, now, before in zip(COLUMNS[subject.kind], row, last, strict=True)
        if column.merge == "sum"
    )


def _counts_of(subject: Subject, row: Row) -> Row:
    """A row without its levels."""
    return tuple(
        value if column.merge == "sum" else 0
        for column, value in zip(COLUMNS[subject.kind], row, strict=True)
    )


def _difference(subject: Subject, row: Row, last: Row | None) -> Row:
    if last is None:
        return row
    return tuple(
        now - before if column.merge == "sum" else now
        for column, now, before in zip(COLUMNS[subject.kind], row, last, strict=True)
    )
