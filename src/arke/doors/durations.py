"""How long requests took, by door, route and class of status."""

from __future__ import annotations

from typing import NamedTuple

from arke.histogram import Histogram


class Answered(NamedTuple):
    """What kind of answers: `route` is one of those that there are, or `other`; `status` is `2xx` and so on, `none`
    where the client went away before there was one.
    """

    door: str
    route: str
    status: str


class Durations:
    """Those of one engine's doors. There are only as many kinds as there are routes."""

    def __init__(self) -> None:
        self._by_kind: dict[tuple[str, str, int], Histogram] = {}

    def add(self, door: str, route: str, status: int, seconds: float) -> None:
        """`status` 0: nothing was answered."""
        kind = (door, route, status // 100)
        found = self._by_kind.get(kind)
        if found is None:
            found = self._by_kind[kind] = Histogram()
        found.add(seconds)

    def counted(self) -> dict[Answered, Histogram]:
        return {
            Answered(door, route or "other", f"{hundreds}xx" if hundreds else "none"): durations
            for (door, route, hundreds), durations in sorted(self._by_kind.items())
        }
