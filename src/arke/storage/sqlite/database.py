"""One SQLite file as the facets of a directory share it: a connection to read, one to write, and who writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from arke.storage.sqlite.connection import store_errors, transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import apsw

    from arke.storage.committer import Committer

P = ParamSpec("P")
T = TypeVar("T")
Row = tuple[Any, ...]
Bindings = tuple[str | int | bytes | None, ...]


class Database:
    """Reads happen at once, in the caller's thread; writes run one at a time where the committer runs them."""

    def __init__(
        self, connection: apsw.Connection, reads: apsw.Connection, where: str, committer: Committer
    ) -> None:
        self.connection = connection
        self.reads = reads
        self.where = where
        self.committer = committer

    def row(self, sql: str, bindings: Bindings = ()) -> Row | None:
        """The first row, None where there is none. Raises StoreUnavailable."""
        with store_errors(self.where):
            return self.reads.execute(sql, bindings).fetchone()

    def rows(self, sql: str, bindings: Bindings = ()) -> list[Row]:
        """Raises StoreUnavailable."""
        with store_errors(self.where):
            return list(self.reads.execute(sql, bindings))

    def run(self, sql: str, bindings: Bindings = ()) -> None:
        """One statement, within `write`."""
        self.connection.execute(sql, bindings)

    def run_many(self, sql: str, rows: Iterable[Bindings]) -> None:
        """One statement for each of many rows, within `write`."""
        self.connection.executemany(sql, rows)

    async def write(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` in one transaction of `connection`. Durable on return. Raises StoreUnavailable."""

        def transacted() -> T:
            with transaction(self.connection, self.where):
                return work(*args, **kwargs)

        return await self.committer.run(transacted)
