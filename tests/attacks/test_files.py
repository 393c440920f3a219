"""Finding 4, and its kind: whatever a file claims, reading it costs no more memory than a bound, at every door."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import pytest

from arke.api import parameters
from arke.api.table import files
from arke.onboarding.parquet_reader import MEMORY_BYTES
from arke.onboarding.receipt import Receipt
from attacks import bombs
from attacks.doors import memory_mb, peak_mb
from e2e.engine_process import ARKE, OPEN, EngineProcess, request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Door = Literal["api", "folder", "local"]
COOKIES = 12345
COLUMNS = f"id: {{column: cookie, dpid: {COOKIES}}}\nsignals: {{cookie: key}}\n"
CATALOG = json.dumps(
    {
        "data_sources": [{"id": COOKIES}],
        "traits": [{"id": 1, "kind": "onboarded", "data_source": COOKIES}],
        "segments": [{"id": 1, "rule": "1T"}],
    }
)
GROWTH_MB = 200.0
"""What an engine may grow by over a file: two chunks of a megabyte become many objects; gigabytes are far off."""
READER_MB = MEMORY_BYTES / (1 << 20)
PATIENCE_S = 120.0
LINES = f"ftp_dpm_{COOKIES}_1777600000.sync.gz"

Bomb = tuple[str, "Callable[[], bytes]", set[str]]
PARQUET: list[Bomb] = [
    ("one value for many rows", bombs.one_value_for_many_rows, {"inflates_too_much"}),
    ("rows of nothing", bombs.rows_of_nothing, {"inflates_too_much"}),
    ("one row of lists", bombs.one_row_of_lists, {"done", "too_large"}),
    ("one page", bombs.one_page, {"inflates_too_much"}),
    ("one page, denied", lambda: bombs.lying(bombs.one_page()), {"done", "too_large"}),
    (
        "a page of 2 GB, denied",
        lambda: bombs.lying(bombs.one_page(), bombs.LARGEST_PAGE),
        {"too_large", "bad_parquet"},
    ),
    ("5,000 columns", bombs.wide, {"no_such_column"}),
    ("metadata of 4 GB", lambda: bombs.footer_of(0xFFFF_FFF0), {"bad_parquet"}),
    ("metadata of zeros", lambda: bombs.footer_of(900), {"bad_parquet"}),
]
LARGE: list[Bomb] = [
    (
        "one value for 3 million rows",
        lambda: bombs.one_value_for_many_rows(rows=3_000_000),
        {"inflates_too_much"},
    ),
    ("100 million rows of nothing", lambda: bombs.rows_of_nothing(100_000_000), {"inflates_too_much"}),
    ("a page of 900 MB, denied", lambda: bombs.lying(bombs.one_page(900 * bombs.MB)), {"too_large"}),
]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    folder = tmp_path_factory.mktemp("files")
    drop = f'[onboarding]\nfolder = "{folder / "drop"}"\nevery_s = 1\n'
    with EngineProcess(folder, settings=OPEN + drop) as started:
        started.apply(CATALOG)
        yield started


def reader_mb(pid: int) -> float:
    """Memory of the processes that read Parquet for an engine."""
    found = 0.0
    for child in Path(f"/proc/{pid}/task").glob("*/children"):
        for number in child.read_text().split():
            try:
                if b"parquet_reader" in Path(f"/proc/{number}/cmdline").read_bytes():
                    found = max(found, memory_mb(int(number)))
            except (OSError, AssertionError):
                continue
    return found


def watched(engine: EngineProcess, receipt: Callable[[], Receipt | None]) -> tuple[Receipt, float]:
    """The receipt once it is there, and the most memory that a reader was seen to have meanwhile."""
    end = time.monotonic() + PATIENCE_S
    most = 0.0
    while (found := receipt()) is None:
        assert time.monotonic() < end, "no receipt"
        most = max(most, reader_mb(engine.pid))
        time.sleep(0.02)
    return found, most


def by_api(engine: EngineProcess, name: str, content: bytes, columns: str | None) -> tuple[Receipt, float]:
    client = engine.client()
    ticket = client.ask(files.SEND_FILE, parameters.DataFile(name, columns), io.BytesIO(content)).id or ""
    return watched(engine, lambda: client.ask(files.SHOW_FILE, parameters.OneFile(ticket)).receipt)


def by_folder(engine: EngineProcess, name: str, content: bytes, columns: str | None) -> tuple[Receipt, float]:
    drop = engine.folder / "drop"
    if columns is not None:
        (drop / f"{name}.columns.yaml").write_text(columns)
    (drop / f"{name}.part").write_bytes(content)
    (drop / f"{name}.part").rename(drop / name)

    def receipt() -> Receipt | None:
        for folder in ("done", "failed"):
            found = drop / folder / f"{name}.receipt.json"
            if found.is_file() and found.read_bytes().endswith(b"\n"):
                return msgspec.json.decode(found.read_bytes(), type=Receipt)
        return None

    return watched(engine, receipt)


MEASURED = """
import os, subprocess, sys
_, _, usage = os.wait4(subprocess.Popen(sys.argv[2:]).pid, 0)
with open(sys.argv[1], "w") as file:
    file.write(str(usage.ru_maxrss))
