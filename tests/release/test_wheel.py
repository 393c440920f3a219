"""The wheel and the sdist: all of the package and nothing else, the same bytes wherever they are built."""

from __future__ import annotations

import subprocess
import tarfile
import tomllib
import zipfile
from email import message_from_bytes
from typing import TYPE_CHECKING

import arke
from release.conftest import ROOT, build

if TYPE_CHECKING:
    from email.message import Message
    from pathlib import Path

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (one for one in archive.namelist() if one.endswith(".dist-info/METADATA"))
        return message_from_bytes(archive.read(name))


def test_the_wheel_has_every_file_of_the_package(tree: Path, wheel: Path) -> None:
    there = {str(path.relative_to(tree / "src")) for path in (tree / "src/arke").rglob("*") if path.is_file()}
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert inside == there
    assert "arke/py.typed" in inside
    assert {path.rpartition(".")[2] for path in inside} >= {"py", "sql", "yaml", "typed"}


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    says = metadata(wheel)
    assert says["Version"] == arke.__version__
    assert wheel.name == f"arke-{arke.__version__}-py3-none-any.whl"
    assert says["License-Expression"] == "Apache-2.0"
    assert set(says.get_all("Provides-Extra", [])) == set(PROJECT["optional-dependencies"])
    assert len(says.get_all("Requires-Dist", [])) >= len(PROJECT["dependencies"])
    with zipfile.ZipFile(wheel) as archive:
        (entry,) = (one for one in archive.namelist() if one.endswith("entry_points.txt"))
        assert b"arke = arke.cli:main" in archive.read(entry)


def test_the_sdist_builds_the_same_wheel(wheel: Path, sdist: Path, tmp_path: Path) -> None:
    subprocess.run(["tar", "--extract", "--file", str(sdist), "--directory", str(tmp_path)], check=True)
    (unpacked,) = tmp_path.iterdir()
    again = build(unpacked, "wheel", tmp_path / "again")
    assert again.name == wheel.name
    assert again.read_bytes() == wheel.read_bytes()


def test_the_same_tree_gives_the_same_bytes(tree: Path, wheel: Path, sdist: Path, tmp_path: Path) -> None:
    """Whenever its files were written, and whoever may read them."""
    for path in (tree / "src").rglob("*.py"):
        path.touch()
    for kind, made in (("wheel", wheel), ("sdist", sdist)):
        again = build(tree, kind, tmp_path / kind, umask=0o077)
        assert again.name == made.name
        assert again.read_bytes() == made.read_bytes()


def test_the_sdist_has_what_a_clone_has(tree: Path, sdist: Path) -> None:
    """Tests and documents, too; what belongs to this repository alone is left out."""
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    there = {str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file()}
    assert there - inside == {".ci/run", ".dockerignore"}
    assert inside - there == {"PKG-INFO"}
