"""A catalog version in force on a shard, compiled, with the routes that follow from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.evaluation.compiled import CompiledCatalog
from arke.telling.routing import Routing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from arke.domain.catalog import Catalog


class Ruling:
    """A catalog version in force. `mapping_versions`: per destination, when its mappings last changed; `retired`:
    per destination, the aliases that only earlier catalogs mapped, with their segments.
    """

    def __init__(
        self,
        catalog: Catalog,
        version: int,
        mapping_versions: Mapping[int, int],
        retired: Mapping[int, Mapping[str, int]] | None = None,
    ) -> None:
        self.catalog = catalog
        self.version = version
        self.compiled = CompiledCatalog(catalog)
        self._mapping_versions = mapping_versions
        self._retired = retired or {}
        self._cross_device = frozenset(
            source.id for source in catalog.data_sources if source.kind == "cross_device"
        )
        self._routing: Routing | None = None
        self.restored = 0
        """When the shard that it is in force on came out of a backup; 0: never."""

    def routing(self, now: int) -> Routing:
        """The routes as they stand at `now`. The same object until a mapping's date passes."""
        if self._routing is None or now >= self._routing.until:
            self._routing = Routing(
                self.catalog, self._mapping_versions, self.version, now, self._retired, self.restored
            )
        return self._routing

    def is_cross_device(self, dpid: int) -> bool:
        """Whether ids of this data source are people's rather than devices'."""
        return dpid in self._cross_device
