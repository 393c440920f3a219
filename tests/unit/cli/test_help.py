"""Every command says what it is for, in a sentence, with options in plain words and examples that parse."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import typer

from arke.cli import app
from arke.cli.examples import EXAMPLES

if TYPE_CHECKING:
    from collections.abc import Iterator

ARKE = typer.main.get_command(app)
SHARED = ("--data", "--config", "--url", "--token", "--insecure", "--json")
NO_JSON = {"simulate"}
"""What it prints is JSON, a line a request."""


def commands(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{prefix}{name} ")
        else:
            yield prefix + name, command


COMMANDS = dict(commands(ARKE))
PARAMETERS = [(name, one) for name, command in COMMANDS.items() for one in command.params]


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "arke", *words],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        check=False,
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_begins_with_a_sentence(name: str) -> None:
    purpose = " ".join((COMMANDS[name].help or "").split("\n\n")[0].split())
    assert purpose[0].isupper()
    assert purpose.endswith(".")


@pytest.mark.parametrize(("name", "parameter"), PARAMETERS)
def test_an_option_has_its_words(name: str, parameter: Any) -> None:
    words = parameter.help or ""
    assert words.rstrip("]").endswith((".", "env:NAME|file:PATH", "100000", "100,000", "5", "1000000")), name


def test_every_command_has_examples_and_no_other() -> None:
    assert set(EXAMPLES) == set(COMMANDS)
    assert all(EXAMPLES.values())


@pytest.mark.parametrize("line", [line for lines in EXAMPLES.values() for line in lines])
def test_an_example_parses(line: str) -> None:
    program, *words = shlex.split(line)
    assert program == "arke"
    context, group, name = None, ARKE, program
    while hasattr(group, "commands"):
        group.make_context(name, list(words), context, resilient_parsing=True)
        name, *words = words
        group = group.commands[name]
    assert group.make_context(name, words, context).params


def test_shared_options_are_the_same_everywhere() -> None:
    """One declaration: `up`'s --data is `restore`'s."""
    for option in SHARED:
        said = {(one.help, one.envvar) for _, one in PARAMETERS if option in one.opts}
        assert len(said) == 1, option


def test_what_a_program_would_read_comes_as_json() -> None:
    with_json = {name for name, one in PARAMETERS if "--json" in one.opts}
    assert set(COMMANDS) - with_json == NO_JSON


def test_help_fits_a_narrow_terminal_without_colours() -> None:
    said = run("reconcile", "--help", COLUMNS="50").stdout
    text, examples = said.split("Examples:")
    assert max(map(len, text.splitlines())) <= 50
    assert "\x1b" not in said
    assert [line.strip() for line in examples.strip().splitlines()] == list(EXAMPLES["reconcile"])


def test_nothing_and_a_slip_get_help() -> None:
    alone, slip = run(), run("statu")
    assert (alone.returncode, slip.returncode) == (2, 2)
    assert "Exit codes: 0 fine" in alone.stdout + alone.stderr
    assert "Did you mean 'status'" in slip.stderr
    assert not slip.stdout


def test_a_word_that_is_none_of_a_few_is_told_which_there_are() -> None:
    done = run("up", "--role", "boss")
    assert done.returncode == 2
    said = "Error: Invalid value for '--role': 'boss' is none of all, intake, worker, admin"
    assert done.stderr.splitlines()[-1] == said
