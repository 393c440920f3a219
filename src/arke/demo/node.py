"""A node of the demo's cluster: `arke up --role ROLE`, as a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

from arke.demo.processes import spawn
from arke.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

    from arke.cluster.role import Role

ENDS_WITHIN_S: Final = 30.0


class NodeProcess:
    """`name` is what the demo calls it."""

    def __init__(self, name: str, role: Role, folder: Path, config: Path) -> None:
        self.name = name
        self._role = role
        self._folder = folder / name
        self._config = config
        self._process: subprocess.Popen[Any] | None = None
        self.intake = ""

    @property
    def pid(self) -> int:
        assert self._process is not None  # noqa: S101 - for mypy: it was started
        return self._process.pid

    async def start(self) -> None:
        """Returns when it is ready. Raises InvalidInput with what it said where it does not start."""
        self._folder.mkdir(mode=0o700)
        command = [sys.executable, "-m", "arke", "up", "--config", str(self._config), "--role", self._role]
        with (self._folder / "log").open("ab") as log:
            self._process = spawn(
                [*command, "--data", str(self._folder / "data")],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={name: value for name, value in os.environ.items() if not name.startswith("ARKE_")},
                start_new_session=True,  # Ctrl-C is for the demo: it ends them in its order
            )
        if not await asyncio.to_thread(self._ready, self._process):
            said = (self._folder / "log").read_text()[-2_000:]
            raise InvalidInput(f"{self.name} does not start: {said}")

    def _ready(self, process: subprocess.Popen[Any]) -> bool:
        assert process.stdout is not None  # noqa: S101 - for mypy: it is a pipe
        for line in process.stdout:
            if line == "ready\n":
                return True
            door, _, url = line.strip().partition(" ")
            if door == "intake":
                self.intake = url.strip().removeprefix("http://")
        return False

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()

    async def stop(self) -> None:
        """In its order; kill -9 where it takes too long."""
        process = self._process
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.to_thread(process.wait, ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            await asyncio.to_thread(process.wait)
        if process.stdout is not None:
            process.stdout.close()
