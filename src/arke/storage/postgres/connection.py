"""Connections to PostgreSQL: how they are made, where they wait, and what their errors become.

Nothing here leaves a mark on the session (no SET, no LISTEN, no advisory lock), so that a pooler in transaction
mode may stand in between; see `prepared_statements`.
"""

from __future__ import annotations

import asyncio
import re
import select
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import msgspec
import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import class_row
from psycopg.types.numeric import Int8BinaryDumper, Int8Dumper

from arke.errors import StoreUnavailable
from arke.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from psycopg.errors import Diagnostic

T = TypeVar("T")
Connection = psycopg.Connection[tuple[Any, ...]]

PASSWORD_TIMEOUT_S: Final = 10.0
TIMEOUTS: Final = {
    "connect_timeout": "3",
    "tcp_user_timeout": "10000",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "application_name": "arke",
}
"""Of a connection; what the DSN says goes before them."""
SERVER_TIMEOUTS: Final = (
    "-c statement_timeout=30s -c idle_in_transaction_session_timeout=10s"
    " -c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3"
)
"""An owner that stops between two statements of a transaction keeps its rows locked no longer than this; one that
stops within one, until others are held up by it (`PostgresCluster.end_stalled`); one whose machine has gone, 11 s.
A pooler takes no options of a session: behind one they belong to the role (`ALTER ROLE ... SET`).
"""
NO_STATEMENT_TIMEOUT: Final = "-c statement_timeout=0"
OLDEST_SERVER: Final = 15
ANSWERS_WITHIN_S: Final = 40.0
"""A server that has said nothing for so long is given up: what it grants a statement, and 10 s. Of statements that
go out together, which it need not answer one by one, for each. Its machine may still confirm what arrives, as one
whose disk hangs does, or a proxy in between: no limit of the network ends the wait.
"""
_BORN: Final = """
SELECT pid, extract(epoch FROM backend_start)::text AS born FROM pg_stat_activity WHERE pid = pg_backend_pid()
"""
_END: Final = """
SELECT pg_terminate_backend(there.pid)
FROM pg_stat_activity there
JOIN unnest(%s::int[], %s::text[]) AS given_up(pid, born)
  ON there.pid = given_up.pid AND extract(epoch FROM there.backend_start)::text = given_up.born
"""
NOT_REPLICATED: Final = "01000"
"""The warning that comes with a commit that stopped waiting for its standby."""

_FOR_NOW: Final = re.compile(
    r"the database system is|too many (clients|connections)|connection slots are reserved|no more connections"
    r"|server login has been failing|pgbouncer cannot connect|query_wait_timeout|client_login_timeout"
)
"""What it says as long as it starts or ends, or is full, and PgBouncer where its server is away: in English."""
_REFUSED: Final = re.compile(
    r"failed: \w+:  |SSL error|certificate|support SSL|no password supplied|read-only|standby"
)
"""What libpq says where a server says no: the severity of its error and two blanks, in whichever language."""

log = get_logger("postgres")


