"""Files and a real engine: sent by the command, dropped into a watched folder, and cut short by kill -9."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from typing import TYPE_CHECKING

import msgspec
import pytest

from arke.api import parameters
from arke.api.table import files
from arke.api.table.callers import AUDIT
from arke.onboarding.receipt import Receipt
from arke.operations.jobs import FileState
from e2e.engine_process import OPEN, EngineProcess, request
from patience import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COOKIES = 12345
AT = 1777600000
FILE = f"ftp_dpm_{COOKIES}_{AT}.sync"
CATALOG = json.dumps(
    {
        "data_sources": [{"id": COOKIES}],
        "traits": [{"id": n, "kind": "onboarded", "data_source": COOKIES} for n in (1, 2, 3, 4)],
        "segments": [{"id": n, "rule": f"{n}T"} for n in (1, 2, 3, 4)],
    }
)


def device(number: int) -> str:
    return f"{number:038d}"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[EngineProcess]:
    with EngineProcess(tmp_path, shards=2) as started:
        started.apply(CATALOG)
        yield started


def onboard(engine: EngineProcess, *arguments: str) -> tuple[int, list[Receipt], str]:
    """Exit code, receipts, and what was said on stderr."""
    done = engine.arke("onboard", "--json", *arguments)
    receipts = [msgspec.json.decode(line, type=Receipt) for line in done.stdout.splitlines()]
    return done.returncode, receipts, done.stderr


def held(engine: EngineProcess, number: int) -> set[int]:
    """The segments a device is in."""
    explained = engine.client().explain(device(number), None)
    return {segment.id for segment in explained.segments if segment.status == 1}


def test_a_device_that_only_a_file_speaks_of_was_not_seen(engine: EngineProcess) -> None:
    """`explain` shows no time for it: a file is no sighting."""
    sync = f"adobe_id_0_{COOKIES}_{AT}.sync"
    (engine.folder / sync).write_text(f"{device(7)}\tabc\n")
    assert onboard(engine, sync)[0] == 0
    assert "\n  known from files, not seen yet\n" in engine.arke("explain", "--id", f"{COOKIES}:abc").stdout
    assert json.loads(engine.arke("explain", device(7), "--json").stdout)["seen"] is None


def test_a_file_is_loaded_the_same_with_and_without_a_running_engine(engine: EngineProcess) -> None:
    """Sent over the socket; loaded directly once the engine is gone; and then not again."""
    engine.accept({"uuid": device(1), "ids": [{"dpid": COOKIES, "id": "abc"}]})
    (engine.folder / FILE).write_bytes(b"abc\td_sid=1\nnobody\td_sid=1\nbroken\n")
    code, (receipt,), _ = onboard(engine, FILE)
    assert (code, receipt.state, receipt.received, receipt.stored) == (0, "done", 3, 1)
    assert receipt.errors == {"no_matching_id": 1, "format": 1}
    assert held(engine, 1) == {1}
    people = engine.arke("onboard", FILE)
    assert "loaded before" in people.stdout
    assert "3 lines received = 1 stored + 2 not stored" in people.stdout
    assert "1 format: there is no tab behind the id (line 3)" in people.stdout
    engine.stop()
    packed = f"ftp_dpm_{COOKIES}_{AT + 1}.overwrite.gz"
    (engine.folder / packed).write_bytes(gzip.compress(b"abc\td_sid=2\n"))
    code, (first, second), _ = onboard(engine, packed, FILE)
    assert (code, first.repeated, second.repeated) == (0, True, False), "by the times in their names"
    assert (second.stored, second.removed) == (1, 1)
    engine.start()
    assert held(engine, 1) == {2}
    actions = [entry.action for entry in engine.client().ask(AUDIT).entries]
    assert actions.count("file_loaded") == 2


def test_a_file_that_is_mostly_refused_fails_the_command(engine: EngineProcess) -> None:
    """It counts all the same; alike without a running engine, and when it is given again."""
    engine.accept({"uuid": device(1), "ids": [{"dpid": COOKIES, "id": "abc"}]})
    (engine.folder / FILE).write_bytes(b"abc\td_sid=1\nbroken\n")
    half = f"ftp_dpm_{COOKIES}_{AT + 1}.sync"
    (engine.folder / half).write_bytes(b"abc\td_sid=2\nbroken\nabc\n")
    for _ in range(2):
        assert onboard(engine, FILE)[0] == 0
        code, (receipt,), said = onboard(engine, half)
        assert (code, receipt.state, receipt.refused) == (1, "done", 2)
        assert said == f"{half}: 2 of 3 lines (66.7%) were refused, more than 50% (--max-refused)\n"
        assert onboard(engine, "--max-refused", "5%", FILE)[0] == 1
        assert onboard(engine, "--max-refused", "0", FILE)[0] == 1
        assert onboard(engine, "--max-refused", "70%", FILE, half)[0] == 0
        code, receipts, said = onboard(engine, "--max-refused", "many", FILE)
        assert (code, receipts) == (2, [])
        assert "--max-refused: 'many' is neither a share nor a number" in said
        engine.stop()
    engine.start()
    assert held(engine, 1) == {1, 2}


BROKEN = {
    f"{FILE}.gz": ("truncated", gzip.compress(os.urandom(50_000))[:20_000]),
    f"{FILE}.1.gz": ("bad_gzip", b"never packed"),
    f"{FILE}.2": ("empty", b""),
}
MISNAMED = {
    "readme.txt": "no name of a data file",
    f"ftp_dpm_4711_{AT}.sync": "no data source 4711",
    "people.csv": "a table needs a columns file",
}


def test_bad_files_are_refused_by_exit_codes(engine: EngineProcess) -> None:
    """1 for files that could not be loaded, 2 for a wrong name or use; alike without a running engine."""
    for name, (_, content) in BROKEN.items():
        (engine.folder / name).write_bytes(content)
    for name in MISNAMED:
        (engine.folder / name).write_bytes(b"abc\td_sid=1\n")
    for _ in range(2):
        code, receipts, said = onboard(engine, *BROKEN)
        assert (code, said) == (1, "")
        assert {receipt.file: receipt.reason for receipt in receipts} == {
            name: reason for name, (reason, _) in BROKEN.items()
        }
        for name, why in (*MISNAMED.items(), (".", "this is a folder")):
            code, receipts, said = onboard(engine, name)
            assert (code, receipts) == (2, [])
            assert why in said
        engine.stop()


def test_nothing_is_loaded_when_one_name_is_wrong(engine: EngineProcess) -> None:
    engine.accept({"uuid": device(1), "ids": [{"dpid": COOKIES, "id": "abc"}]})
    (engine.folder / FILE).write_bytes(b"abc\td_sid=1\n")
    (engine.folder / "other.txt").write_bytes(b"abc\td_sid=1\n")
    code, receipts, said = onboard(engine, FILE, "other.txt")
    assert (code, receipts) == (2, [])
    assert "other.txt" in said
    assert onboard(engine, FILE, "missing.sync")[0] == 2
    assert held(engine, 1) == set()


def test_a_kill_in_the_middle_changes_neither_receipt_nor_state(tmp_path: Path) -> None:
    """An overwrite whose users come twice, far apart; killed twice on the way, it ends as if it never was."""
    users = 20_000
    lines = [f"{device(n)}\td_sid={1 + n % 2}\n" for n in range(users)]
    lines += ["neither\td_sid=1\n"] * 100 + [f"{device(7)}\td_sid=4\n"] * 250
    lines += [f"{device(n)}\td_sid=3,d_sid=99\n" for n in range(users)]
    name = f"ftp_dpm_0_{COOKIES}_{AT}.overwrite"
    before = "".join(f"{device(n)}\td_sid=4\n" for n in range(0, users, 3))
    outcomes = []
    for kills in ((), (2_000, 20_500)):
        folder = tmp_path / f"kills-{len(kills)}"
        folder.mkdir()
        (folder / name).write_text("".join(lines))
        (folder / name.replace("overwrite", "sync")).write_text(before)
        with EngineProcess(folder, shards=2) as engine:
            engine.apply(CATALOG)
            assert onboard(engine, name.replace("overwrite", "sync"))[0] == 0
            receipt = load_and_kill(engine, name, kills)
            state = [held(engine, n) for n in (0, 1, 2, 3, 7, users - 1)]
        facts = msgspec.to_builtins(receipt)
        outcomes.append(
            ({key: value for key, value in facts.items() if key not in ("begun", "ended")}, state)
        )
    assert outcomes[0] == outcomes[1]
    told, state = outcomes[0]
    assert (told["received"], told["stored"]) == (2 * users + 350, 2 * users + 198)
    assert told["errors"] == {"invalid_uuid": 100, "over_limit": 52}
    assert (told["devices"], told["removed"]) == (users, len(range(0, users, 3)))
    assert state == [{1, 3}, {2, 3}, {1, 3}, {2, 3}, {2, 4}, {2, 3}]


def load_and_kill(
    engine: EngineProcess, name: str, kills: tuple[int, ...], columns: str | None = None
) -> Receipt:
    """Send a file and kill the engine whenever it has come past one of these lines."""
    with (engine.folder / name).open("rb") as body:
        ticket = engine.client().ask(files.SEND_FILE, parameters.DataFile(name, columns), body).id or ""

    def state() -> FileState:
        return engine.client().ask(files.SHOW_FILE, parameters.OneFile(ticket))

    for line in kills:
        wait_until(lambda bound=line: state().lines >= bound, f"line {line}")  # type: ignore[misc]
        assert state().receipt is None, "the file was loaded before it could be cut short"
        engine.kill()
        engine.start()
    wait_until(lambda: state().receipt is not None, "the receipt")
    ended = state()
    assert ended.receipt is not None
    assert ended.lines == ended.total == ended.receipt.received
    return ended.receipt


def test_a_watched_folder_takes_what_is_moved_in(tmp_path: Path) -> None:
    """In the order of the times in names; what is wrong goes to `failed`, with the reason; what vanishes is
    nobody's fault.
    """
    folder = tmp_path / "drop"
    settings = f'{OPEN}[onboarding]\nfolder = "{folder}"\nevery_s = 1\n'
    with EngineProcess(tmp_path, settings=settings) as engine:
        engine.apply(CATALOG)
        engine.accept({"uuid": device(1), "ids": [{"dpid": COOKIES, "id": "abc"}]})
        wait_until((folder / "done").is_dir, "the folder")
        move_in(folder, f"ftp_dpm_{COOKIES}_{AT + 1}.overwrite", b"abc\td_sid=2\n")
        move_in(folder, FILE, b"abc\td_sid=1\n")
        move_in(folder, "people.csv.columns.yaml", b"id: {column: c, dpid: 12345}\ntraits: {three: 3}\n")
        move_in(folder, "people.csv", b"c,three\nabc,1\n")
        move_in(folder, "wrong.name", b"x")
        move_in(folder, f"{FILE}.gz", b"broken")
        move_in(folder, "gone.sync", b"x")
        (folder / "gone.sync").unlink()
        move_in(folder, "coming.part", b"x")
        wait_until(lambda: len(receipts(folder / "done")) == 3, "three files")
        wait_until(lambda: len(receipts(folder / "failed")) == 2, "two failures")
        assert sorted(receipts(folder / "done")) == sorted(
            [FILE, f"ftp_dpm_{COOKIES}_{AT + 1}.overwrite", "people.csv"]
        )
        failed = receipts(folder / "failed")
        assert failed["wrong.name"].reason == "invalid_input"
        assert failed[f"{FILE}.gz"].reason == "bad_gzip"
        assert held(engine, 1) == {2}, "the table came first: it says no time"
        names = {path.name for path in folder.iterdir()}
        assert names == {"loading", "done", "failed", "coming.part"}
        assert list((folder / "loading").iterdir()) == []
        move_in(folder, FILE, b"abc\td_sid=1\n")
        wait_until(lambda: f"{FILE}~2" in receipts(folder / "done"), "the same file again")
        assert receipts(folder / "done")[f"{FILE}~2"].repeated
        shutil.rmtree(folder)
        wait_until((folder / "done").is_dir, "the folder to be made again")
        assert engine.ready()


def move_in(folder: Path, name: str, content: bytes) -> None:
    hidden = folder / f".{name}"
    hidden.write_bytes(content)
    hidden.rename(folder / name)


def receipts(folder: Path) -> dict[str, Receipt]:
    """By the name that the file has here."""
    suffix = ".receipt.json"
    return {
        path.name.removesuffix(suffix): msgspec.json.decode(path.read_bytes(), type=Receipt)
        for path in folder.glob(f"*{suffix}")
        if (folder / path.name.removesuffix(suffix)).exists()
    }


def test_the_api_answers_for_files(engine: EngineProcess) -> None:
    """Tokens and their scopes; a ticket nobody was given; a name that is checked before anything is sent."""
    secret = json.loads(engine.arke("token", "create", "--scope", "read", "--json").stdout)["secret"]
    bearer = {"Authorization": f"Bearer {secret}"}
    target = f"/v1/onboard?name={FILE}"
    assert request(engine.admin, "POST", target, b"abc\td_sid=1\n").status == 401
    assert request(engine.admin, "POST", target, b"abc\td_sid=1\n", bearer).status == 403
    assert request(engine.admin, "GET", "/v1/onboard/nothing", None, bearer).status == 404
    assert request(engine.admin, "GET", "/v1/onboard/..%2f..", None, bearer).status in (400, 404)
    assert not (engine.data / "inbox").exists(), "nothing was kept of what was refused"


MIRROR = f"id: {{column: cookie, dpid: {COOKIES}}}\nmode: mirror\nalways: {{traits: [1]}}\n"


def test_a_mirror_that_would_empty_the_audience_fails_the_command(engine: EngineProcess) -> None:
    """Nothing is changed, until it is allowed by a columns file for this once."""
    for number in range(1, 6):
        engine.accept({"uuid": device(number), "ids": [{"dpid": COOKIES, "id": f"c{number}"}]})
    (engine.folder / "columns.yaml").write_text(MIRROR)
    (engine.folder / "once.yaml").write_text(MIRROR + "mirror_guard: 100%\n")
    (engine.folder / "monday.csv").write_text("cookie\nc1\nc2\nc3\nc4\nc5\n")
    (engine.folder / "tuesday.csv").write_text("cookie\n")
    assert onboard(engine, "--columns", "columns.yaml", "monday.csv")[0] == 0
    code, (receipt,), _ = onboard(engine, "--columns", "columns.yaml", "tuesday.csv")
    assert (code, receipt.state, receipt.reason) == (1, "failed", "mirror_guard")
    shown = engine.arke("onboard", "--columns", "columns.yaml", "tuesday.csv")
    assert "5 of 5 ids would leave trait 1 (100%), more than the 20% that may" in shown.stdout + shown.stderr
    assert held(engine, 5) == {1}
    code, (receipt,), _ = onboard(engine, "--columns", "once.yaml", "tuesday.csv")
    assert (code, receipt.state, receipt.left) == (0, "done", 5)
    assert held(engine, 5) == set()


def test_a_mirror_survives_kill_9(engine: EngineProcess) -> None:
    """Cut short among its lines, and while people leave, it goes on: who has left is who the file does not name."""
    people = 24_000
    rows = [f"{device(number)}\n" for number in range(1, people + 1)]
    (engine.folder / "monday.csv").write_text("uuid\n" + "".join(rows))
    (engine.folder / "tuesday.csv").write_text("uuid\n" + "".join(rows[::2]))
    columns = (
        "id: {column: uuid, dpid: 0}\ntarget: 12345\nmode: mirror\nalways: {traits: [1]}\nmirror_guard: 50%\n"
    )
    load_and_kill(engine, "monday.csv", (), columns)
    receipt = load_and_kill(engine, "tuesday.csv", (1_000, 6_000, 11_000), columns)
    assert (receipt.state, receipt.stored, receipt.left) == ("done", people // 2, people // 2)
    for number in (1, 2, 3, 4, people // 2 - 1, people // 2, people - 1, people):
        assert held(engine, number) == ({1} if number % 2 else set())
