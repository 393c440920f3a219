"""A path that the system does not take is named in one line, and is wrong use."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from arke import cli

LONG = "a" * 300


@pytest.mark.parametrize(
    "words",
    [
        ("onboard", f"{LONG}.csv"),
        ("import", "aam", LONG, "--out", "catalog.yaml"),
        ("simulate", LONG, "--catalog", "catalog.yaml"),
        ("status", "--data", LONG),
        ("backup", "copy", "--data", LONG),
        ("doctor", "--data", LONG),
    ],
)
def test_a_name_that_is_too_long(words: tuple[str, ...], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "arke", *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("arke: ")
    assert done.stderr.endswith(": File name too long\n")
    assert done.stderr.count("\n") == 1


def test_a_system_that_has_no_more_of_something_is_no_defect(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full() -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(cli, "app", full)
    monkeypatch.setattr(cli, "_only_asks", lambda: True)  # the log of the tests stays as it is
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert said == "arke: too many open files: `arke doctor` says what this machine has\n"


@pytest.mark.parametrize(
    "words",
    [
        ("simulate", "read.json", "--catalog", "catalog.yaml"),
        ("simulate", "script", "--catalog", "read.json"),
        ("import", "aam", "read.json"),
        ("import", "aam", "."),
    ],
)
def test_what_is_read_is_not_written_over(words: tuple[str, ...], tmp_path: Path) -> None:
    for name in ("read.json", "catalog.yaml", "script"):
        (tmp_path / name).write_text("[]")
    (tmp_path / "another").symlink_to("read.json")
    command = [sys.executable, "-m", "arke", *words, "--out", "another"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    said = "arke: --out another: this file is read: name another one to write to\n"
    assert (done.returncode, done.stderr) == (2, said)
    assert (tmp_path / "read.json").read_text() == "[]"
