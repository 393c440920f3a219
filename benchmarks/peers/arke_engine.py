"""Arke: `arke up` as it is shipped, one data directory, the intake with a token."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from arke import __version__
from peers.contender import Running, program, said
from peers.wire import KEY, Posting, Signature

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from peers.wire import Sink

DPID = 12345
SEGMENT = 14356


class Arke:
    """With so many shards, and so many users in a request. `source`: the `src` of another tree, to compare with."""

    keeps = True
    signature = Signature("X-Signature")
    durability = "answers after the commit is synced to disk (SQLite, WAL, synchronous=FULL)"
    unlike = (
        "identity, segments, a ledger of what each id was told; what is sent again is the state of the moment"
    )

    def __init__(self, shards: int, users_a_request: int, source: Path | None = None) -> None:
        which = "Arke" if source is None else f"Arke of {source}"
        self.name = f"{which}, {shards} shard{'s' * (shards > 1)}"
        self.users_a_request = users_a_request
        self._shards = shards
        self._source = source

    def missing(self) -> str:
        return ""

    def version(self) -> str:
        return (
            __version__
            if self._source is None
            else said(self._arke("--version"), env=self._environ()).strip()
        )

    def _arke(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "arke", *arguments]

    def _environ(self) -> Mapping[str, str]:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("ARKE_")}
        environ |= {"ARKE_EGRESS_ALLOW_CIDRS": "127.0.0.0/8", "PEERS_KEY": KEY}
        return environ if self._source is None else environ | {"PYTHONPATH": str(self._source)}

    @contextmanager
    def running(self, directory: Path, sink: Sink) -> Iterator[Running]:
        data = str(directory / "data")
        command = self._arke("up", "--data", data, "--shards", str(self._shards))
        environ = self._environ()
        ports = ["--intake-port", "0", "--admin-port", "0"]
        with program(directory, "arke", [*command, *ports], environ) as engine:
            engine.until(lambda: "\nready\n" in engine.log.read_text())
            (directory / "catalog.json").write_bytes(msgspec.json.encode(self._catalog(sink)))
            said(self._arke("apply", str(directory / "catalog.json"), "--data", data, "--yes"), env=environ)
            token = said(self._arke("token", "create", "--scope", "ingest", "--data", data), env=environ)
            doors = dict(
                line.split(maxsplit=1) for line in engine.log.read_text().splitlines() if " " in line
            )
            posting = Posting(
                port=int(doors["intake"].rsplit(":", 1)[1]),
                path="/v1/events",
                headers={"Authorization": f"Bearer {token.strip()}"},
                event=(f'{{"ids":[{{"dpid":{DPID},"id":"', f'"}}],"memberships":{{"{SEGMENT}":1}}}}'),
                proof='"rejected":[]',
            )
            yield Running(posting, (engine.pid,))

    def _catalog(self, sink: Sink) -> dict[str, object]:
        return {
            "data_sources": [{"id": DPID, "name": "Acme cookies", "kind": "cookie"}],
            "segments": [{"id": SEGMENT, "name": "In market"}],
            "destinations": [
                {
                    "id": 423,
                    "name": "The sink",
                    "url": sink.url,
                    "client_id": "74323",
                    "user_dpids": [DPID],
                    "batch": False,
                    "max_users_per_request": self.users_a_request,
                    "signatures": [{"header": "X-Signature", "algorithm": "sha1", "key": "env:PEERS_KEY"}],
                    "tls": {"ca_file": str(sink.ca_file)},
                    "segments": [{"segment": SEGMENT}],
                }
            ],
        }
