"""A path that the system does not take is named in one line, and is wrong use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

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
