"""The segments in force, one by one and page by page: their rules, and who takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from arke.domain.rules.segment import compile_segment_rule
from arke.errors import NotFound
from arke.operations.paging import PAGE, Page, has_text, number_in, page_size

if TYPE_CHECKING:
    from arke.clock import Clock
    from arke.domain.catalog import Catalog, Destination, Mapping, Segment
    from arke.engine.live_catalog import LiveCatalog
    from arke.storage.committer import Committer


class SegmentEntry(msgspec.Struct, frozen=True):
    """One segment: `rule` None where its memberships are declared (`external`). `destinations`: how many take it,
    by mappings of today, of the past or to come.
    """

    id: int
    name: str
    rule: str | None
    external: bool
    paused: bool
    ttl_days: int
    integration_code: str | None
    destinations: int


class TraitName(msgspec.Struct, frozen=True):
    """A trait that a rule names; `known` False: the catalog does not have it."""

    id: int
    name: str
    known: bool


class SegmentMapping(msgspec.Struct, frozen=True):
    """That a destination takes a segment, under which alias, and in which days (the end exclusive); `active`: today
    is one of them.
    """

    destination: int
    destination_name: str
    segment: int
    segment_name: str
    alias: str
    start: str | None
    end: str | None
    active: bool


class SegmentDetail(msgspec.Struct, frozen=True):
    """A segment with the names of the traits in its rule, and the destinations that take it."""

    segment: SegmentEntry
    traits: list[TraitName]
    mappings: list[SegmentMapping]


class CatalogIndex:
    """A catalog looked up by id. Made once a version: with many mappings that takes a moment."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.segments = {segment.id: segment for segment in catalog.segments}
        self.destinations = {destination.id: destination for destination in catalog.destinations}
        self.traits = {trait.id: trait.name for trait in catalog.traits}
        self.taken: dict[int, list[tuple[Destination, Mapping]]] = {}
        for destination in catalog.destinations:
            for mapping in destination.segments:
                self.taken.setdefault(mapping.segment, []).append((destination, mapping))

    def mapping(self, destination: Destination, mapping: Mapping, now: float) -> SegmentMapping:
        segment = self.segments[mapping.segment]
        return SegmentMapping(
            destination=destination.id,
            destination_name=destination.name,
            segment=segment.id,
            segment_name=segment.name,
            alias=destination.alias(mapping, segment),
            start=mapping.start,
            end=mapping.end,
            active=mapping.active(now),
        )


class Indexes:
    """The index of the catalog in force."""

    def __init__(self, live: LiveCatalog, compiler: Committer) -> None:
        self._live = live
        self._compiler = compiler
        self._made = CatalogIndex(live.catalog)

    async def current(self) -> CatalogIndex:
        catalog = self._live.catalog
        if self._made.catalog is not catalog:
            self._made = await self._compiler.run(CatalogIndex, catalog)
        return self._made


class SegmentOperations:
    """Reads segments of the catalog in force."""

    def __init__(self, indexes: Indexes, clock: Clock) -> None:
        self._indexes = indexes
        self._clock = clock

    async def page(
        self, search: str | None = None, cursor: str | None = None, limit: int = PAGE
    ) -> Page[SegmentEntry]:
        """Segments by id, ascending; `search`: those whose name, id or code has this text, in any letter case.
        Raises InvalidInput.
        """
        after, size = number_in(cursor), page_size(limit)
        index = await self._indexes.current()
        found: list[SegmentEntry] = []
        for segment in index.catalog.segments:
            if (after is not None and segment.id <= after) or not _named(segment, search):
                continue
            if len(found) == size:
                return Page(found, str(found[-1].id))
            found.append(_entry(segment, index))
        return Page(found)

    async def show(self, number: int) -> SegmentDetail:
        """One segment. Raises NotFound."""
        index = await self._indexes.current()
        segment = index.segments.get(number)
        if segment is None:
            raise NotFound(f"there is no segment {number} in the catalog")
        rule = compile_segment_rule(segment.rule) if segment.rule is not None else None
        traits = sorted(rule.traits) if rule is not None else []
        now = self._clock.now()
        return SegmentDetail(
            _entry(segment, index),
            [TraitName(trait, index.traits.get(trait, ""), trait in index.traits) for trait in traits],
            [index.mapping(*taken, now) for taken in index.taken.get(number, ())],
        )


def _named(segment: Segment, search: str | None) -> bool:
    return has_text(search, segment.name, str(segment.id), segment.integration_code or "")


def _entry(segment: Segment, index: CatalogIndex) -> SegmentEntry:
    return SegmentEntry(
        id=segment.id,
        name=segment.name,
        rule=segment.rule,
        external=segment.external,
        paused=segment.paused,
        ttl_days=segment.ttl_days,
        integration_code=segment.integration_code,
        destinations=len({destination.id for destination, _ in index.taken.get(segment.id, ())}),
    )