class Server(msgspec.Struct, frozen=True):
    """Where a database is, and how to log in: any DSN that libpq takes. The password may be in a file, or what a
    command prints, for those that last minutes: both are read at each connect. `prepared_statements` is `off`
    behind a pooler in transaction mode that does not know them (PgBouncer before 1.21). A connection whose server
    says nothing for `answers_within_s` is lost.
    """

    dsn: str
    password_file: str = ""
    password_command: tuple[str, ...] = ()
    prepared_statements: Literal["auto", "off"] = "auto"
    answers_within_s: float = ANSWERS_WITHIN_S

    def __repr__(self) -> str:
        return f"Server({self.name})"

    @property
    def name(self) -> str:
        """The server for logs and errors, without what is secret in a DSN. Raises StoreUnavailable."""
        parts = self._parts()
        host = parts.get("host") or parts.get("hostaddr") or parts.get("service") or "local"
        return f"PostgreSQL {host}/{parts.get('dbname', '')}"

    def _parts(self) -> dict[str, Any]:
        try:
            return conninfo_to_dict(self.dsn)
        except psycopg.Error:  # its text has the DSN in it
            raise to_be_set_right("the DSN of PostgreSQL is none: postgresql://user@host/database") from None

    def unhurried(self) -> Server:
        """For statements that take as long as there are rows. Behind a pooler the role's limit holds."""
        patient = self.patient()
        if self.prepared_statements == "off":
            return patient
        options = f"{self._parts().get('options', '')} {NO_STATEMENT_TIMEOUT}".lstrip()
        return msgspec.structs.replace(patient, dsn=make_conninfo(self.dsn, options=options))

    def patient(self) -> Server:
        """The same, and who waits for an answer waits for as long as there is a connection."""
        return msgspec.structs.replace(self, answers_within_s=inf)

    def connect(self) -> Connection:
        """A connection of the caller's thread. Raises StoreUnavailable."""
        parameters = TIMEOUTS | self._parts()
        pooled = self.prepared_statements == "off"
        if not pooled:
            parameters["options"] = f"{SERVER_TIMEOUTS} {parameters.get('options', '')}".rstrip()
        password = self._password()
        if password is not None:
            parameters["password"] = password
        try:
            connection = _Bounded.connect(
                autocommit=True, prepare_threshold=None if pooled else 1, **parameters
            )
        except psycopg.Error as error:
            raise _not_connected(self.name, error) from error
        major = connection.info.server_version // 10_000
        if major < OLDEST_SERVER:  # before anything is asked
            connection.close()
            raise to_be_set_right(
                f"{self.name}: PostgreSQL {major} is too old: {OLDEST_SERVER} or newer is needed"
            )
        # One type for all numbers: one prepared statement, whatever their size.
        connection.adapters.register_dumper(int, Int8Dumper)
        connection.adapters.register_dumper(int, Int8BinaryDumper)
        if not pooled:
            try:
                with connection.cursor(row_factory=class_row(_Backend)) as cursor:
                    connection.backend = cursor.execute(_BORN).fetchone()
            except psycopg.Error as error:
                connection.close()
                raise _not_connected(self.name, error) from error
        connection.answers_within_s = self.answers_within_s
        return connection

    def _password(self) -> str | None:
        if self.password_file:
            try:
                return Path(self.password_file).read_text("utf-8").rstrip("\r\n")
            except (OSError, UnicodeDecodeError) as error:
                raise StoreUnavailable(
                    f"{self.name}: password file {self.password_file}: {_why(error)}"
                ) from None
        if self.password_command:
            return self._asked_password()
        return None

    def _asked_password(self) -> str:
        command = self.password_command[0]
        try:
            done = subprocess.run(  # noqa: S603 - a setting of whoever runs this
                self.password_command,
                capture_output=True,
                encoding="utf-8",
                timeout=PASSWORD_TIMEOUT_S,
                check=True,
            )
        except (OSError, UnicodeDecodeError, subprocess.SubprocessError) as error:
            raise StoreUnavailable(f"{self.name}: password command {command}: {_why(error)}") from None
        return done.stdout.rstrip("\r\n")


class _Backend(msgspec.Struct, frozen=True):
    """A process of a server. Another one may have its number later, or on the server that takes over."""

    pid: int
    born: str


class _Bounded(psycopg.Connection[tuple[Any, ...]]):
    """A connection that is lost where its server says nothing for a while. Whoever waits for it hears of it, and
    the next one finds another server, if there is one by now.
    """

    answers_within_s = ANSWERS_WITHIN_S
    backend: _Backend | None = None
    """None behind a pooler: whoever is there serves others, too."""
    given_up = False

    def wait(self, gen: Generator[Any, Any, T], *args: Any, **kwargs: Any) -> T:
        return super().wait(self._within(gen), *args, **kwargs)

    def _within(self, gen: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        heard_at = time.monotonic()
        try:
            waits_for = next(gen)
            while True:
                ready = yield waits_for
                if ready:
                    heard_at = time.monotonic()
                else:
                    self._check(time.monotonic() - heard_at)
                waits_for = gen.send(ready)
        except StopIteration as done:
            answer: T = done.value
            return answer

    def _check(self, silent_s: float) -> None:
        """Raises OperationalError where that was too long."""
        asked = 1 if self._pipeline is None else len(self._pipeline.result_queue)
        if silent_s <= self.answers_within_s * max(1, asked):
            return
        self.given_up = True
        self.pgconn.finish()
        each = " a statement" if asked > 1 else ""
        raise psycopg.OperationalError(f"the server has not answered for {self.answers_within_s:g} s{each}")


class GivenUp:
    """Backends that nobody waits for any more. One that goes on after all would do what it was sent, over what came
    after it: so it is ended before anything else is sent to its server.
    """

    def __init__(self) -> None:
        self._backends: frozenset[_Backend] = frozenset()
        self._changing = threading.Lock()

    def note(self, connection: Connection) -> None:
        """A connection that was lost."""
        if isinstance(connection, _Bounded) and connection.given_up and connection.backend is not None:
            with self._changing:
                self._backends |= {connection.backend}

    def end(self, connection: Connection) -> None:
        """By means of another connection: all that are known by now, whoever else does. Raises psycopg.Error."""
        those = self._backends
        if not those:
            return
        try:
            connection.execute(_END, ([one.pid for one in those], [one.born for one in those]), prepare=False)
        except psycopg.errors.InsufficientPrivilege as error:
            log.warning("backends_not_ended", message=described(error))
        with self._changing:
            self._backends -= those


def _why(error: Exception) -> str:
    """In words, without what was read or printed."""
    if isinstance(error, OSError):
        return error.strerror or "it cannot be run"
    if isinstance(error, subprocess.TimeoutExpired):
        return f"no answer within {PASSWORD_TIMEOUT_S:g} s"
    if isinstance(error, subprocess.CalledProcessError):
        return f"it ended with {error.returncode}"
    return "not text in UTF-8"


def to_be_set_right(text: str) -> StoreUnavailable:
    """What stays so until somebody changes a setting, or the server."""
    error = StoreUnavailable(text)
    error.by_settings = True
    return error


def _not_connected(where: str, error: psycopg.Error) -> StoreUnavailable:
    text = f"{where}: {described(error)}"
    answered = any(_REFUSED.search(line) and not _FOR_NOW.search(line) for line in str(error).splitlines())
    return to_be_set_right(text) if answered else StoreUnavailable(text)


class database_errors:  # noqa: N801 - used as a verb: `with database_errors(where):`
    """Turns what psycopg raises into StoreUnavailable, without what a server may quote of rows."""

    __slots__ = ("_where",)

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, psycopg.Error):
            raise StoreUnavailable(f"{self._where}: {described(error)}") from error


