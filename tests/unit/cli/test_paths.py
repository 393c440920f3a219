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
    monkeypatch.setattr(cli, "_logs", lambda: False)  # the log of the tests stays as it is
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert said == "arke: too many open files: `arke doctor` says what this machine has\n"


AT = '{"at": "2026-01-01T00:00:00Z"'
SCRIPTS = {
    "script": f'{AT}, "advance": true}}\n',
    "applying": f'{AT}, "apply": "read"}}\n',
    "onboarding": f'{AT}, "onboard": {{"file": "read"}}}}\n',
    "table": f'{AT}, "onboard": {{"file": "a.csv"}}}}\n',
}


@pytest.mark.parametrize(
    ("words", "read", "content"),
    [
        (("simulate", "read", "--catalog", "catalog.yaml"), "read", SCRIPTS["script"]),
        (("simulate", "script", "--catalog", "read"), "read", "{}"),
        (("simulate", "applying", "--catalog", "catalog.yaml"), "read", "{}"),
        (("simulate", "onboarding", "--catalog", "catalog.yaml"), "read", "id"),
        (("simulate", "table", "--catalog", "catalog.yaml"), "a.csv", "id"),
        (("simulate", "table", "--catalog", "catalog.yaml"), "a.csv.columns.yaml", "id"),
        (("import", "aam", "export/read"), "export/read", "[]"),
        (("import", "aam", "export"), "export/read", "[]"),
        (("import", "aam", "export"), "export/read.json", "[]"),
    ],
)
def test_what_is_read_is_not_written_over(
    words: tuple[str, ...], read: str, content: str, tmp_path: Path
) -> None:
    (tmp_path / "export").mkdir()
    for name, text in {**SCRIPTS, "catalog.yaml": "{}", read: content}.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "another").symlink_to(read)
    command = [sys.executable, "-m", "arke", *words, "--out", "another"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    said = "arke: --out another: this file is read: name another one to write to\n"
    assert (done.returncode, done.stderr) == (2, said)
    assert (tmp_path / read).read_text() == content


def test_a_script_that_is_wrong_leaves_what_was_written_before(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("kept")
    (tmp_path / "catalog.yaml").write_text("{}")
    (tmp_path / "script").write_text("[]")
    command = [
        sys.executable,
        "-m",
        "arke",
        "simulate",
        "script",
        "--catalog",
        "catalog.yaml",
        "--out",
        "out",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, "script:1" in done.stderr) == (2, True), done.stderr
    assert (tmp_path / "out").read_text() == "kept"


SENT = """
data_sources: [{id: 1}]
segments: [{id: 2}]
destinations: [{id: 3, url: "https://x.example", client_id: a, user_dpids: [1], segments: [{segment: 2}]}]
"""
LINE = f'{AT}, "event": {{"ids": [{{"dpid": 1, "id": "a"}}], "memberships": {{"2": 1}}}}}}\n'


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    ("out", "named"), [((), "the output cannot be written: "), (("--out", "/dev/full"), "/dev/full: ")]
)
def test_a_request_that_cannot_be_written_is_no_failure_of_its_destination(
    out: tuple[str, ...], named: str, unbuffered: str, tmp_path: Path
) -> None:
    (tmp_path / "catalog.yaml").write_text(SENT)
    (tmp_path / "script").write_text(LINE)
    command = [sys.executable, "-m", "arke", "simulate", "script", "--catalog", "catalog.yaml", *out]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command,
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert done.stderr.lower().startswith(f"arke: {named}no space left on device")
