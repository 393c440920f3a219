"""The catalog in force, as the engine's process goes by it, and how a shard that has just started comes to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from arke.domain.catalog import Catalog
from arke.domain.ids import IdRules
from arke.shard.protocol import AskStatus, Prepare, Switch

if TYPE_CHECKING:
    from arke.shard.protocol import Question
    from arke.storage.ports.directory import Catalogs

A = TypeVar("A")


class LiveCatalog:
    """Version and content, and what is looked up in it for every event. Whoever needs it reads it anew each time;
    version 0 is the empty catalog before the first. Implements the intake's NameSpaces.
    """

    def __init__(self) -> None:
        self.use(0, Catalog())

    def use(self, version: int, catalog: Catalog) -> None:
        """Go by this one from now on."""
        self.version = version
        self.catalog = catalog
        self.ids = IdRules(catalog)
        self.external = {segment.id: segment.external for segment in catalog.segments}
        """Whether senders declare a segment's memberships, by its id."""
        self.destinations = frozenset(destination.id for destination in catalog.destinations)
        self.traits = frozenset(trait.id for trait in catalog.traits)
        self.declarable = frozenset(trait.id for trait in catalog.traits if trait.d_sid)
        """The traits that anybody may declare (`d_sid`)."""
        self.cross_device = frozenset(
            source.id for source in catalog.data_sources if source.kind == "cross_device"
        )
        self.by_token = frozenset(
            source.id for source in catalog.data_sources if source.declared_by == "token"
        )

    def only_by_token(self, dpid: int) -> bool:
        return dpid in self.by_token

    def has_destination(self, destination: int) -> bool:
        return destination in self.destinations


class Asked(Protocol):
    """A shard, as it is asked: see `ShardPort`."""

    async def call(self, question: Question[A]) -> A: ...


class CatchUp:
    """Brings shards to the newest stored catalog."""

    def __init__(self, catalogs: Catalogs) -> None:
        self._catalogs = catalogs

    async def bring(self, shard: Asked) -> None:
        """Returns once the shard goes by it. Raises what `ShardPort.call` raises."""
        await shard.call(AskStatus())
        version = 0
        # Looked up again afterwards: a catalog may be applied while the shard takes the one before.
        while (stored := await self._catalogs.get()) is not None and stored.version != version:
            await shard.call(Prepare(stored.version, stored.body, stored.mapping_versions, stored.retired))
            await shard.call(Switch(stored.version))
            version = stored.version
