"""The directory: what belongs to no shard, in facets. Whoever uses it takes the facets it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from arke.storage.ports.audit import Audit
    from arke.storage.ports.catalogs import Catalogs
    from arke.storage.ports.files import FileStore
    from arke.storage.ports.identities import Identities
    from arke.storage.ports.requests import Requests
    from arke.storage.ports.runs import Runs
    from arke.storage.ports.suppression import SuppressionList
    from arke.storage.ports.tokens import Tokens


class Directory(Protocol):
    """One store. Writes are durable on return and done one at a time, in the order in which they were asked for;
    a read sees every write that returned before it. All calls raise StoreUnavailable.

    Any number of coroutines of one event loop may use it. Reads may be done at once, without suspending.
    """

    @property
    def identities(self) -> Identities: ...

    @property
    def suppression(self) -> SuppressionList: ...

    @property
    def catalogs(self) -> Catalogs: ...

    @property
    def runs(self) -> Runs: ...

    @property
    def requests(self) -> Requests: ...

    @property
    def files(self) -> FileStore: ...

    @property
    def tokens(self) -> Tokens: ...

    @property
    def audit(self) -> Audit: ...

    def hash_of(self, text: str) -> bytes:
        """The keyed hash that stands for a UUID or `dpid:id` where neither may be stored. Pure: the key is read
        when the directory is opened, and stays the same for the life of the store.
        """
        ...

    async def shards(self, wanted: int | None) -> int:
        """The number of shards, fixed when the directory is first used. Raises InvalidInput on another."""
        ...

    async def remains(self) -> bool:
        """Whether something was forgotten that the store's files may still hold in parts they do not use."""
        ...

    async def erase_remains(self) -> bool:
        """Leave nothing in the store's files of what was forgotten; other writes wait meanwhile, which may take
        minutes. False: a reader was in the way, try again in a moment.
        """
        ...

    async def try_writing(self) -> None:
        """Write something and take it away again, after a failure. Raises StoreUnavailable while that fails."""
        ...

    async def close(self) -> None:
        """Finish the writes under way and let go of the store. Nothing else may be called afterwards."""
        ...