"""
"""A command and the most memory of it and what it started. Begun by a small process: to Linux, what began a command
counts as a part of it, and the process of the tests may have more memory than the command is allowed.
"""


def locally(folder: Path, name: str, content: bytes, columns: str | None) -> tuple[Receipt, float]:
    """By `arke onboard` on a store that no engine has open; the memory is the command's and its reader's."""
    (folder / name).write_bytes(content)
    if columns is not None:
        (folder / f"{name}.columns.yaml").write_text(columns)
    (folder / "catalog.yaml").write_text(CATALOG)
    environ = os.environ | {"ARKE_DATA": str(folder / "data")}
    subprocess.run([ARKE, "apply", "catalog.yaml"], cwd=folder, env=environ, check=True, timeout=PATIENCE_S)
    command = [sys.executable, "-c", MEASURED, "most", ARKE, "onboard", "--json", name]
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        subprocess.run(command, cwd=folder, env=environ, stdout=out, stderr=err, check=True)
    said = (folder / "err").read_text()
    assert "Traceback" not in said, said
    most_kb = int((folder / "most").read_text())
    return msgspec.json.decode((folder / "out").read_bytes(), type=Receipt), most_kb / 1024


def outcome(receipt: Receipt) -> str:
    return "done" if receipt.state == "done" else receipt.reason


@pytest.mark.parametrize("bomb", PARQUET, ids=lambda bomb: bomb[0].replace(" ", "-"))
def test_a_parquet_bomb_is_refused_when_it_is_sent(engine: EngineProcess, bomb: Bomb) -> None:
    """Finding 4: by the API. The engine does not grow, its reader stays within its bound, events go on."""
    name, make, allowed = bomb
    before = peak_mb(engine.pid)
    receipt, most = by_api(engine, f"{name}.parquet", make(), COLUMNS)
    assert outcome(receipt) in allowed, receipt
    assert peak_mb(engine.pid) - before < GROWTH_MB
    assert most <= READER_MB
    engine.accept({"uuid": "1" * 38})


@pytest.mark.parametrize("bomb", [PARQUET[0], PARQUET[5]], ids=lambda bomb: bomb[0].replace(" ", "-"))
def test_a_parquet_bomb_is_refused_in_the_folder(engine: EngineProcess, bomb: Bomb) -> None:
    """Finding 4: dropped into the watched folder."""
    name, make, allowed = bomb
    before = peak_mb(engine.pid)
    receipt, most = by_folder(engine, f"{name} dropped.parquet", make(), COLUMNS)
    assert outcome(receipt) in allowed, receipt
    assert peak_mb(engine.pid) - before < GROWTH_MB
    assert most <= READER_MB


@pytest.mark.parametrize("bomb", [PARQUET[0], PARQUET[5]], ids=lambda bomb: bomb[0].replace(" ", "-"))
def test_a_parquet_bomb_is_refused_by_the_command(tmp_path: Path, bomb: Bomb) -> None:
    """Finding 4: by `arke onboard` without an engine."""
    name, make, allowed = bomb
    receipt, most = locally(tmp_path, f"{name}.parquet", make(), COLUMNS)
    assert outcome(receipt) in allowed, receipt
    assert most <= READER_MB


def test_a_broken_parquet_file_costs_only_itself(engine: EngineProcess) -> None:
    """Bytes changed at random, into whatever the decoder makes of them: each file ends, the next one is read."""
    for seed in range(12):
        receipt, _ = by_api(engine, f"mutated-{seed}.parquet", bombs.mutated(seed), COLUMNS)
        assert receipt.reason != "internal", (seed, receipt)
    receipt, _ = by_api(engine, "sound.parquet", bombs.sound(), COLUMNS)
    assert (receipt.state, receipt.received) == ("done", 50)


TEXT: list[tuple[str, str, Callable[[], bytes], set[str]]] = [
    ("a quote that never ends", "open.csv", lambda: b'cookie\n"' + b"x" * 64 * bombs.MB, {"done"}),
    ("a head of a million columns", "head.csv", lambda: b"cookie," * 1_000_000, {"no_such_column"}),
    ("a line without an end", "line.csv", lambda: b"cookie\n" + b"x" * 64 * bombs.MB, {"done"}),
    ("zeros, packed", "zeros.csv.gz", lambda: bombs.packed_zeros(256 * bombs.MB), {"inflates_too_much"}),
    ("zeros in members", "members.csv.gz", lambda: bombs.packed_zeros(bombs.MB) * 200, {"inflates_too_much"}),
    ("cut short", "cut.csv.gz", lambda: bombs.packed_zeros(1_000)[:-9], {"truncated"}),
    ("lines of 100,000 bytes", LINES, lambda: bombs.long_lines(2_000), {"done", "inflates_too_much"}),
]


@pytest.mark.parametrize(
    ("what", "name", "make", "allowed"), TEXT, ids=[row[0].replace(" ", "-") for row in TEXT]
)
def test_a_text_file_costs_a_bound(
    engine: EngineProcess, what: str, name: str, make: Callable[[], bytes], allowed: set[str]
) -> None:
    """The kind of finding 4: lines, heads and packed data that do not end."""
    before = peak_mb(engine.pid)
    receipt, _ = by_api(engine, name, make(), COLUMNS if ".csv" in name else None)
    assert outcome(receipt) in allowed, (what, receipt)
    assert peak_mb(engine.pid) - before < GROWTH_MB
    engine.accept({"uuid": "1" * 38})


DOCUMENTS: list[tuple[str, str, dict[str, Any], Callable[[], bytes]]] = [
    ("a columns file", "/v1/onboard", {"name": "a.csv", "check": "1"}, lambda: b""),
    ("a catalog of brackets", "/v1/catalog", {}, lambda: b"[" * 8 * bombs.MB),
    (
        "a catalog of aliases",
        "/v1/catalog",
        {},
        lambda: b"a: &a [x,x]\n" + b"".join(b"b%d: &b%d [*a,*a]\n" % (n, n) for n in range(200_000)),
    ),
    ("a catalog of one key", "/v1/catalog", {}, lambda: b"x" * 32 * bombs.MB),
    (
        "a request of comments",
        "/v1/privacy/requests",
        {},
        lambda: json.dumps({"action": "delete", "file": "//\n" * 5_000_000}).encode(),
    ),
    (
        "a request of brackets",
        "/v1/privacy/requests",
        {},
        lambda: json.dumps({"action": "delete", "file": "[" * 8_000_000}).encode(),
    ),
]


@pytest.mark.parametrize(
    ("what", "path", "query", "make"), DOCUMENTS, ids=[row[0].replace(" ", "-") for row in DOCUMENTS]
)
def test_a_document_costs_a_bound(
    engine: EngineProcess, what: str, path: str, query: dict[str, Any], make: Callable[[], bytes]
) -> None:
    """The kind of finding 4: what is read as one document is refused, in less than ten times its bytes."""
    client = engine.client()
    token = client.create_token("admin", what, None).secret
    if path == "/v1/onboard":
        query = query | {"columns": "x: &x [" + "y," * 8_000 + "]"}
    target = f"{path}?{'&'.join(f'{name}={value}' for name, value in query.items())}".replace(" ", "%20")
    body = make()
    before = peak_mb(engine.pid)
    reply = request(
        engine.admin, "POST", target.replace("&x", "%26x"), body, {"Authorization": f"Bearer {token}"}
    )
    assert reply.status == 400, (what, reply.status, reply.body[:200])
    assert peak_mb(engine.pid) - before < GROWTH_MB + 10 * len(body) / bombs.MB


@pytest.mark.soak
@pytest.mark.parametrize("bomb", LARGE, ids=lambda bomb: bomb[0].replace(" ", "-"))
def test_a_large_parquet_bomb_is_refused(engine: EngineProcess, bomb: Bomb) -> None:
    """Finding 4, at the size of a real attack."""
    name, make, allowed = bomb
    before = peak_mb(engine.pid)
    receipt, most = by_api(engine, f"{name}.parquet", make(), COLUMNS)
    assert outcome(receipt) in allowed, receipt
    assert peak_mb(engine.pid) - before < GROWTH_MB
    assert most <= READER_MB
