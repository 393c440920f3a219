"""Catalog texts in which `§` marks where a problem is expected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.catalog.load import examine_text

if TYPE_CHECKING:
    from pathlib import Path

    from arke.catalog.place import Problem


def unmark(text: str) -> tuple[str, tuple[int, int]]:
    """The text without its mark, and the mark's line and column."""
    at = text.index("§")
    before = text[:at]
    return text.replace("§", ""), (before.count("\n") + 1, at - before.rfind("\n"))


def errors_of(text: str, name: str = "c.yaml", base_dir: Path | None = None) -> list[Problem]:
    return examine_text(text, name=name, base_dir=base_dir).errors