@contextmanager
def one_round_trip(connection: Connection) -> Iterator[None]:
    """A transaction whose statements go out together with its end. What raises within leaves it open: the session
    then drops the connection, and with it the transaction.
    """
    with connection.pipeline():
        connection.execute("BEGIN")
        yield
        connection.execute("COMMIT")


def described(error: psycopg.Error) -> str:
    """An error in words that hold no data: a server's detail may quote a row."""
    if error.sqlstate is not None:
        return f"{error.diag.message_primary} ({error.sqlstate})"
    return " ".join(str(error).split()) or type(error).__name__


class Session:
    """One connection and the thread that waits for it. Works run one after the other, from whichever store they
    come; a connection that was lost is opened again for the next one.
    """

    def __init__(self, server: Server, name: str) -> None:
        self.server = server
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._connection: Connection | None = None
        self._closed = False
        self._given_up = GivenUp()
        self._unreachable: StoreUnavailable | None = None
        self._rests_until = 0.0
        self.warned = False
        """Whether a commit of the last work has given up waiting for its standby."""
        self.lost = False
        """Whether the last work ended with its connection: nobody knows what of it was done."""

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Run `work` with the connection, in the session's thread. Raises StoreUnavailable."""
        return await self.call(lambda: self.do(work))

    async def call(self, work: Callable[[], T]) -> T:
        """Run in the session's thread what uses `do`, once or more often."""
        return await self.begin(work)

    def begin(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """The same, for who does not wait for it here. Raises StoreUnavailable once the session is closed."""
        try:
            return asyncio.get_running_loop().run_in_executor(self._pool, work)
        except RuntimeError:
            raise StoreUnavailable(f"{self.server.name}: the session is closed") from None

    def do(self, work: Callable[[Connection], T]) -> T:
        """`run` for who is in the session's thread. Raises StoreUnavailable."""
        self.warned = self.lost = False
        connection = self._opened()
        try:
            with database_errors(self.server.name):
                return work(connection)
        except BaseException:
            self.lost = connection.closed
            self._given_up.note(connection)
            # Of what an error made the server skip, psycopg believes that it was prepared; and a transaction may be
            # open.
            self._disconnect()
            raise

    def _opened(self) -> Connection:
        if self._connection is not None and _has_ended(self._connection):
            self._disconnect()
        if self._connection is None:
            connection = self._connected()
            try:
                with database_errors(self.server.name):
                    self._given_up.end(connection)
            except BaseException:
                self._given_up.note(connection)
                connection.close()
                raise
            connection.add_notice_handler(self._notice)
            self._connection = connection
        return self._connection

    def _connected(self) -> Connection:
        now = time.monotonic()
        if self._unreachable is not None and now < self._rests_until:
            raise StoreUnavailable(str(self._unreachable))
        try:
            return self.server.connect()
        except StoreUnavailable as error:
            # What waits for a server that says nothing does not wait in line: for as long as this took.
            self._unreachable, self._rests_until = error, 2 * time.monotonic() - now
            raise

    def _notice(self, notice: Diagnostic) -> None:
        if notice.sqlstate == NOT_REPLICATED:
            self.warned = True
        log.warning("postgres_notice", message=notice.message_primary, sqlstate=notice.sqlstate)

    async def close(self) -> None:
        """Wait for what is in hand, and disconnect. Safe twice."""
        if self._closed:
            return
        self._closed = True
        await self.call(self._disconnect)
        self._pool.shutdown()

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _has_ended(connection: Connection) -> bool:
    """Whether the server has gone, or said something, while nobody asked it."""
    if connection.closed:
        return True
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
