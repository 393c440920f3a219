"""benchmarks/ stands on the same code as the tests: every program of it can still be started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = sorted((ROOT / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.name)
def test_what_a_program_imports_is_there(program: Path) -> None:
    paths = [str(ROOT / "src"), str(ROOT / "tests"), str(program.parent)]
    code = f"import sys; sys.path[:0] = {paths!r}; import {program.stem}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_peers_are_asked_as_the_page_says() -> None:
    environ = os.environ | {"PYTHONPATH": "src:benchmarks"}
    command = [sys.executable, "-m", "peers", "--only", "nobody"]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True)
    assert done.returncode == 2
    assert "arke-1-1, arke-1-10, arke-2-1, arke-2-10, connect-none-1" in done.stderr
    assert "outpost, convoy" in done.stderr
