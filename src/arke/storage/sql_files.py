"""SQL in files of its own: statements by name, and numbered migrations.

In a file of statements each begins with a line `-- name: what_it_does`; comments after it say why. A migration is a
file `0001_what_it_does.sql`; one that was released is never edited: what changes is the next number.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_STATEMENT: Final = re.compile(r"^-- name: ([a-z_0-9]+)\s*$", re.MULTILINE)
_MIGRATION: Final = re.compile(r"([0-9]{4})_[a-z0-9_]+\.sql")


def statements(path: Path) -> Mapping[str, str]:
    """The statements of a file by name, without the semicolon at their end. Raises ValueError for a name that
    comes twice, or text before the first name that is no comment.
    """
    head, *parts = _STATEMENT.split(path.read_text())
    if any(line.strip() and not line.startswith("--") for line in head.splitlines()):
        raise ValueError(f"{path.name}: a statement without a name")
    names, texts = parts[::2], parts[1::2]
    if len(set(names)) < len(names):
        raise ValueError(f"{path.name}: a name comes twice")
    return {name: text.strip().rstrip(";") for name, text in zip(names, texts, strict=True)}


class Migration(msgspec.Struct, frozen=True):
    """One step from a version of the schema to the next."""

    name: str
    sql: str


@cache
def migrations(folder: Path) -> tuple[Migration, ...]:
    """The migrations in a folder, the first one first. Raises ValueError unless they are numbered 1, 2, 3 ..."""
    files = sorted(folder.glob("*.sql"))
    numbers = [int(found[1]) if (found := _MIGRATION.fullmatch(file.name)) else 0 for file in files]
    if not files or numbers != list(range(1, len(files) + 1)):
        raise ValueError(f"{folder}: migrations are files 0001_name.sql, 0002_name.sql ... without a gap")
    return tuple(Migration(file.name, file.read_text()) for file in files)
