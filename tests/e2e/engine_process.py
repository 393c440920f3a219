"""`arke up` as a process of its own: started on free ports, asked over its doors, stopped or killed."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec

from arke.api.client import Client
from arke.api.reach import engine_socket, over_socket
from patience import PATIENCE_S
from servers.process import children

if TYPE_CHECKING:
    from collections.abc import Mapping

ARKE = str(Path(sys.executable).with_name("arke"))
LOOPBACK = '[egress]\nallow_cidrs = ["127.0.0.0/8"]\n'
OPEN = f'[auth]\nintake = "open"\n{LOOPBACK}'


def called(pid: int) -> str:
    """The name of a process; empty once it is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def alive(pid: int) -> bool:
    """Whether it runs: whoever has ended may wait for somebody to ask."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Reply(msgspec.Struct, frozen=True):
    """What a door of the engine answered."""

    status: int
    body: bytes
    headers: dict[str, str]

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


def request(
    address: str,
    method: str,
    target: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """One HTTP request to `host:port`."""
    connection = http.client.HTTPConnection(address, timeout=PATIENCE_S)
    try:
        connection.request(method, target, body, dict(headers or {}))
        response = connection.getresponse()
        named = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, response.read(), named)
    finally:
        connection.close()


class EngineProcess:
    """One engine on one data directory. May be started again after it was stopped or killed."""

    def __init__(
        self,
        folder: Path,
        *,
        settings: str = OPEN,
        environ: Mapping[str, str] | None = None,
        shards: int | None = None,
    ) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.config = folder / "arke.toml"
        self.config.write_text(settings)
        self.log_file = folder / "engine.log"
        self.environ = {
            name: value for name, value in os.environ.items() if not name.startswith("ARKE_")
        } | dict(environ or {})
        self._shards = shards
        self._process: subprocess.Popen[str] | None = None
        self._doors: dict[str, str] = {}

    # -- life

    def start(self) -> Self:
        """Start and wait until it says that it is ready."""
        command = [ARKE, "up", "--config", str(self.config), "--data", str(self.data)]
        command += ["--intake-port", "0", "--admin-port", "0"]
        if self._shards is not None:
            command += ["--shards", str(self._shards)]
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=self.folder,
                env=self.environ,
                start_new_session=True,
            )
        self._doors = self._read_doors(self._process)
        return self

    def _read_doors(self, process: subprocess.Popen[str]) -> dict[str, str]:
        assert process.stdout is not None
        doors: dict[str, str] = {}
        watchdog = threading.Timer(PATIENCE_S, process.kill)
        watchdog.start()
        try:
            for line in process.stdout:
                if line == "ready\n":
                    return doors
                name, _, url = line.strip().partition(" ")
                doors[name] = url.strip().removeprefix("http://")
        finally:
            watchdog.cancel()
        process.stdout.close()
        raise AssertionError(f"the engine did not start:\n{self.log()}")

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def workers(self) -> list[int]:
        """The process ids of the shards, which are forked from a process of the engine's."""
        return sorted(worker for starter in children(self.pid) for worker in children(starter))

    def starters(self) -> list[int]:
        """The process id of the starter, where there is one."""
        return [child for child in children(self.pid) if called(child) == "arke-starter"]

    def stop(self) -> int:
        """Stop gracefully, if it runs; returns the exit code. Safe twice."""
        if self._process is None:
            return 0
        if self.running:
            self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(PATIENCE_S)
        self._close()
        return code

    def kill(self) -> None:
        """kill -9: the engine and its shards, all at once."""
        assert self._process is not None
        os.killpg(self.pid, signal.SIGKILL)
        self._process.wait(PATIENCE_S)
        self._close()

    def kill_engine_only(self) -> None:
        """kill -9 to the engine's own process; its shards notice and end by themselves."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(PATIENCE_S)
        self._close()

    def _close(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self.running:
            self.stop()

    # -- doors

    @property
    def intake(self) -> str:
        return self._doors["intake"]

    @property
    def admin(self) -> str:
        return self._doors["admin"]

    def client(self) -> Client:
        """Operations over the Unix socket, as the commands use them."""
        return Client(over_socket(engine_socket(self.data)))

    def send(self, *events: Mapping[str, Any], token: str | None = None) -> Reply:
        """POST events to /v1/events."""
        lines = b"".join(msgspec.json.encode(event) + b"\n" for event in events)
        return self.send_lines(lines, token=token)

    def send_lines(self, lines: bytes, *, token: str | None = None) -> Reply:
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        return request(self.intake, "POST", "/v1/events", lines, headers)

    def accept(self, *events: Mapping[str, Any]) -> None:
        """Send events, all of which must be taken."""
        reply = self.send(*events)
        said = (reply.status, reply.json())
        assert said == (200, {"accepted": len(events), "rejected": []}), said

    def apply(self, catalog: str) -> None:
        """Put a catalog in force, where it runs over the socket as the command does: to start one takes longer than
        all else.
        """
        file = self.folder / "catalog.yaml"
        file.write_text(catalog)
        if self.running:
            self.client().apply(file, catalog, dry_run=False)
        else:
            done = self.arke("apply", str(file))
            assert done.returncode == 0, done.stderr

    def arke(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run a command on this engine's data directory."""
        return subprocess.run(
            [ARKE, *arguments],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            cwd=self.folder,
            env={**self.environ, "ARKE_DATA": str(self.data), **environ},
        )

    def log(self) -> str:
        return self.log_file.read_text()

    def ready(self) -> bool:
        """Whether events can be stored right now, by its own account."""
        return request(self.admin, "GET", "/readyz").status == 200

    def settled(self) -> bool:
        """Whether no lane has anything before it that it could send now."""
        return all(row.backlog == 0 for row in self.client().status().destinations)

    def delivered(self) -> bool:
        """Whether nothing waits and nothing is owed. What is owed is replayed: a machine that has other work may
        be too slow for an attempt's deadline.
        """
        if not self.settled():
            return False
        client = self.client()
        if not any(row.owed for row in client.status().destinations):
            return next(client.undelivered(None), None) is None
        client.replay(None)
        return False
