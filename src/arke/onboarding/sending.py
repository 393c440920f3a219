"""What a command was given to load: each file with its columns, checked before the first one goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from arke.errors import InvalidInput
from arke.onboarding.columns import MAX_BYTES, columns_beside
from arke.onboarding.names import parse_name
from arke.onboarding.opening import read_small

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


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
