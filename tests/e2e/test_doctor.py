"""`arke doctor` beside real faults: each is found, said first with what to do, and nothing secret is in it."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import apsw
import pytest
import trustme

from arke.doctor import machine
from arke.doctor.finding import Examination, doubtful, fine, wrong
from e2e.catalogs import catalog, destination
from e2e.engine_process import OPEN, EngineProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CANARY = "a-secret-that-nobody-may-see"
WELL, EXPIRED, CLOSED, UNKNOWN, LOCAL, SECRET = range(1, 7)


@contextmanager
def server(
    folder: Path, name: str, *, ends: timedelta, clock: timedelta = timedelta()
) -> Iterator[tuple[int, Path]]:
    """A destination that speaks TLS, with a certificate that ends then: its port, and whom it is trusted by. Its
    own clock is ahead by `clock`.
    """
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", not_after=datetime.now(UTC) + ends)
    trusted = folder / f"{name}.pem"
    authority.cert_pem.write_to_path(str(trusted))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_answer, args=(listening, context, clock), daemon=True).start()
        yield listening.getsockname()[1], trusted
        listening.shutdown(socket.SHUT_RDWR)


def _answer(listening: socket.socket, context: ssl.SSLContext, clock: timedelta) -> None:
    while True:
        try:
            connected, _ = listening.accept()
        except OSError:
            return
        try:
            with context.wrap_socket(connected, server_side=True) as secured:
                secured.recv(4_096)
                date = format_datetime(datetime.now(UTC) + clock, usegmt=True)
                secured.sendall(
                    f"HTTP/1.1 404 Not Found\r\nDate: {date}\r\nContent-Length: 0\r\n\r\n".encode()
                )
        except OSError:
            continue


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port


def said(engine: EngineProcess, *, code: int | None) -> list[dict[str, Any]]:
    """What it finds; `code` None: whatever else may be wrong with this machine, such as a taken port."""
    done = engine.arke("doctor", "--config", str(engine.config), "--json")
    assert done.returncode == code or code is None, (done.stdout, done.stderr)
    assert CANARY not in done.stdout + done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)["findings"]
    return found


def about(found: list[dict[str, Any]], text: str) -> dict[str, Any]:
    matching = [one for one in found if text in one["what"]]
    assert matching, (text, found)
    return matching[0]


def test_what_is_wrong_comes_first_with_what_to_do(tmp_path: Path) -> None:
    """One catalog with every fault of a way to a destination; no engine runs."""
    engine = EngineProcess(tmp_path, environ={"GIVEN": CANARY, "MISSING": CANARY})
    days = timedelta(days=400)
    with (
        server(tmp_path, "well", ends=days) as (well, trusted),
        server(tmp_path, "expired", ends=-timedelta(days=3)) as (expired, expired_trusted),
    ):
        key = [{"key": "env:GIVEN"}]
        engine.apply(
            catalog(
                [
                    destination(WELL, f"https://localhost:{well}/", trusted, signatures=key),
                    destination(EXPIRED, f"https://localhost:{expired}/", expired_trusted),
                    destination(CLOSED, f"https://localhost:{closed_port()}/"),
                    destination(UNKNOWN, "https://nobody.invalid/"),
                    destination(LOCAL, "https://10.1.2.3/"),
                    destination(
                        SECRET, f"https://localhost:{well}/", trusted, signatures=[{"key": "env:MISSING"}]
                    ),
                ]
            )
        )
        del engine.environ["MISSING"]
        found = said(engine, code=1)
    states = [one["state"] for one in found]
    assert states == sorted(states, key=["wrong", "doubtful", "fine"].index)
    for text in (
        f"destination {EXPIRED}: localhost: the server's certificate has expired",
        f"destination {CLOSED}: 127.0.0.1: connection refused",
        f"destination {UNKNOWN}: the name nobody.invalid has no address",
        f"destination {LOCAL}: 10.1.2.3: 10.1.2.3 is a forbidden address",
        f"destination {SECRET}: env:MISSING",
    ):
        one = about(found, text)
        assert (one["state"], bool(one["do"])) == ("wrong", True), one
    reached = about(found, f"destination {WELL}: localhost:{well} at 127.0.0.1, DNS ")
    assert reached["state"] == "fine"
    assert about(found, f"destination {WELL}: the certificate of localhost: 399 days left")
    assert about(found, f"destination {WELL}: env:GIVEN is there")["state"] == "fine"
    assert about(found, "by the Date of 2 destinations")["state"] == "fine"


def test_a_running_engine_that_is_well_is_said_to_be(tmp_path: Path) -> None:
    with (
        server(tmp_path, "well", ends=timedelta(days=400)) as (port, trusted),
        EngineProcess(tmp_path) as engine,
    ):
        engine.apply(catalog([destination(WELL, f"https://localhost:{port}/", trusted)]))
        found = said(engine, code=0)
        assert about(found, "runs, catalog version 1")["state"] == "fine"
        assert about(found, "directory.db: ")["state"] == "fine"
        plain = engine.arke("doctor", "--config", str(engine.config)).stdout
    assert " 0 wrong, " in f" {plain.splitlines()[-1]}"


def test_another_clock_and_a_taken_port_and_a_damaged_file(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        server(tmp_path, "late", ends=timedelta(days=10), clock=timedelta(minutes=5)) as (port, trusted),
    ):
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        engine = EngineProcess(tmp_path, settings=f'[server]\nintake = "{address}"\n{OPEN}')
        engine.apply(catalog([destination(WELL, f"https://localhost:{port}/", trusted)]))
        shard = engine.data / "shard-00.db"
        content = bytearray(shard.read_bytes())
        content[8_192:12_288] = bytes(4_096)
        shard.write_bytes(content)
        found = said(engine, code=1)
    assert about(found, f"server.intake = {address}: another process listens there")["state"] == "wrong"
    behind = about(found, "s behind, by the Date")
    assert behind["state"] == "wrong"
    assert float(behind["what"].split()[0]) == pytest.approx(300, abs=5)  # a Date has whole seconds
    assert about(found, "shard-00.db is damaged")["state"] == "wrong"
    assert about(found, "the certificate of localhost: expires in 9 days")["state"] == "doubtful"


def test_a_first_start_that_was_broken_off_is_no_loss(tmp_path: Path) -> None:
    """There was nothing yet that a backup could bring back. Once an engine has been up, a file that is gone is."""
    engine = EngineProcess(tmp_path)
    with engine:
        pass
    shard = engine.data / "shard-00.db"
    for file in engine.data.glob("shard-00.*"):
        file.unlink()
    assert about(said(engine, code=1), "missing or empty: shard-00.db")["state"] == "wrong"
    directory = apsw.Connection(str(engine.data / "directory.db"))
    for (table,) in list(directory.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")):
        if not table.startswith("sqlite_"):
            kept = "WHERE key NOT IN ('hash_key', 'shards')" if table == "meta" else ""
            directory.execute(f"DELETE FROM {table} {kept}")  # noqa: S608 - a table of the schema
    directory.close()
    begun = about(said(engine, code=None), "no engine has come up here yet")
    assert (begun["state"], begun["do"]) == ("doubtful", "arke up")
    with engine:
        assert shard.stat().st_size


@pytest.mark.parametrize("content", [None, b"", b"no database" * 1_000])
def test_a_directory_that_is_gone_or_none_is_named(tmp_path: Path, content: bytes | None) -> None:
    engine = EngineProcess(tmp_path)
    with engine:
        pass
    file = engine.data / "directory.db"
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    found = said(engine, code=1)
    assert about(found, "directory.db")["state"] == "wrong"
    assert not [one for one in found if "could not look on" in one["what"]], found
    status = engine.arke("status")
    assert (status.returncode, "directory.db" in status.stderr) == (1, True), status.stderr


def test_settings_that_are_wrong_and_a_directory_that_others_may_write(tmp_path: Path) -> None:
    engine = EngineProcess(tmp_path, settings="[egress]\nallow = 1\n")
    engine.data.mkdir()
    engine.data.chmod(0o777)
    found = said(engine, code=1)
    assert about(found, "allow")["subject"] == "settings"
    assert about(found, "others may write to this data directory")["do"].startswith("`chmod 700")


def test_a_disk_that_is_full_or_slow_or_not_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=50 << 20))
    assert [one.state for one in machine.disk(tmp_path)][-1] == "wrong"
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    monkeypatch.setattr(machine, "sync_times", lambda _: [0.5] * machine.SYNCS)
    assert [one.state for one in machine.disk(tmp_path)][-1] == "wrong"
    mounts = tmp_path / "mounts"
    mounts.write_text(f"server:/export {tmp_path} nfs4 rw 0 0\n/dev/vda / ext4 rw 0 0\n")
    monkeypatch.setattr(machine, "MOUNTS", mounts)
    assert "over a network" in next(machine.disk(tmp_path)).what


def test_an_examination_counts_and_sorts() -> None:
    found = Examination.of([fine("a", "1"), doubtful("b", "2", "do"), wrong("c", "3", "do"), fine("d", "4")])
    assert [one.what for one in found.findings] == ["3", "2", "1", "4"]
    assert (found.wrong, found.doubtful) == (1, 1)
