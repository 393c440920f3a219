"""A command that is started without input or output, at a terminal that is not UTF-8, or with stray bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

NAME = "Zürich \N{MOVIE CAMERA}"
OLD_TERMINAL = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
"""Of a system whose locale is not UTF-8; what Python makes of C by itself is set aside."""
SHOW = f"import sys; from arke import cli; cli.app = lambda: sys.stdout.write({NAME!a}); cli.main()"


def run(*words: str | bytes, closed: str = "", **environ: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command; `closed` are redirections of a shell."""
    return subprocess.run(
        ["sh", "-c", f'exec "$0" "$@" {closed}', sys.executable, *words],
        capture_output=True,
        check=False,
        env={**os.environ, **environ},
    )


@pytest.mark.parametrize("closed", [">&-", "<&-", "<&- >&- 2>&-"])
def test_what_is_closed_leads_nowhere(closed: str, tmp_path: Path) -> None:
    (tmp_path / "catalog.yaml").write_text("{}")
    done = run("-m", "arke", "check", str(tmp_path / "catalog.yaml"), closed=closed)
    assert (done.returncode, done.stderr) == (0, b"")


def test_input_that_is_closed_has_nothing_in_it(tmp_path: Path) -> None:
    asked = ("-m", "arke", "privacy", "delete", "--file", "-", "--data", str(tmp_path))
    closed, empty = (run(*asked, closed=how) for how in ("<&-", "</dev/null"))
    assert (closed.returncode, closed.stderr) == (empty.returncode, empty.stderr)
    assert closed.returncode == 2


def test_a_terminal_shows_what_it_cannot_as_an_escape() -> None:
    shown = run("-c", SHOW, **OLD_TERMINAL)
    assert (shown.returncode, shown.stdout) == (0, b"Z\\xfcrich \\U0001f3a5")
    for_a_program = run("-c", SHOW, "--json", **OLD_TERMINAL)
    assert (for_a_program.returncode, for_a_program.stdout.decode()) == (0, NAME)


@pytest.mark.parametrize(
    "words",
    [
        (b"explain", b"--id", b"12345:\xff"),
        (b"privacy", b"access", b"--id", b"12345:\xff"),
        (b"token", b"revoke", b"\xff"),
    ],
)
def test_what_is_typed_is_utf_8(words: tuple[bytes, ...], tmp_path: Path) -> None:
    done = run("-m", "arke", *words, "--url", "http://127.0.0.1:1")
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr == b"arke: %s: this is not UTF-8\n" % words[-1].replace(b"\xff", b"\\udcff")


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "words", [("--version",), ("--help",), ("check", "catalog.yaml"), ("check", "--json", "bad")]
)
def test_an_output_that_is_full_is_work_that_failed(
    words: tuple[str, ...], unbuffered: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("catalog.yaml").write_text("{}")
    Path("bad").write_text("traits: 1")
    done = run("-m", "arke", *words, closed=">/dev/full", PYTHONUNBUFFERED=unbuffered)
    said = b"arke: the output cannot be written: no space left on device\n"
    assert (done.returncode, done.stderr) == (1, said)


LIMITED = (
    "import resource, sys; from arke import cli;"
    "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])));"
)
"""A file takes no more bytes than that, in a piece that is longer only those."""
VERSION = LIMITED + "del sys.argv[1]; cli.main()"
MUCH = LIMITED + "cli.app = lambda: [sys.stdout.write('x' * 1000) for _ in range(100)]; cli.main()"


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("taken", [0, 3])
@pytest.mark.parametrize("does", [(VERSION, "--version"), (MUCH,)])
def test_an_output_that_takes_a_part_is_work_that_failed(
    does: tuple[str, ...], taken: int, unbuffered: str, tmp_path: Path
) -> None:
    code, *words = does
    environ = {"PYTHONUNBUFFERED": unbuffered, "PYTHONDONTWRITEBYTECODE": "1"}
    done = run("-c", code, str(taken), *words, closed=f">{tmp_path}/out", **environ)
    said = b"arke: the output cannot be written: file too large\n"
    assert (done.returncode, done.stderr) == (1, said)
    assert (tmp_path / "out").stat().st_size == taken


def test_what_is_not_to_wait_is_written_at_once() -> None:
    code = (
        "import os, sys; from arke import cli;"
        "cli.app = lambda: (sys.stdout.write('a'), os.write(1, b'b'), sys.stdout.write('c'));"
        "cli.main()"
    )
    assert run("-c", code, PYTHONUNBUFFERED="1").stdout == b"abc"
    assert run("-c", code, PYTHONUNBUFFERED="").stdout == b"bac"


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_who_reads_no_further_is_told_nothing(unbuffered: str) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "wb") as pipe:
        done = subprocess.run(
            [sys.executable, "-m", "arke", "--help"],
            stdout=pipe,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, b"")
