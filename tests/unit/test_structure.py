"""The structure that the import contracts cannot check."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src/arke"
PURE = ("domain", "evaluation", "telling")


def _bases(node: ast.ClassDef) -> str:
    return " ".join(ast.unparse(base) for base in node.bases)


def _is_struct(node: ast.stmt) -> bool:
    return isinstance(node, ast.ClassDef) and ("Struct" in _bases(node) or _bases(node) == "Frozen")


def _is_plain(node: ast.stmt) -> bool:
    """Tuples with names and enumerations are compiled as they are."""
    return isinstance(node, ast.ClassDef) and _bases(node) in ("NamedTuple", "Enum")


@pytest.mark.parametrize(
    "path",
    sorted(file for room in PURE for file in (SOURCE / room).rglob("*.py")),
    ids=lambda path: path.stem,
)
def test_data_and_functions_over_it_stand_apart(path: Path) -> None:
    """A module that is compiled may not define a struct, which would lose its options (docs/decisions/0025)."""
    body = ast.parse(path.read_text()).body
    structs = [node for node in body if _is_struct(node)]
    others = [
        node
        for node in body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not _is_struct(node) and not _is_plain(node)
    ]
    assert not (structs and others)
