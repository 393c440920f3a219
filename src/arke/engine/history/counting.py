"""Counters that began when their process did, as what was counted since they were looked at last."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

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


class Counted(NamedTuple):
    """What a source has counted. `counting` names the count, which another one follows when the source begins anew;
    0 where that is not known. `counting_s`: for how long it has counted, if that is known.
    """

    rows: Rows
    counting: int = 0
    counting_s: float | None = None


class Counting:
    """Remembers what each source (a shard, an intake) had counted, and how it stood."""

    def __init__(self) -> None:
        self._last: dict[Hashable, Counted] = {}

    def since(self, sources: Mapping[Hashable, Counted], since_s: float) -> Rows:
        """What was counted since the last time, `since_s` ago, of all sources together, and how they stand now.

        One that was not seen before may have counted for days: nothing of that is new, unless it began since. One
        that has another count, or has counted less than before, has begun anew: all of that is new. One that does
        not answer stands as it did. A source says what it has counted of a destination that is off, too.
        """
        total: dict[Subject, list[int]] = defaultdict(list)
        for source, now in sources.items():
            before = self._before(source, now, since_s)
            _add(
                total,
                (
                    (subject, _difference(subject, row, before.get(subject)))
                    for subject, row in now.rows.items()
                ),
            )
        for source in self._last.keys() - sources.keys():
            rows = self._last[source].rows
            _add(total, ((subject, _difference(subject, row, row)) for subject, row in rows.items()))
        self._last.update(sources)
        return {subject: tuple(row) for subject, row in total.items()}

    def _before(self, source: Hashable, now: Counted, since_s: float) -> Rows:
        last = self._last.get(source)
        if last is None:
            return {} if now.counting_s is not None and now.counting_s <= since_s else now.rows
        return {} if _began_anew(now, last) else last.rows

    def keep_of(self, sources: Collection[Hashable]) -> None:
        """All others are gone for good."""
        self._last = {source: last for source, last in self._last.items() if source in sources}


def _add(total: dict[Subject, list[int]], rows: Iterable[tuple[Subject, Row]]) -> None:
    for subject, row in rows:
        there = total[subject]
        total[subject] = [one + other for one, other in zip(there, row, strict=True)] if there else [*row]


def _began_anew(now: Counted, last: Counted) -> bool:
    """Its rows do not tell it where it has counted more than before since."""
    return now.counting != last.counting or any(
        _went_down(subject, row, last.rows.get(subject)) for subject, row in now.rows.items()
    )


def _went_down(subject: Subject, row: Row, last: Row | None) -> bool:
    return last is not None and any(
        now < before
        for column, now, before in zip(COLUMNS[subject.kind], row, last, strict=True)
        if column.merge == "sum"
    )


def _difference(subject: Subject, row: Row, last: Row | None) -> Row:
    if last is None:
        return row
    return tuple(
        now - before if column.merge == "sum" else now
        for column, now, before in zip(COLUMNS[subject.kind], row, last, strict=True)
    )
