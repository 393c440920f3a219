"""Every command says what it is for, in a sentence, with options in plain words and examples that parse."""

from __future__ import annotations

import inspect
import os
import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import click
import pytest
from click.testing import CliRunner

from arke.bench.command import BENCHES
from arke.cli import app
from arke.cli.commands import COMMANDS as ENTRIES
from arke.cli.commands import load
from arke.cli.examples import EXAMPLES

if TYPE_CHECKING:
    from collections.abc import Iterator

SHARED = ("--data", "--config", "--url", "--token", "--insecure", "--json")
NO_JSON = {"simulate"}
"""What it prints is JSON, a line a request."""


def commands() -> Iterator[tuple[str, click.Command]]:
    for name in ENTRIES:
        one = load(name)
        if isinstance(one, click.Group):
            yield from ((f"{name} {word}", inner) for word, inner in one.commands.items())
        else:
            yield name, one


COMMANDS = dict(commands())
FUNCTIONS = {name: command.callback for name, command in COMMANDS.items() if command.callback is not None}
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
    one: click.Command | None = app
    context, name = None, program
    while isinstance(one, click.Group):
        context = one.make_context(name, list(words), resilient_parsing=True)
        found, one, words = one.resolve_command(context, words)
        name = str(found)
    assert one is not None
    assert one.make_context(name, words, context).params


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
    assert "Did you mean" in slip.stderr
    assert "'status'" in slip.stderr
    assert not slip.stdout


@pytest.mark.parametrize(("name", "parameter"), PARAMETERS)
def test_what_a_command_needs_is_asked_for(name: str, parameter: click.Parameter) -> None:
    """What its function has a default for may be left out; all else may not."""
    given = inspect.signature(FUNCTIONS[name]).parameters[str(parameter.name)]
    assert parameter.required == (given.default is inspect.Parameter.empty)
    context = click.Context(COMMANDS[name])
    if parameter.required:
        with pytest.raises(click.MissingParameter):
            parameter.handle_parse_result(context, {}, [])
    else:
        found, _ = parameter.handle_parse_result(context, {}, [])
        assert found == given.default
        assert type(found) is type(given.default)


@pytest.mark.parametrize(("name", "parameter"), PARAMETERS)
def test_an_option_that_takes_a_value_is_not_taken_without(name: str, parameter: click.Parameter) -> None:
    if not isinstance(parameter, click.Option) or parameter.is_flag:
        return
    option = parameter.opts[-1]
    context = click.Context(COMMANDS[name])
    with pytest.raises(click.BadOptionUsage, match="requires an argument"):
        COMMANDS[name].make_parser(context).parse_args([option])
    found, _, _ = COMMANDS[name].make_parser(context).parse_args([f"{option}=-x"])
    assert found[str(parameter.name)] in ("-x", ["-x"])


@pytest.mark.parametrize(("name", "parameter"), PARAMETERS)
def test_a_number_is_plain_digits(name: str, parameter: click.Parameter) -> None:
    context = click.Context(COMMANDS[name])
    given = inspect.signature(FUNCTIONS[name]).parameters[str(parameter.name)]
    if not {"int", "float"} & set(re.findall(r"\w+", str(given.annotation).partition(",")[0])):
        return
    for slip in ("1_0", "+1", "-1", "\N{ARABIC-INDIC DIGIT THREE}", " 1", "1e3", "nan"):
        with pytest.raises(click.BadParameter):
            parameter.type_cast_value(context, (slip,) if parameter.multiple else slip)


@pytest.mark.parametrize("option", ["--config", "--data"])
def test_an_empty_text_is_no_path(option: str) -> None:
    done = run("status", option, "")
    assert done.returncode == 2
    said = done.stderr.splitlines()[-1]
    assert said.startswith(f"Error: Invalid value for '{option}'")
    assert said.endswith(": it is empty: name a path")


def test_the_roles_are_shown_as_they_are_typed() -> None:
    assert "--role all|intake|worker|admin" in run("up", "--help", COLUMNS="100").stdout


def test_every_bench_is_named() -> None:
    told = COMMANDS["bench"].get_help(click.Context(COMMANDS["bench"]))
    assert {name for name in BENCHES if name not in re.findall(r"[\w-]+", told)} == set()


def test_a_word_that_is_none_of_a_few_is_told_which_there_are() -> None:
    done = run("up", "--role", "boss")
    assert done.returncode == 2
    said = "Error: Invalid value for '--role': 'boss' is none of all, intake, worker, admin"
    assert done.stderr.splitlines()[-1] == said


def test_a_command_is_named_in_one_line_without_being_imported() -> None:
    program = "import sys; from arke.cli import main\ntry: main()\nfinally: print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program, "--help"],
        capture_output=True,
        text=True,
        env=os.environ | {"COLUMNS": "80"},
        check=False,
    )
    text, imported = done.stdout.split("Commands:\n")[1].rsplit("\n", 2)[:2]
    assert [line.split()[0] for line in text.splitlines()] == list(ENTRIES)
    assert "..." not in text
    assert all(line.endswith(".") for line in text.splitlines())
    mine = [one for one in imported.split() if one.startswith("arke.cli.")]
    assert sorted(mine) == [
        "arke.cli.commands",
        "arke.cli.declared",
        "arke.cli.examples",
        "arke.cli.output",
        "arke.cli.shells",
    ]


def test_ctrl_c_ends_with_the_code_of_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("arke.doctor.examination.examine_installation", lambda *_: interrupted(_))
    assert CliRunner().invoke(app, ["doctor"]).exit_code == 130
