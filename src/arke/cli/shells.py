"""What makes Tab work in a shell: its script printed, or put where the shell finds it."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Any, Final, NamedTuple

import click


class Shell(NamedTuple):
    """Paths below the user's home. A `line` of `startup` reads the script; fish finds it by itself."""

    script: str
    startup: str = ""
    line: str = ""


SHELLS: Final = {
    "bash": Shell(".config/arke/completion.bash", ".bashrc", "source {script}"),
    "zsh": Shell(
        ".config/arke/completion.zsh", ".zshrc", "autoload -Uz compinit && compinit && source {script}"
    ),
    "fish": Shell(".config/fish/completions/arke.fish"),
    "powershell": Shell(
        ".config/arke/completion.ps1", ".config/powershell/Microsoft.PowerShell_profile.ps1", ". {script}"
    ),
}
DETECTED: Final = "detected"
"""Stands for a shell that is not named."""


def show_script(ctx: click.Context, _: click.Parameter, shell: str | None) -> None:
    """Print it, and end."""
    if shell is not None and not ctx.resilient_parsing:
        sys.stdout.write(_script(ctx, _named(shell)))
        ctx.exit()


def install_script(ctx: click.Context, _: click.Parameter, shell: str | None) -> None:
    """Write it, have the shell read it when it starts, and end. Safe twice."""
    if shell is None or ctx.resilient_parsing:
        return
    name = _named(shell)
    there = SHELLS[name]
    home = _home()
    script = home / there.script
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(_script(ctx, name), encoding="utf-8")
    if there.startup:
        _append(home / there.startup, there.line.format(script=shlex.quote(str(script))))
    sys.stdout.write(f"{name}: {script} is installed; a new shell has it\n")
    ctx.exit()


def _home() -> Path:
    try:
        if os.environ.get("HOME") != "":
            return Path.home()
    except RuntimeError:
        pass
    raise click.UsageError("you have no home directory: --show-completion prints the lines")


def _append(path: Path, text: str) -> None:
    """Have the line in the file, behind what is there, whatever that is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    line = os.fsencode(text)
    with path.open("ab+") as file:
        file.seek(0)
        before = file.read()
        if line not in before.splitlines():
            file.write((b"" if before.endswith(b"\n") or not before else b"\n") + line + b"\n")


def _named(shell: str) -> str:
    """Raises BadParameter where there is nothing for it."""
    name = Path(os.environ.get("SHELL", "")).name if shell == DETECTED else shell
    name = "powershell" if name == "pwsh" else name
    if name not in SHELLS:
        raise click.BadParameter(f"name your shell: {', '.join(SHELLS)}")
    return name


def _script(ctx: click.Context, shell: str) -> str:
    from click.shell_completion import get_completion_class

    made: Any = get_completion_class(shell)
    text: str = made(ctx.command, {}, "arke", "_ARKE_COMPLETE").source()
    return text
