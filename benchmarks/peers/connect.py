"""Redpanda Connect: HTTP in, a message by its mapping language, HTTPS out; with each of its buffers.

Its engine alone, Benthos, is the same program without the SQLite buffer: found under that name it runs what it can.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from arke.demo.processes import free_port
from peers.contender import Running, find, listens, program, said
from peers.wire import KEY, Posting, Signature

if TYPE_CHECKING:
    from collections.abc import Iterator

    from peers.wire import Sink

PROGRAM: Final = ("PEERS_CONNECT", "redpanda-connect", "redpanda-connect-community", "benthos")
LINGER: Final = "100ms"
IN_FLIGHT: Final = 2
"""At its default of 64, most requests open a new connection."""
NAMES: Final = {"none": "no", "memory": "memory", "sqlite": "SQLite"}
DURABILITY: Final = {
    "none": "none: answers when the destination has, and keeps nothing",
    "memory": "none: what was accepted is gone when it ends",
    "sqlite": "SQLite with synchronous=0: survives its own end, not the machine's",
}
_TIME: Final = 'now().ts_format("Mon Jan 02 15:04:05 MST 2006", "UTC")'
_USER: Final = f"""{{
  "DataPartner_UUID": user.id,
  "Segments": [{{ "Segment_ID": user.segment, "Status": "1", "DateTime": {_TIME} }}]
}}"""
_MESSAGE: Final = f"""
let users = %s
root = {{
  "ProcessTime": {_TIME},
  "User_DPID": "12345",
  "Client_ID": "74323",
  "AAM_Destination_Id": "423",
  "User_count": $users.length().string(),
  "Users": $users.map_each(user -> {_USER})
}}
"""


class Connect:
    """With the buffer of this name, and so many users in a request."""

    signature = Signature("X-Signature")
    unlike = "a compiled forwarder: no identity, no rules, no memory of what was told, no state of the moment"

    def __init__(self, buffer: str, users_a_request: int) -> None:
        self._program = find(*PROGRAM)
        self._buffer = buffer
        which = "Benthos, Redpanda Connect's engine" if self._alone else "Redpanda Connect"
        self.name = f"{which}, {NAMES[buffer]} buffer"
        self.users_a_request = users_a_request
        self.keeps = buffer != "none"
        self.durability = DURABILITY[buffer]

    @property
    def _alone(self) -> bool:
        return Path(self._program).name == "benthos"

    def missing(self) -> str:
        if not self._program:
            return f"none of {', '.join(PROGRAM[1:])} is on PATH, and {PROGRAM[0]} names none"
        listed = subprocess.run(
            [self._program, "list", "buffers"], capture_output=True, text=True, check=False
        ).stdout
        if f"- {self._buffer}\n" not in listed:
            return f"{Path(self._program).name} has no buffer `{self._buffer}`"
        return ""

    def version(self) -> str:
        first = said([self._program, "--version"]).splitlines()[0]
        return f"{Path(self._program).name}, {first.removeprefix('Version: ')}"

    @contextmanager
    def running(self, directory: Path, sink: Sink) -> Iterator[Running]:
        port = free_port()
        file = directory / "connect.yaml"
        file.write_text(yaml.safe_dump(self.config(directory, sink, port), sort_keys=False))
        said([self._program, "lint", str(file)])
        command = [self._program, "run", str(file)]
        with program(directory, "connect", command, os.environ) as engine:
            engine.until(lambda: listens(port))
            posting = Posting(port=port, path="/events", event=('{"id":"', '","segment":"14356"}'))
            yield Running(posting, (engine.pid,))

    def config(self, directory: Path, sink: Sink, port: int) -> dict[str, Any]:
        """Single events wait for others as long as Arke's do; those that came together leave together."""
        many = self.users_a_request > 1
        build = [{"mapping": _MESSAGE % ("this" if many else "[this]")}]
        output: dict[str, Any] = {
            "url": sink.url,
            "verb": "POST",
            "headers": {
                "Content-Type": "application/json",
                self.signature.header: f'${{! content().hash("hmac_sha1", "{KEY}").encode("base64") }}',
            },
            "tls": {"enabled": True, "root_cas_file": str(sink.ca_file)},
            "max_in_flight": IN_FLIGHT,
        }
        if many:
            output["batching"] = {
                "count": self.users_a_request,
                "period": LINGER,
                "processors": [{"archive": {"format": "json_array"}}, *build],
            }
        return {
            "http": {"enabled": False},
            "logger": {"level": "ERROR"},
            "input": {
                "http_server": {
                    "address": f"127.0.0.1:{port}",
                    "path": "/events",
                    "allowed_verbs": ["POST"],
                    "timeout": "30s",
                },
                "processors": [{"unarchive": {"format": "lines"}}],
            },
            "buffer": {
                self._buffer: {"path": str(directory / "buffer.db")} if self._buffer == "sqlite" else {}
            },
            "pipeline": {
                "threads": 2,
                "processors": [{"split": {"size": self.users_a_request}}] if many else build,
            },
            "output": {"http_client": output},
        }
