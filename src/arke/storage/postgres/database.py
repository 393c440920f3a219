"""A few connections to PostgreSQL, each used by one thread at a time, so that several calls run at once."""

from __future__ import annotations

import asyncio
import select
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar

from psycopg import errors
from psycopg.pq import TransactionStatus

from arke.errors import StoreUnavailable
from arke.log import get_logger
from arke.storage.postgres.connection import NOT_REPLICATED, GivenUp, database_errors
from arke.storage.sql_files import statements

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from psycopg.errors import Diagnostic

    from arke.storage.postgres.connection import Connection, Server

P = ParamSpec("P")
T = TypeVar("T")
Row = tuple[Any, ...]
Bindings = Any
"""What psycopg takes: a sequence, or a mapping by name."""

CONNECTIONS: Final = 4
"""At the most, unless the settings say so."""

log = get_logger("postgres")


def queries(subject: str) -> Mapping[str, str]:
    """The statements of `queries/SUBJECT.sql` by name."""
    return statements(Path(__file__).with_name("queries") / f"{subject}.sql")


def columns(rows: Iterable[Sequence[Any]], count: int) -> list[list[Any]]:
    """Rows of `count` values turned into columns, of which `unnest` makes rows again."""
    turned = [list(column) for column in zip(*rows, strict=True)]
    return turned or [[] for _ in range(count)]


class Database:
    """Runs work in threads, each with a connection for as long as the work takes. They are opened when they are
    needed first, and again when one was lost: so a server that is back, or another one that has taken over, is
    found by the next call.

    Raises StoreUnavailable where a connection is lost; whether what was being done was done, nobody knows then.
    """

    def __init__(self, server: Server, connections: int = CONNECTIONS) -> None:
        self._server = server
        self._threads = ThreadPoolExecutor(connections, "directory")
        self._idle: list[_Line] = []
        self._given_up = GivenUp()

    @property
    def name(self) -> str:
        """The server for logs and errors."""
        return self._server.name

    async def run(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call `work` with a connection in autocommit. Raises StoreUnavailable."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: self.run_now(work, *args, **kwargs))

    def run_now(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same in the caller's thread."""
        line = self._taken()
        try:
            with database_errors(self._server.name):
                self._given_up.end(line.connection)
                done = work(line.connection, *args, **kwargs)
        except StoreUnavailable as error:
            if isinstance(error.__cause__, errors.ReadOnlySqlTransaction):
                line.connection.close()  # it was the primary once: another one is by now
            raise
        finally:
            self._give_back(line)
        if line.unreplicated:
            line.unreplicated = False
            raise StoreUnavailable(
                f"{self._server.name}: its standby does not answer: nobody knows what will stay"
            )
        return done

    async def rows(self, sql: str, bindings: Bindings = ()) -> list[Row]:
        """What one statement answers, by itself. Raises StoreUnavailable."""
        return await self.run(fetched, sql, bindings)

    def _taken(self) -> _Line:
        while self._idle:
            line = self._idle.pop()
            if not line.was_lost():
                return line
            line.connection.close()
        return _Line(self._server.connect())

    def _give_back(self, line: _Line) -> None:
        connection = line.connection
        self._given_up.note(connection)
        if connection.closed or connection.info.transaction_status != TransactionStatus.IDLE:
            connection.close()
        else:
            self._idle.append(line)

    def close(self) -> None:
        """Wait for what is running, then let go of the connections."""
        self._threads.shutdown()
        while self._idle:
            self._idle.pop().connection.close()


class _Line:
    """A connection. `unreplicated`: a commit on it has given up waiting for the standby."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.unreplicated = False
        connection.add_notice_handler(self._notice)
        # A plan that was kept from when a table was empty reads all of it once it has grown.
        connection.prepare_threshold = None

    def _notice(self, notice: Diagnostic) -> None:
        self.unreplicated |= notice.sqlstate == NOT_REPLICATED
        log.warning("postgres_notice", message=notice.message_primary, sqlstate=notice.sqlstate)

    def was_lost(self) -> bool:
        """Whether the server has said something, or gone, while nobody used the connection."""
        if self.connection.closed:
            return True
        poll = select.poll()
        poll.register(self.connection.fileno(), select.POLLIN)
        return bool(poll.poll(0))


class InOrder:
    """Calls of one facet are done one at a time, in the order in which they were made: the last one counts."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._turn = asyncio.Lock()

    async def run(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Raises StoreUnavailable."""
        await self._turn.acquire()
        running = asyncio.ensure_future(self._database.run(work, *args, **kwargs))
        running.add_done_callback(lambda _: self._turn.release())
        # Whoever is cancelled waits no more; the thread cannot be stopped, and the next call waits for it.
        return await asyncio.shield(running)

    async def rows(self, sql: str, bindings: Bindings = ()) -> list[Row]:
        """Raises StoreUnavailable."""
        return await self.run(fetched, sql, bindings)


def fetched(connection: Connection, sql: str, bindings: Bindings = ()) -> list[Row]:
    """Run one statement and take all that it answers."""
    cursor = connection.execute(sql, bindings, binary=True)
    return cursor.fetchall() if cursor.description is not None else []


@contextmanager
def transaction(connection: Connection) -> Iterator[None]:
    """Statements that are committed together and sent without waiting for each other's answers: in one round trip,
    if no answer is looked at before the end.
    """
    with connection.pipeline(), connection.transaction():
        yield
