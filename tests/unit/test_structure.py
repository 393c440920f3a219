"""The structure that the import contracts cannot check."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
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


def _imports() -> dict[str, set[str]]:
    """The modules that each module imports, those that it imports for its types only included."""
    files = {
        ".".join(file.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__"): file
        for file in SOURCE.rglob("*.py")
    }
    found: dict[str, set[str]] = {name: set() for name in files}
    for name, file in files.items():
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module is not None:
                inside = {f"{node.module}.{alias.name}" for alias in node.names} & files.keys()
                found[name] |= inside or {node.module} & files.keys()
            elif isinstance(node, ast.Import):
                found[name] |= {alias.name for alias in node.names} & files.keys()
        found[name].discard(name)
    return found


def test_no_modules_import_each_other_in_a_circle() -> None:
    TopologicalSorter(_imports()).prepare()


def test_no_rooms_import_each_other_in_a_circle() -> None:
    rooms: dict[str, set[str]] = {}
    for name, imported in _imports().items():
        room = ".".join(name.split(".")[:2])
        rooms.setdefault(room, set()).update(".".join(one.split(".")[:2]) for one in imported)
    for room, imported in rooms.items():
        imported.discard(room)
    rooms.pop("arke")
    TopologicalSorter(rooms).prepare()
