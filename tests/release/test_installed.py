"""The wheel in a fresh environment, as the Dockerfile installs it: nothing of the source tree is in sight."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import arke
from release import sandbox

if TYPE_CHECKING:
    from pathlib import Path

    from release.conftest import Image


class Installed:
    """The environment of the image, with a home of its own to write to."""

    def __init__(self, image: Image, home: Path) -> None:
        self._image = image
        self.home = home

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return sandbox.run(
            command,
            binds={"/home": self.home},
            reads={"/opt": self._image.opt},
            environ={"PATH": self._image.running.environ["PATH"], "HOME": "/home"},
            workdir="/home",
        )

    def python(self, script: str) -> str:
        done = self.run("python", "-I", "-c", script)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def installed(image: Image, tmp_path: Path) -> Installed:
    return Installed(image, tmp_path)


def test_it_is_the_same_wheel_and_in_its_place(installed: Installed, image: Image, tree: Path) -> None:
    assert installed.run("arke", "--version").stdout == f"arke {arke.__version__}\n"
    assert installed.python("import arke; print(arke.__file__)").startswith("/opt/arke/lib/")
    files = {path.name for path in (image.opt / "arke").rglob("arke-*.dist-info/*")}
    assert {"LICENSE", "METADATA", "entry_points.txt"} <= files | {
        path.name for path in (image.opt / "arke").rglob("arke-*.dist-info/licenses/*")
    }


def test_what_is_optional_is_there(installed: Installed) -> None:
    installed.python("import confluent_kafka, opentelemetry.sdk, psycopg, pyarrow")


def test_nothing_that_builds_or_installs_came_along(image: Image, installed: Installed) -> None:
    there = {path.name.lower() for path in (image.opt / "arke").rglob("*.dist-info")}
    for name in ("pip", "setuptools", "wheel", "hatchling", "pytest", "mypy", "mkdocs"):
        assert not [one for one in there if one.startswith(f"{name}-")], name
    assert "No module named pip" in installed.run("python", "-m", "pip").stderr


def test_every_module_can_be_imported(installed: Installed) -> None:
    """What a module of Arke needs is among its dependencies, and not only among those of its tests."""
    script = """
import importlib, pkgutil, arke
names = [one.name for one in pkgutil.walk_packages(arke.__path__, "arke.") if not one.name.endswith("__main__")]
for name in names:
    importlib.import_module(name)
print(len(names))
"""
    assert int(installed.python(script)) > 300


def test_the_demo_runs_and_adds_up(installed: Installed) -> None:
    done = installed.run("arke", "demo", "--for", "2s", "--visitors", "300", "--json")
    assert done.returncode == 0, done.stdout[-2_000:] + done.stderr
    assert json.loads(done.stdout)["ok"] is True


CONSUMER = """
from arke.receiver import Message, parse

def users(body: bytes) -> int:
    message: Message = parse(body)
    return len(message.users)

reveal_type(parse(b""))
wrong: str = parse(b"")
"""


def test_types_reach_who_uses_the_package(installed: Installed, image: Image) -> None:
    """mypy reads them from the installed package (`py.typed`), strictly, in a project of its own."""
    (installed.home / "consumer.py").write_text(CONSUMER)
    checked = mypy(installed.home, image.opt / "arke/bin/python")
    assert 'Revealed type is "arke.receiver.message.Message"' in checked
    assert checked.count("error:") == 1
    assert "Incompatible types in assignment" in checked


def mypy(project: Path, python: Path) -> str:
    apart = ["--config-file=/dev/null", "--cache-dir=/dev/null", f"--python-executable={python}"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", *apart, "consumer.py"],
        cwd=project,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
    )
    return done.stdout + done.stderr
