"""Commands from functions: what a parameter is on the command line stands in its annotation."""

from __future__ import annotations

import inspect
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, NamedTuple, get_args, get_origin, get_type_hints

import click

from arke.cli.examples import examples_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.shell_completion import CompletionItem


class Option(NamedTuple):
    """`name` as it is typed, where it is not the parameter's. `parser` raises click.BadParameter; Tab offers what
    `complete` returns.
    """

    name: str = ""
    help: str = ""
    metavar: str | None = None
    envvar: str | None = None
    parser: Callable[[str], Any] | None = None
    file_okay: bool = True
    dir_okay: bool = True
    complete: Callable[[click.Context, click.Parameter, str], list[CompletionItem]] | None = None


class Argument(NamedTuple):
    """The same for what is typed without a name."""

    help: str = ""
    metavar: str | None = None
    parser: Callable[[str], Any] | None = None
    file_okay: bool = True
    dir_okay: bool = True
    complete: Callable[[click.Context, click.Parameter, str], list[CompletionItem]] | None = None


def command(function: Callable[..., None], words: str) -> click.Command:
    """The command that is typed as `arke` and these `words`. Its help is the docstring. Its parameters are of type
    bool, int, float, str, Path or a list of them, or None where they are left out.
    """
    hints = get_type_hints(function, include_extras=True)
    return click.Command(
        words.rpartition(" ")[2],
        callback=function,
        params=[_parameter(one, hints[name]) for name, one in inspect.signature(function).parameters.items()],
        help=inspect.getdoc(function),
        epilog=examples_of(words),
    )


class Subject(click.Group):
    """Commands that share their first word."""

    def __init__(self, name: str, purpose: str) -> None:
        super().__init__(name, help=purpose)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """In the order in which they are written."""
        return [*self.commands]

    def named(self, word: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
        """Take a function as one of its commands."""

        def take(function: Callable[..., None]) -> Callable[..., None]:
            self.add_command(command(function, f"{self.name} {word}"))
            return function

        return take


def _parameter(one: inspect.Parameter, hint: Any) -> click.Parameter:
    declared: Option | Argument = hint.__metadata__[0]
    kind = hint.__origin__
    if isinstance(kind, UnionType):
        kind = next(part for part in get_args(kind) if part is not NoneType)
    many = get_origin(kind) is list
    required = one.default is inspect.Parameter.empty
    given: dict[str, Any] = {
        "type": _type(declared, get_args(kind)[0] if many else kind),
        "help": declared.help,
        "metavar": declared.metavar,
        "shell_complete": declared.complete,
        "callback": _as_list if many else None,
    }
    # Not None where it is required: that would be taken for a value.
    given |= {"required": True} if required else {"required": False, "default": one.default}
    if isinstance(declared, Argument):
        return click.Argument([one.name], nargs=-1 if many else 1, **given)
    return click.Option(
        [one.name, declared.name or f"--{one.name.replace('_', '-')}"],
        multiple=many,
        is_flag=True if kind is bool else None,  # False would let its value be left out
        envvar=declared.envvar,
        show_envvar=True,
        show_default=one.default not in (None, ""),
        **given,
    )


def _type(declared: Option | Argument, kind: type) -> Any:
    if declared.parser is not None:
        return declared.parser
    if kind is Path:
        return _Place(file_okay=declared.file_okay, dir_okay=declared.dir_okay, path_type=Path)
    return kind


class _Place(click.Path):
    """No text, as of a variable of a script that is not set, is no path: it would be the folder one is in."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("it is empty: name a path", param, ctx)
        return super().convert(value, param, ctx)


def _as_list(_: click.Context, __: click.Parameter, given: tuple[Any, ...] | None) -> list[Any] | None:
    return [*(given or ())] or None
