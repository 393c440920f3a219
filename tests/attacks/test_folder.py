"""Finding 13: whoever may write to the watched folder makes the engine read and write nothing elsewhere."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from e2e.engine_process import OPEN, EngineProcess
from patience import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COOKIES = 12345
LINES = "nobody\td_sid=1\n"
SOUND = f"ftp_dpm_{COOKIES}_1777600009.sync"
COLUMNS = f"id: {{column: cookie, dpid: {COOKIES}}}\nsignals: {{cookie: key}}\n"
CATALOG = json.dumps(
    {
        "data_sources": [{"id": COOKIES}],
        "traits": [{"id": 1, "kind": "onboarded", "data_source": COOKIES}],
        "segments": [{"id": 1, "rule": "1T"}],
    }
)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[EngineProcess]:
    drop = f'[onboarding]\nfolder = "{tmp_path / "drop"}"\nevery_s = 1\n'
    with EngineProcess(tmp_path, settings=OPEN + drop) as started:
        started.apply(CATALOG)
        wait_until((tmp_path / "drop" / "failed").is_dir, "the first look")
        yield started


def drop(folder: Path, name: str, text: str = LINES) -> None:
    (folder / f"{name}.part").write_text(text)
    (folder / f"{name}.part").rename(folder / name)


def passed_over(engine: EngineProcess) -> list[str]:
    lines = [json.loads(line) for line in engine.log().splitlines()]
    return [line["why"] for line in lines if line["event"] == "files_passed_over"]


def test_what_is_no_file_of_its_own_is_left(engine: EngineProcess) -> None:
    """Finding 13: links, hard links, pipes, names with control characters or too long: told once, with no name of
    theirs; the files beside them are loaded.
    """
    folder = engine.folder / "drop"
    secret = engine.folder / "secret"
    secret.write_text(LINES)
    name = f"ftp_dpm_{COOKIES}_177760000"
    odd = [f"{name}1.sync", f"{name}2.sync", f"{name}3.sync", "a\nb.csv", "a\x1b[2J.csv", "ä" * 118 + ".csv"]
    (folder / odd[0]).symlink_to(secret)
    os.link(secret, folder / odd[1])
    os.mkfifo(folder / odd[2])
    for other in odd[3:]:
        drop(folder, other)
    os.close(os.open(os.fsencode(folder) + b"/\xff\xfe.csv", os.O_CREAT | os.O_WRONLY, 0o600))
    (folder / "table.csv.columns.yaml").symlink_to(secret)
    drop(folder, "table.csv", "cookie\na\n")
    drop(folder, SOUND)
    wait_until((folder / "done" / f"{SOUND}.receipt.json").is_file, "the sound file")
    wait_until((folder / "failed" / "table.csv.receipt.json").is_file, "the table without its columns")
    assert all(os.path.lexists(folder / one) for one in odd)
    assert sorted(passed_over(engine)) == sorted(set(passed_over(engine)))
    assert len(passed_over(engine)) == 4
    assert not any(part in engine.log() for part in ("\x1b", "u001b", "ä", "u00e4"))
    (secret).unlink()  # the hard link is the only name now: a file that was moved in
    wait_until((folder / "done" / f"{odd[1]}.receipt.json").is_file, "the file with one name")


@pytest.mark.parametrize("name", ["loading", "done", "failed"])
def test_a_folder_in_it_that_is_a_link_is_not_used(engine: EngineProcess, name: str) -> None:
    """Finding 13: nothing is read or written there, or moved there; when it is a folder again, all goes on."""
    folder = engine.folder / "drop"
    elsewhere = engine.folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / f"ftp_dpm_{COOKIES}_1777600001.sync").write_text(LINES)
    (folder / name).rename(folder / f".{name}")
    (folder / name).symlink_to(elsewhere)
    drop(folder, SOUND)
    wait_until(lambda: "folder_failed" in engine.log(), "the refusal")
    assert [path.name for path in elsewhere.iterdir()] == [f"ftp_dpm_{COOKIES}_1777600001.sync"]
    (folder / name).unlink()
    (folder / f".{name}").rename(folder / name)
    wait_until((folder / "done" / f"{SOUND}.receipt.json").is_file, "the file")


def test_the_folder_itself_is_no_link(engine: EngineProcess) -> None:
    """Finding 13: exchanged by a link to another one, it is not looked into."""
    folder, elsewhere = engine.folder / "drop", engine.folder / "elsewhere"
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere)
    drop(elsewhere, SOUND)
    wait_until(lambda: "folder_failed" in engine.log(), "the refusal")
    assert (elsewhere / SOUND).is_file()


def test_a_receipt_is_written_over_nothing(engine: EngineProcess) -> None:
    """Finding 13: a link that waits under the receipt's name."""
    folder, victim = engine.folder / "drop", engine.folder / "victim"
    victim.write_text("mine")
    (folder / "done" / f"{SOUND}.receipt.json").symlink_to(victim)
    (folder / "done" / f"{SOUND}~2.receipt.json").symlink_to(engine.folder / "nothing yet")
    drop(folder, SOUND)
    wait_until((folder / "done" / f"{SOUND}~3.receipt.json").is_file, "the receipt under a free name")
    assert victim.read_text() == "mine"
    assert not (engine.folder / "nothing yet").exists()
    wait_until((folder / "done" / f"{SOUND}~3").is_file, "the file beside it")
