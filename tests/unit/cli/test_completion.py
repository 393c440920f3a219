"""Tab offers commands, options, and ids of the catalog in force; it is silent where no engine answers."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

HEAVY = ("arke.app", "arke.engine.engine", "arke.catalog.load", "apsw", "starlette")


def offered(line: str, shell: str = "bash") -> list[str]:
    words = line.split(" ")
    environment = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1), "_TYPER_COMPLETE_ARGS": line}
    code = (
        "import sys\nfrom arke.cli import main\nsys.argv[0] = 'arke'\n"
        f"try: main()\nfinally: print([one for one in {HEAVY!r} if one in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | environment | {"_ARKE_COMPLETE": f"complete_{shell}"},
        check=False,
    )
    assert done.stderr == "[]\n"
    return done.stdout.splitlines()


def test_commands_and_options() -> None:
    assert offered("arke stat") == ["status"]
    assert offered("arke batch ") == ["run", "status"]
    assert "--rollback" in offered("arke apply --")
    assert "--install-completion" in offered("arke --")


def test_without_an_engine_it_is_silent(tmp_path: Path) -> None:
    assert offered(f"arke resync --data {tmp_path} 4") == [""]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_script(shell: str) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from arke.cli import main; sys.argv[0] = 'arke'; main()",
            "--show-completion",
            shell,
        ],
        capture_output=True,
        text=True,
        env=os.environ | {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
        check=True,
    )
    assert "_ARKE_COMPLETE" in done.stdout
