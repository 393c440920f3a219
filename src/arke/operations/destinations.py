"""The destinations in force: how each is reached, which segments it takes, and how it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from arke.catalog.plan import field_text
from arke.errors import NotFound
from arke.operations.paging import PAGE, Page, has_text, number_in, page_size
from arke.operations.segments import SegmentMapping
from arke.operations.status import DestinationStatus

if TYPE_CHECKING:
    from arke.clock import Clock
    from arke.domain.catalog import Destination
    from arke.operations.segments import CatalogIndex, Indexes
    from arke.operations.status import StatusOperations


class DestinationEntry(msgspec.Struct, frozen=True):
    """One destination: its `url` without a query, whether it is on and told in real time, when its `batch` runs
    (None: never), how many mappings it has, and its figures since the engine started.
    """

    id: int
    name: str
    url: str
    enabled: bool
    realtime: bool
    batch: str | None
    mappings: int
    figures: DestinationStatus


class DestinationDetail(msgspec.Struct, frozen=True):
    """A destination with its configuration under the names of the catalog, but for its mappings. Secrets are
    references in it, and queries of addresses are left out, since they may hold one.
    """

    destination: DestinationEntry
    configuration: dict[str, Any]


class DestinationOperations:
    """Reads destinations of the catalog in force, and what they were told."""

    def __init__(self, indexes: Indexes, status: StatusOperations, clock: Clock) -> None:
        self._indexes = indexes
        self._status = status
        self._clock = clock

    async def page(
        self, search: str | None = None, cursor: str | None = None, limit: int = PAGE
    ) -> Page[DestinationEntry]:
        """Destinations by id, ascending; `search`: those whose name or id has this text, in any letter case. Raises
        InvalidInput, Unavailable.
        """
        after, size = number_in(cursor), page_size(limit)
        index = await self._indexes.current()
        wanted = [
            one
            for one in index.catalog.destinations
            if (after is None or one.id > after) and has_text(search, one.name, str(one.id))
        ]
        figures = await self._figures() if wanted else {}
        items = [_entry(one, figures) for one in wanted[:size]]
        return Page(items, str(items[-1].id) if len(wanted) > size else None)

    async def show(self, number: int) -> DestinationDetail:
        """One destination. Raises NotFound, Unavailable."""
        destination = _found(await self._indexes.current(), number)
        return DestinationDetail(_entry(destination, await self._figures()), _configuration(destination))

    async def mappings(
        self, number: int, cursor: str | None = None, limit: int = PAGE
    ) -> Page[SegmentMapping]:
        """The segments that it takes, in the order of the catalog. Raises NotFound, InvalidInput."""
        begin, size = number_in(cursor) or 0, page_size(limit)
        index = await self._indexes.current()
        destination = _found(index, number)
        now, end = self._clock.now(), begin + size
        items = [index.mapping(destination, one, now) for one in destination.segments[begin:end]]
        return Page(items, str(end) if end < len(destination.segments) else None)

    async def _figures(self) -> dict[int, DestinationStatus]:
        return {one.id: one for one in (await self._status.read()).destinations}


def _found(index: CatalogIndex, number: int) -> Destination:
    """Raises NotFound."""
    found = index.destinations.get(number)
    if found is None:
        raise no_destination(number)
    return found


def no_destination(number: int) -> NotFound:
    """What is said of a number that no destination has."""
    return NotFound(f"there is no destination {number} in the catalog")


def _entry(destination: Destination, figures: dict[int, DestinationStatus]) -> DestinationEntry:
    return DestinationEntry(
        id=destination.id,
        name=destination.name,
        url=field_text("url", destination.url) or "",
        enabled=destination.enabled,
        realtime=destination.realtime,
        batch=None if destination.batch is None else field_text("batch", destination.batch),
        mappings=len(destination.segments),
        figures=figures.get(destination.id) or DestinationStatus(destination.id, destination.name),
    )


def _configuration(destination: Destination) -> dict[str, Any]:
    from arke.catalog.written import destination_document

    written = destination_document(destination)
    written.pop("segments", None)
    written["url"] = field_text("url", destination.url)
    if destination.oauth2 is not None:
        written["oauth2"]["token_url"] = field_text("url", destination.oauth2.token_url)
    return written
