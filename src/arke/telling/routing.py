"""Routing: which destinations a segment, an id or a device concerns, at a moment in time.

Compiled from the catalog; valid until the next mapping date begins or ends. A destination's `mark` names the
state of its mappings: it moves when the catalog changes them and when one of their dates passes, and that is
how a device's next sighting knows that there is something new to tell (SPEC section 3, trigger 3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.domain.memberships import PAGE, PAGE_BITS
from arke.domain.profile import NEVER
from arke.domain.time import DAY_S, day_start_ts
from arke.telling.records import Route

if TYPE_CHECKING:
    from collections.abc import Mapping as MappingOf

    from arke.domain.catalog import Catalog, Destination, Mapping, Segment
    from arke.domain.change import Turned

_BOUNDARIES_PER_VERSION = 1 << 20
DOUBT_S = 120 * DAY_S
"""How long after a restore an id that is new may have been told something before it: whatever an id that nobody
names was told is taken back after as long.
"""


class Routing:
    """All routes at one moment. `until` is when the first mapping date passes."""

    def __init__(
        self,
        catalog: Catalog,
        mapping_versions: MappingOf[int, int],
        version: int,
        now: int,
        retired: MappingOf[int, MappingOf[str, int]] | None = None,
        restored: int = 0,
    ) -> None:
        """`restored`: when the store came out of a backup, 0: never."""
        segments = {segment.id: segment for segment in catalog.segments}
        self.until = NEVER
        doubt = restored if now < restored + DOUBT_S else 0
        if doubt:
            self.until = restored + DOUBT_S
        self.doubted = doubt > 0
        self.routes: dict[int, Route] = {}
        boundaries = 0
        for destination in catalog.destinations:
            passed = self._boundaries_passed(destination, now)
            boundaries += passed
            version_of = mapping_versions.get(destination.id, version)
            mark = version_of * _BOUNDARIES_PER_VERSION + passed
            gone = (retired or {}).get(destination.id, {})
            self.routes[destination.id] = route_of(destination, segments, gone, mark, now, doubt)
        self.mark = version * _BOUNDARIES_PER_VERSION + boundaries
        by_segment: dict[int, list[int]] = {}
        by_dpid: dict[int, list[int]] = {}
        for destination_id, route in self.routes.items():
            if not (route.destination.realtime and route.destination.enabled):
                continue
            for segment_id in route.aliases_of:
                by_segment.setdefault(segment_id, []).append(destination_id)
            for dpid in route.destination.user_dpids:
                by_dpid.setdefault(dpid, []).append(destination_id)
        self.by_segment = {segment_id: tuple(ids) for segment_id, ids in by_segment.items()}
        self.by_dpid = {dpid: tuple(ids) for dpid, ids in by_dpid.items()}
        self._by_page: dict[int, list[tuple[int, int]]] = {}

    def _boundaries_passed(self, destination: Destination, now: int) -> int:
        passed = 0
        for mapping in destination.segments:
            for day in (mapping.start, mapping.end):
                if day is None:
                    continue
                moment = day_start_ts(day)
                if moment <= now:
                    passed += 1
                else:
                    self.until = min(self.until, moment)
        return passed

    def mapped_to_any(self, turned: Turned) -> list[int]:
        """The destinations that are told in real time of any of these segments."""
        mapped = self._by_page.get(turned.page)
        if mapped is None:
            mapped = self._by_page[turned.page] = self._mapped_on(turned.page)
        if not mapped:
            return []
        changed = int.from_bytes(turned.entered, "little") | int.from_bytes(turned.left, "little")
        return [destination_id for destination_id, segments in mapped if segments & changed]

    def _mapped_on(self, page: int) -> list[tuple[int, int]]:
        """Destinations with their segments of a page, a bit for each."""
        found: dict[int, int] = {}
        for place in range(PAGE):
            for destination_id in self.by_segment.get((page << PAGE_BITS) + place, ()):
                found[destination_id] = found.get(destination_id, 0) | 1 << place
        return list(found.items())

    def tells(self, destination_id: int) -> bool:
        """Whether the destination takes real-time messages now."""
        route = self.routes.get(destination_id)
        return route is not None and route.destination.realtime and route.destination.enabled

    def delivers(self, destination_id: int) -> bool:
        """Whether the destination takes messages at all now."""
        route = self.routes.get(destination_id)
        return route is not None and route.destination.enabled


def route_of(
    destination: Destination,
    segments: MappingOf[int, Segment],
    gone: MappingOf[str, int],
    mark: int,
    now: int,
    doubt: int = 0,
) -> Route:
    """One destination at a moment. `segments` are the catalog's by id; `gone` has the aliases that only earlier
    catalogs mapped; `doubt` as in `Route`.
    """
    retired = dict(gone)
    aliases_of: dict[int, tuple[tuple[int, str], ...]] = {}
    frozen: dict[str, int] = {}
    unsaid = dict.fromkeys(gone.values(), "the segment is not mapped to it any more")
    for rank, mapping in enumerate(destination.segments):
        segment = segments[mapping.segment]
        alias = destination.alias(mapping, segment)
        if segment.paused:
            frozen[alias] = segment.id
            unsaid[segment.id] = "the segment is paused: nothing is said about it"
        elif mapping.active(now):
            aliases_of[segment.id] = (*aliases_of.get(segment.id, ()), (rank, alias))
        else:
            retired[alias] = segment.id
            unsaid[segment.id] = _why_not(mapping, now)
    segment_of = {alias: number for number, aliases in aliases_of.items() for _, alias in aliases}
    retired = {alias: number for alias, number in retired.items() if alias not in segment_of}
    unsaid = {number: why for number, why in unsaid.items() if number not in aliases_of}
    return Route(destination, aliases_of, segment_of, frozen, retired, mark, doubt, unsaid)


def _why_not(mapping: Mapping, now: int) -> str:
    """Why a mapping is not in force."""
    if mapping.start is not None and now < day_start_ts(mapping.start):
        return f"its mapping begins on {mapping.start}"
    return f"its mapping ended on {mapping.end}"
