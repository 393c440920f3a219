"""PostgreSQL for tests: Debian's 15 with TLS and the wheel's 18, or the one that ARKE_TEST_POSTGRES names by a DSN.

One server of a kind for all processes of the tests, a schema of its own for each test.
"""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import signal
import tempfile
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psycopg
import pytest
import trustme
from psycopg import sql

from arke.demo.postgres import PostgresServer as LocalServer
from arke.demo.postgres import Programs, debian_programs, reachable, wheel_programs
from servers.keeper import address
from servers.process import children, install, missing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

GIVEN: Final = os.environ.get("ARKE_TEST_POSTGRES", "")
"""A DSN; its role must be allowed to make schemas."""
KINDS: Final = ("given",) if GIVEN else ("15", "18")
VERSIONS: Final = {"15": 15}
"""Of kinds that are Debian's."""


@cache
def installed(kind: str) -> Programs:
    """Where a kind is, installed where it can be. Where not: a failure in CI, elsewhere a skip."""
    found = _debian(VERSIONS[kind]) if kind in VERSIONS else wheel_programs()
    if found is None:
        missing(f"PostgreSQL {kind}")
    return found


def _debian(version: int) -> Programs | None:
    if debian_programs(version) is None:
        install(f"postgresql-{version}")
    return debian_programs(version)


@cache
def installation(kind: str) -> Programs:
    """The programs of a kind, as who runs the tests can start them."""
    copies = Path(tempfile.mkdtemp(prefix="arke-postgres-"))
    atexit.register(shutil.rmtree, copies, ignore_errors=True)
    copies.chmod(0o755)
    return reachable(installed(kind), copies)


class PostgresServer(LocalServer):
    """A server with data of its own. `start`, `kill`, `start` again; `close` ends it and its data."""

    def __init__(self, kind: str, **settings: str) -> None:
        super().__init__(installation(kind), {"fsync": "off", **settings})
        self.certificate = self.folder / "ca.pem"
        self.make()
        if self.programs.tls:
            self._make_certificate()

    def _make_certificate(self) -> None:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.certificate)
        issued = authority.issue_cert("localhost", "127.0.0.1")
        issued.private_key_pem.write_to_path(self.data / "server.key")
        issued.cert_chain_pems[0].write_to_path(self.data / "server.crt")
        for name in ("server.key", "server.crt"):
            (self.data / name).chmod(0o600)
            self.own(self.data / name)
        self.settings["ssl"] = "on"

    def clone(self, port: int | None = None, **settings: str) -> PostgresServer:
        """A server that begins with a copy of this one's data, which must not run; at the port given, once that is
        free.
        """
        other = self._other(port, **settings)
        shutil.copytree(self.data, other.data)
        for path in (other.data, *other.data.rglob("*")):
            other.own(path)
        return other

    def standby(self) -> PostgresServer:
        """A server that follows this one, which runs, and has started; see `promote`."""
        other = self._other()
        other.run("pg_basebackup", "-D", other.data, "-R", "-X", "stream", "-d", self.dsn())
        other.start()
        return other

    def _other(self, port: int | None = None, **settings: str) -> PostgresServer:
        """A server like this one, without data."""
        other = PostgresServer.__new__(PostgresServer)
        LocalServer.__init__(other, self.programs, {**self.settings, **settings}, port)
        other.certificate = self.certificate
        return other

    def promote(self) -> None:
        """From now on this one takes writes."""
        self.run("pg_ctl", "promote", "-w", "-D", self.data)

    def kill(self) -> None:
        """As a machine that loses its power, but for what the kernel has: who serves a connection goes too."""
        if self.process is not None:
            self.freeze()  # makes no more of them
            for child in children(self.process.pid):
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
        self.signal(signal.SIGKILL)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def freeze(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def execute(self, sql: str) -> list[tuple[object, ...]]:
        """One statement as the superuser."""
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []


@contextmanager
def server_of_its_own(kind: str, **settings: str) -> Iterator[PostgresServer]:
    """A server that a test may kill."""
    if kind == "given":
        pytest.skip("the server that was given is not to be killed")
    server = PostgresServer(kind, **settings)
    try:
        server.start()
        yield server
    finally:
        server.close()


@contextmanager
def running(kind: str, _: Path) -> Iterator[str]:
    """The DSN of a server that its keeper runs."""
    server = PostgresServer(kind, max_connections="400")
    try:
        server.start()
        yield server.dsn()
    finally:
        server.close()


def shared(kind: str) -> str:
    """The DSN of the server of this kind that all tests share."""
    if kind == "given":
        return GIVEN
    installed(kind)
    return address("postgres", kind)


def fresh_schema(kind: str) -> Iterator[str]:
    """The DSN of a schema with nothing in it, which goes afterwards: `yield from` it in a fixture."""
    dsn = _make_schema(kind)
    yield dsn
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(b"SET client_min_messages = warning")
        name = connection.execute("SELECT current_schema()").fetchone()
        assert name is not None
        connection.execute(f"DROP SCHEMA {name[0]} CASCADE".encode())


@cache
def schema_for(kind: str, folder: Path) -> str:
    """The DSN of a schema that belongs to a test's folder, and stays as long as the server."""
    return _make_schema(kind)


def _make_schema(kind: str) -> str:
    dsn = shared(kind)
    schema = f"arke_{secrets.token_hex(6)}"
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}".encode())
    return psycopg.conninfo.make_conninfo(dsn, options=f"-c search_path={schema}")


def tables_with(connection: psycopg.Connection[tuple[Any, ...]], needles: Sequence[str]) -> set[str]:
    """The tables of a schema that hold one of these texts, in whatever column."""
    found = set()
    tables = connection.execute(
        "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
    ).fetchall()
    for (table,) in tables:
        query = sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(table))
        for (row,) in connection.execute(query).fetchall():
            if any(needle in row or needle.encode().hex() in row for needle in needles):
                found.add(table)
    return found
