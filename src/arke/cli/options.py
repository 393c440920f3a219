"""Options that several commands share."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import click
from click.core import ParameterSource

from arke.cli.completion import destination_ids, segment_ids
from arke.cli.declared import Argument, Option
from arke.domain.digits import LARGEST_NUMBER, whole_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from arke.api.client import Client

DATA = Path("arke-data")
UNHEEDED = "--token goes with --url: without that no token is asked for, and all is allowed"


def whole(least: int = 1, most: int = LARGEST_NUMBER) -> Callable[[str], int]:
    """A parser of numbers in plain digits: what `int` takes besides (`1_0`, `+1`, `٣`) is most likely a slip."""

    def number_of(text: str) -> int:
        number = whole_number(str(text), most, least)
        if number is None:
            to = "" if most == LARGEST_NUMBER else f" to {most}"
            raise click.BadParameter(f"{text!r} is not a whole number from {least}{to} in plain digits")
        return number

    number_of.__name__ = "INTEGER"  # what the help calls it
    return number_of


def one_of(*words: str) -> Callable[[str], str]:
    """A parser of one of a few words."""

    def word_of(text: str) -> str:
        if text not in words:
            raise click.BadParameter(f"{text!r} is none of {', '.join(words)}")
        return text

    return word_of


Data = Annotated[
    Path,
    Option("--data", envvar="ARKE_DATA", help="The engine's data directory.", file_okay=False),
]
Config = Annotated[Path | None, Option("--config", help="Settings file (arke.toml).", dir_okay=False)]
Url = Annotated[str | None, Option("--url", envvar="ARKE_URL", help="A remote engine's admin API.")]
Token = Annotated[str | None, Option("--token", envvar="ARKE_TOKEN", help="API token for --url.")]
Insecure = Annotated[
    bool, Option("--insecure", help="Let --url be http:// to another machine: the token goes in clear.")
]
Json = Annotated[bool, Option("--json", help="Print JSON, for programs.")]
Dest = Annotated[
    int,
    Argument(metavar="DEST", parser=whole(), help="The destination's id.", complete=destination_ids),
]
Segment = Annotated[
    int,
    Argument(metavar="SEGMENT", parser=whole(), help="The segment's id.", complete=segment_ids),
]
OnlyDest = Annotated[
    int | None,
    Option(
        "--destination",
        metavar="DEST",
        parser=whole(),
        help="Only this destination.",
        complete=destination_ids,
    ),
]


def seconds(least: float, most: float) -> Callable[[str], float]:
    """A parser of seconds in plain digits, with a decimal point if need be."""

    def seconds_of(text: str) -> float:
        found = _SECONDS.fullmatch(str(text))
        given = float(found[0]) if found else -1.0
        if not least <= given <= most:
            raise click.BadParameter(f"{text!r} is not from {least:g} to {most:g} seconds, as 1.5")
        return given

    seconds_of.__name__ = "SECONDS"
    return seconds_of


_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


def check_out(out: Path, read: Iterable[Path]) -> None:
    """Raises InvalidInput where a file to write is one of those to read: it would be gone before it is read."""
    from arke.errors import InvalidInput

    if out.exists() and any(one.exists() and out.samefile(one) for one in read):
        raise InvalidInput(f"--out {out}: this file is read: name another one to write to")


def label(number: int, name: str) -> str:
    """A number with the name that people gave it, if they did."""
    return f"{number} {name}".rstrip()


def client(
    data: Path,
    url: str | None = None,
    token: str | None = None,
    config: Path | None = None,
    *,
    insecure: bool = False,
) -> Client:
    """A client for the engine these options mean."""
    from arke.api.reach import connect
    from arke.errors import InvalidInput
    from arke.settings import find_settings

    if url is None and typed("token"):
        _say(UNHEEDED)
    if token is not None and not (token.isascii() and token.isprintable() and " " not in token):
        raise InvalidInput(
            "the token has characters that no token has: see that no line end or space came along"
        )
    waits = _say if sys.stderr.isatty() else None
    return connect(data, url, token, find_settings(config), insecure=insecure, waits=waits)


def typed(name: str) -> bool:
    """Whether a parameter was typed: a variable of the environment may be there for something else."""
    context = click.get_current_context(silent=True)
    source = None if context is None else context.get_parameter_source(name)
    return source is ParameterSource.COMMANDLINE


def _say(text: str) -> None:
    sys.stderr.write(f"arke: {text}\n")


def catalog_text(path: Path) -> str:
    """A catalog file's text. Raises InvalidInput naming the file."""
    from arke.errors import InvalidInput

    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidInput(
            f"{path}: cannot read the catalog: {(error.strerror or 'error').lower()}"
        ) from None
    except UnicodeDecodeError:
        raise InvalidInput(f"{path}: this is not UTF-8 text") from None
