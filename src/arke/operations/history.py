"""Figures over time: of everything, of a destination, of a segment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from arke.domain.time import DAY_S
from arke.engine.history.columns import EVERYTHING, Subject
from arke.engine.history.reading import MAX_POINTS, SERIES, HistoryReader, Line, default_step_s
from arke.engine.history.recorder import MINUTE_S
from arke.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.operations.engine import Engine

SHOWN_S: Final = DAY_S
"""How much is shown unless it is said."""


class History(msgspec.Struct, frozen=True):
    """Series from `since` to `until` (epoch seconds), a value every `step_s`: the value at place i of a line is
    that of the step that begins at `since` + i * `step_s`, None where nothing is known of it.
    """

    since: int
    until: int
    step_s: int
    lines: list[Line]


class HistoryOperations:
    """Reads what the engine, or the leader of a cluster, keeps of every minute of the last 30 days."""

    def __init__(self, engine: Engine) -> None:
        self._reader = HistoryReader(engine.directory.history)
        self._live = engine.live
        self._clock = engine.clock

    async def read(
        self,
        *,
        destination: int | None = None,
        segment: int | None = None,
        series: Sequence[str] = (),
        since: int | None = None,
        until: int | None = None,
        step_s: int | None = None,
    ) -> History:
        """Of a destination, of a segment, or of everything; all series unless some are named. Times are epoch
        seconds, by default the last day; the step is chosen so that there are at most 400 of them. Raises
        InvalidInput, StoreUnavailable.
        """
        subject = self._subject(destination, segment)
        known = SERIES[subject.kind]
        unknown = [name for name in series if name not in known]
        if unknown:
            raise InvalidInput(f"there is no series {unknown[0][:40]} of that: there are {', '.join(known)}")
        end = int(self._clock.now()) if until is None else until
        begin = end - SHOWN_S if since is None else since
        if begin >= end:
            raise InvalidInput("since must be before until")
        step_s = default_step_s(begin, end) if step_s is None else step_s
        if step_s < MINUTE_S or step_s % MINUTE_S:
            raise InvalidInput(f"step is a number of seconds, {MINUTE_S} or a multiple of it")
        begin -= begin % step_s
        end += -end % step_s
        points = (end - begin) // step_s
        if points > MAX_POINTS:
            shortest = -(-(end - begin) // MAX_POINTS // MINUTE_S) * MINUTE_S + MINUTE_S
            raise InvalidInput(
                f"that is {points} points, and {MAX_POINTS} are the most: take a step of {shortest} s or more"
            )
        names = list(dict.fromkeys(series)) or list(known)
        lines = await self._reader.lines(subject, names, begin, end, step_s)
        return History(begin, end, step_s, lines)

    def _subject(self, destination: int | None, segment: int | None) -> Subject:
        catalog = self._live.catalog
        if destination is not None and segment is not None:
            raise InvalidInput("name a destination or a segment, not both")
        if destination is not None:
            if not any(one.id == destination for one in catalog.destinations):
                raise InvalidInput(f"no destination {destination} in the catalog")
            return Subject("destination", destination)
        if segment is not None:
            if not any(one.id == segment for one in catalog.segments):
                raise InvalidInput(f"no segment {segment} in the catalog")
            return Subject("segment", segment)
        return EVERYTHING
