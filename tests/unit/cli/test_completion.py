"""Tab offers commands, options, and ids of the catalog in force; it is silent where no engine answers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("arke.app", "arke.engine.engine", "arke.catalog.load", "apsw", "starlette")


def offered(line: str, shell: str = "bash") -> list[str]:
    words = line.split(" ")
    environment = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    code = (
        "import sys\nfrom arke.cli import main\nsys.argv[0] = 'arke'\n"
        f"try: main()\nfinally: print([one for one in {HEAVY!r} if one in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | environment | {"_ARKE_COMPLETE": f"{shell}_complete"},
        check=False,
    )
    assert done.stderr == "[]\n"
    return [one.removeprefix("plain,") for one in done.stdout.splitlines()]


def test_commands_and_options() -> None:
    assert offered("arke stat") == ["status"]
    assert offered("arke batch ") == ["run", "status"]
    assert "--rollback" in offered("arke apply --")
    assert offered("arke up --role w") == ["worker"]
    assert "--install-completion" in offered("arke --")


def test_without_an_engine_it_is_silent(tmp_path: Path) -> None:
    assert offered(f"arke resync --data {tmp_path} 4") == [""]


def arke(home: Path | str, *words: str, typed_in: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from arke.cli import main; sys.argv[0] = 'arke'; main()", *words],
        capture_output=True,
        text=True,
        env=os.environ | {"HOME": str(home), "SHELL": typed_in},
        check=False,
    )
    return done.stdout if done.returncode == 0 else f"{done.returncode}: {done.stderr}"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_a_shell_gets_its_script(tmp_path: Path, shell: str) -> None:
    assert "_ARKE_COMPLETE" in arke(tmp_path, "--show-completion", shell)
    assert arke(tmp_path, "--show-completion", typed_in=f"/usr/bin/{shell}") == arke(
        tmp_path, "--show-completion", shell
    )


def test_a_shell_that_nobody_knows_is_to_be_named(tmp_path: Path) -> None:
    for said in (
        arke(tmp_path, "--show-completion", typed_in="/bin/dash"),
        arke(tmp_path, "--install-completion", "dash"),
    ):
        assert said.startswith("2: ")
        assert said.endswith("name your shell: bash, zsh, fish, powershell\n")
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("shell", "startup"),
    [
        ("bash", ".bashrc"),
        ("zsh", ".zshrc"),
        ("powershell", ".config/powershell/Microsoft.PowerShell_profile.ps1"),
    ],
)
def test_it_is_installed_once_behind_what_is_there(tmp_path: Path, shell: str, startup: str) -> None:
    file = tmp_path / startup
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"mine # \xff")
    for _ in range(2):
        assert "is installed" in arke(tmp_path, "--install-completion", shell)
        mine, reads = map(os.fsdecode, file.read_bytes().splitlines())
        assert os.fsencode(mine) == b"mine # \xff"
        script = tmp_path / ".config" / "arke" / reads.rpartition("/")[2]
        assert str(script) in reads
        assert script.read_text() == arke(tmp_path, "--show-completion", shell)


def test_fish_finds_it_by_itself(tmp_path: Path) -> None:
    arke(tmp_path, "--install-completion", "fish")
    script = tmp_path / ".config" / "fish" / "completions" / "arke.fish"
    assert "_ARKE_COMPLETE" in script.read_text()


def test_bash_knows_it_from_then_on(tmp_path: Path) -> None:
    arke(tmp_path, "--install-completion", "bash")
    done = subprocess.run(
        ["bash", "--norc", "-c", f"source {tmp_path}/.bashrc; complete -p arke"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.endswith(" arke\n")


def test_an_empty_home_is_none() -> None:
    assert "you have no home directory" in arke("", "--install-completion", "bash")
    assert not Path("/.config/arke").exists()
