"""A stage whose scripts run through the command `arke simulate` itself, with batches, files and privacy requests.

Only names of SPEC section 9 are used: lines of the script, options of the command, fields of the output.
"""

from __future__ import annotations

import gzip
import io
from contextlib import redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from arke.cli import app
from tour.stage import ACME, Request, Stage, destination

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

NIGHTLY = {"every": "24h", "at": "02:00"}
MIDNIGHT = {"every": "24h", "at": "00:00"}


def with_batch(*segments: int | dict[str, Any], **options: Any) -> dict[str, Any]:
    """A destination that takes real time and a batch at 02:00 (or on command, where nothing is scheduled)."""
    return destination(*segments, **{"batch": NIGHTLY} | options)


def batch_only(*segments: int | dict[str, Any], **options: Any) -> dict[str, Any]:
    return with_batch(*segments, **{"realtime": False} | options)


class CommandStage(Stage):
    """Collects a script of every kind of line; `requests` runs the command on it."""

    def batch(self, at: str, destination: int = ACME) -> None:
        """A batch on command."""
        self.line(at, batch=destination)

    def load(self, at: str, name: str, rows: Iterable[str]) -> None:
        """A file with these lines is loaded; it is packed where its name says so."""
        text = "".join(f"{row}\n" for row in rows).encode()
        (self.folder / name).write_bytes(gzip.compress(text, mtime=0) if name.endswith(".gz") else text)
        self.line(at, onboard={"file": name})

    def privacy(self, at: str, action: str, **who: str) -> None:
        """`action` is `delete` or `opt_out`; `who` is `uuid` or `id`."""
        self.line(at, privacy={"action": action, **who})

    def requests(self, *, schedule: bool = False) -> list[Request]:
        """Every request the script led to, in order. Without `schedule` batches run on command only."""
        self.script.write_text("".join(f"{line}\n" for line in self._lines))
        options = () if schedule else ("--no-schedule",)
        return simulated(self.script, self.catalog_file, *options)


def simulated(script: Path, catalog: Path, *options: str) -> list[Request]:
    """The output of `arke simulate`; what it complains about is a failure of the test."""
    out = script.with_name("output.ndjson")
    command = ["simulate", str(script), "--catalog", str(catalog), "--out", str(out), *options]
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said), pytest.raises(SystemExit) as ended:
        app.main(command, prog_name="arke")
    assert ended.value.code == 0, said.getvalue()
    return [msgspec.json.decode(line, type=Request) for line in out.read_bytes().splitlines()]


def of_kind(requests: Iterable[Request], kind: str) -> list[Request]:
    return [request for request in requests if request.kind == kind]


def items(requests: Iterable[Request]) -> dict[tuple[str, str], str]:
    """Status by (partner id, alias), over all these requests; an item that comes twice is a failure."""
    told: dict[tuple[str, str], str] = {}
    for request in requests:
        for partner_id, statuses in request.users.items():
            for alias, status in statuses.items():
                assert (partner_id, alias) not in told, f"{partner_id}, {alias} twice: {request.body}"
                told[partner_id, alias] = status
    return told


def stamps(requests: Iterable[Request]) -> dict[tuple[str, str], str]:
    """DateTime by (partner id, alias)."""
    return {
        (user["DataPartner_UUID"], state["Segment_ID"]): state["DateTime"]
        for request in requests
        for user in request.message["Users"]
        for state in user["Segments"]
    }


def nights(requests: Iterable[Request]) -> list[tuple[str, dict[tuple[str, str], str]]]:
    """What each batch told, by the minute it ran in: `05-02 02:00`. Retries are left out."""
    runs: dict[str, list[Request]] = {}
    for request in of_kind(requests, "batch"):
        if request.attempt == 1:
            runs.setdefault(request.clock[:11], []).append(request)
    return [(minute, items(run)) for minute, run in runs.items()]


def heard_live(requests: Iterable[Request]) -> list[tuple[str, dict[tuple[str, str], str]]]:
    """What was told in real time, by the second: `05-01 12:00:00`."""
    return [(request.clock[:14], items([request])) for request in of_kind(requests, "realtime")]


def date_text(clock: str) -> str:
    """`05-03 00:00:00` of 2026 as a message writes it."""
    from datetime import UTC, datetime

    moment = datetime.fromisoformat(f"2026-{clock}").replace(tzinfo=UTC)
    return moment.strftime("%a %b %d %H:%M:%S UTC %Y")


def lines_of(device_ids: Iterable[str], items_text: str) -> list[str]:
    """Rows of an onboarding file: every id with the same items."""
    return [f"{device_id}\t{items_text}" for device_id in device_ids]
