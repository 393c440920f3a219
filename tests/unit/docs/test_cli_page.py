"""docs/reference/cli.md has a section for every command, and there every option, default and variable."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click
import pytest

from arke.cli import app
from arke.cli.commands import COMMANDS as ENTRIES
from arke.cli.commands import load
from unit.docs.pages import page, section

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = page("cli.md")
KIT = page("receiver.md")
KEPT_IN_THE_KIT = {"receiver", "probe"}
"""Their options are described with the receiver kit."""


def commands() -> Iterator[tuple[str, click.Command]]:
    for name in ENTRIES:
        one = load(name)
        if isinstance(one, click.Group):
            yield from ((f"{name} {word}", inner) for word, inner in one.commands.items())
        else:
            yield name, one


COMMANDS = dict(commands())
OPTIONS = [
    (name, parameter.opts[0], parameter)
    for name, command in COMMANDS.items()
    for parameter in command.params
    if parameter.opts[0].startswith("--") and parameter.opts[0] != "--help"
]


def test_the_page_has_the_commands_that_exist() -> None:
    assert set(re.findall(r"^## `arke ([^`]+)`$", PAGE, re.MULTILINE)) == set(COMMANDS)


@pytest.mark.parametrize(("command", "option", "parameter"), OPTIONS)
def test_an_option_is_described(command: str, option: str, parameter: Any) -> None:
    text = KIT if command in KEPT_IN_THE_KIT else section(PAGE, f"`arke {command}`")
    assert re.search(rf"`{option}[ `\\[]", text), f"{option} of arke {command}"
    if parameter.envvar:
        assert f"`{parameter.envvar}`" in PAGE


def test_what_stands_before_a_command_is_described() -> None:
    """`--version`, and what makes Tab work."""
    of_arke = [one.opts[0] for one in app.params]
    assert "--install-completion" in of_arke
    assert [option for option in of_arke if f"`arke {option}`" not in PAGE] == []


def option_rows(text: str, option: str) -> list[str]:
    """The rows of tables that describe an option in their first cell."""
    return [line for line in text.splitlines() if re.match(rf"\| [^|]*`{option}[ `\\[]", line)]


@pytest.mark.parametrize(("command", "option", "parameter"), OPTIONS)
def test_a_default_is_told(command: str, option: str, parameter: Any) -> None:
    """Of options that are no flags; those of the shared table stand there."""
    default = parameter.default
    if (
        parameter.required
        or default is None
        or callable(default)
        or isinstance(default, bool)
        or default == ""
    ):
        return
    plain = str(int(default)) if isinstance(default, float) and default.is_integer() else str(default)
    own = KIT if command in KEPT_IN_THE_KIT else section(PAGE, f"`arke {command}`")
    rows = option_rows(own, option) or option_rows(section(PAGE, "Finding the engine"), option)
    assert any(plain in row.replace(",", "") for row in rows)


def test_no_option_is_described_that_does_not_exist() -> None:
    known = {option for _, option, _ in OPTIONS}
    assert set(re.findall(r"`(--[a-z-]+)", PAGE)) <= known | {"--help"}
