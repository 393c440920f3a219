"""benchmarks/ stands on the same code as the tests: every program of it can still be started."""

from __future__ import annotations

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
