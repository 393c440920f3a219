"""SQL statements in files: each begins with a line `-- name: what_it_does`, comments after it say why."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_NAME: Final = re.compile(r"^-- name: ([a-z_0-9]+)\s*$", re.MULTILINE)


def statements(path: Path) -> Mapping[str, str]:
    """The statements of a file by name, without the semicolon at their end. Raises ValueError for a name that
    comes twice, or text before the first name that is no comment.
    """
    head, *parts = _NAME.split(path.read_text())
    if any(line.strip() and not line.startswith("--") for line in head.splitlines()):
        raise ValueError(f"{path.name}: a statement without a name")
    names, texts = parts[::2], parts[1::2]
    if len(set(names)) < len(names):
        raise ValueError(f"{path.name}: a name comes twice")
    return {name: text.strip().rstrip(";") for name, text in zip(names, texts, strict=True)}
