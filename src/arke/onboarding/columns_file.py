"""The columns file of a table: its text read and checked, and where it lies."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from arke.catalog.events import BadSyntax
from arke.catalog.locate import locate
from arke.catalog.place import Spot
from arke.catalog.tree import grow
from arke.catalog.yaml_events import yaml_events
from arke.domain.catalog import GLOBAL_DATA_SOURCES
from arke.errors import InvalidInput
from arke.onboarding.allowance import parse_allowance
from arke.onboarding.columns import Columns
from arke.onboarding.names import parse_name
from arke.onboarding.source import read_small

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

SUFFIX = ".columns.yaml"
"""`audience.csv` is read by `audience.csv.columns.yaml` beside it."""
MAX_BYTES = 64 * 1024
MAX_COLUMNS = 4_096

_PATH = re.compile(r"`\$((?:\.[a-z_]+|\[[0-9.]+\])*)`")
_STEP = re.compile(r"\.([a-z_]+)|\[([0-9]+)\]")
_UNKNOWN = re.compile(r"unknown field `([^`]*)`")


def parse_columns(text: str | bytes, where: str) -> Columns:
    """Raises InvalidInput saying what is wrong, and where."""
    if len(text) > MAX_BYTES:
        raise InvalidInput(f"{where}: a columns file may have {MAX_BYTES:,} bytes")
    try:
        plain = (text.decode() if isinstance(text, bytes) else text).removeprefix("\ufeff")
        # Every scalar stays the text that it is: `NULL` is a word in `nulls`, and 0 the name of a column.
        tree = grow(yaml_events(plain, str), max_keys=MAX_COLUMNS)
    except BadSyntax as error:
        place = error.place
        raise InvalidInput(f"{where}: line {place.line}, column {place.column}: {error.message}") from None
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{where}: {error}") from None
    try:
        columns = msgspec.convert(tree.value, Columns, strict=False, str_keys=True)
    except msgspec.MsgspecError as error:
        raise InvalidInput(f"{where}: {_place_of(plain, str(error))}{error}") from None
    for key, place, first in tree.duplicates:
        raise InvalidInput(
            f"{where}: line {place.line}, column {place.column}: {key!r} stands twice, first in line {first.line}"
        )
    for path, problem in _problems(columns):
        raise InvalidInput(f"{where}: {_place(plain, path)}{problem}")
    return columns


def _place(text: str, path: tuple[str | int, ...], *, on_key: bool = False) -> str:
    """Where a value stands, or the nearest that it is in; nothing where that is the whole file."""
    if not path:
        return ""
    spot = Spot(path, on_key)
    place = locate(yaml_events(text, str), text, [spot])[spot]
    return f"line {place.line}, column {place.column}: "


def _place_of(text: str, message: str) -> str:
    """Where what a message of msgspec is about stands."""
    found = _PATH.search(message)
    steps = _STEP.findall(found[1]) if found else []
    path: tuple[str | int, ...] = tuple(int(number) if number else name for name, number in steps)
    unknown = _UNKNOWN.search(message)
    return _place(text, (*path, unknown[1]), on_key=True) if unknown else _place(text, path)


def _problems(columns: Columns) -> Iterable[tuple[tuple[str | int, ...], str]]:
    """What is wrong with columns that are well formed: a path, and what to do."""
    if not columns.says_something:
        yield (), "names no traits, memberships or signals: nothing would be loaded"
    if columns.target is None and columns.id.dpid in GLOBAL_DATA_SOURCES:
        everybodys = f"ids of the global data source {columns.id.dpid} are everybody's"
        yield ("id", "dpid"), f"{everybodys}: say with `target` whose traits these are"
    if not columns.header:
        for name in columns.names:
            if not (name.isascii() and name.isdigit() and (name == "0" or name[0] != "0")):
                yield (
                    ("header",),
                    f"without a head line a column is named by its number, from 0: not {name!r}",
                )
    yield from _problems_of_a_mirror(columns)
    for field, named, always in (
        ("traits", columns.traits, columns.always.trait_flags),
        ("memberships", columns.memberships, columns.always.memberships),
    ):
        for column, subject in named.items():
            if subject in always:
                yield ("always", field), f"{subject} is also told by the column {column!r}: name it once"


def _problems_of_a_mirror(columns: Columns) -> Iterable[tuple[tuple[str | int, ...], str]]:
    if columns.mode != "mirror":
        for field, given in (("feed", columns.feed), ("mirror_guard", columns.mirror_guard != "20%")):
            if given:
                yield (field,), f"`{field}` goes with `mode: mirror`"
        return
    if not columns.subjects:
        yield ("mode",), "a mirror needs traits or memberships: nobody is in anything by signals"
    if 0 in (*columns.always.trait_flags.values(), *columns.always.memberships.values()):
        yield ("always",), "the file of a mirror says who is in: who is not in it leaves by that"
    try:
        parse_allowance(columns.mirror_guard, "mirror_guard")
    except InvalidInput as error:
        yield ("mirror_guard",), str(error)


def columns_beside(path: Path | str, folder: int | None = None) -> bytes | None:
    """The columns file that lies beside a table, None where there is none. `folder`: an open folder that `path`
    is a name in. Raises InvalidInput.
    """
    name = str(path)
    if not name.endswith((".csv", ".csv.gz", ".parquet")):
        return None
    try:
        return read_small(name + SUFFIX, MAX_BYTES + 1, folder)
    except OSError as error:
        raise InvalidInput(f"{name}{SUFFIX}: cannot be read: {error.strerror}") from None


class Outgoing(NamedTuple):
    """A file to load, and the text of its columns file if it is a table."""

    path: Path
    columns: str | None


def outgoing(paths: Sequence[Path], columns: Path | None) -> list[Outgoing]:
    """In the order of the times in names. Raises InvalidInput."""
    given: str | None = None
    if columns is not None:
        try:
            read = read_small(columns, MAX_BYTES + 1)
            given = None if read is None else read.decode()
        except (OSError, UnicodeDecodeError):
            given = None
        if given is None:
            raise InvalidInput(f"{columns}: cannot read this columns file")
    found = []
    for path in paths:
        if path.is_dir():
            raise InvalidInput(
                f"{path}: this is a folder: name its files, or let `onboarding.folder` watch it"
            )
        name = parse_name(path.name)
        if not path.is_file():
            raise InvalidInput(f"{path}: there is no such file")
        text: str | None = None
        if name.kind == "table":
            beside = columns_beside(path) if given is None else None
            text = given if beside is None else beside.decode(errors="replace")
        found.append((name.order, Outgoing(path, text)))
    return [one for _, one in sorted(found, key=lambda pair: pair[0])]
