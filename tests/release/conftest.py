"""What is released, made once for all tests of it: sdist, wheel, and what is in the image."""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from patience import PATIENCE_S
from release import sandbox
from release.recipe import stages

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
KEPT_OUT = shutil.ignore_patterns(
    ".git", ".venv", "__pycache__", ".*_cache", ".hypothesis", "build", "dist", "arke-data", ".dmypy.json"
)


def build(
    source: Path,
    kind: str,
    out: Path,
    *,
    umask: int = 0o022,
    more: Mapping[str, str] | None = None,
    patience_s: float = PATIENCE_S,
) -> Path:
    """The sdist or wheel of a source tree, by what `pyproject.toml` names as its builder; `more` is for its
    environment. The builder leaves no bytecode in the tree, which tests share.
    """
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONDONTWRITEBYTECODE": "1",
        "SOURCE_DATE_EPOCH": "1700000000",
        **(more or {}),
    }
    before = os.umask(umask)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(out)],
            cwd=source,
            env=environment,
            capture_output=True,
            text=True,
            timeout=patience_s,
        )
    finally:
        os.umask(before)
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = out.iterdir()
    return made


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources as a clone has them."""
    copy = tmp_path_factory.mktemp("tree") / "arke"
    shutil.copytree(ROOT, copy, ignore=KEPT_OUT)
    return copy


@pytest.fixture(scope="session")
def wheel(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tree, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def sdist(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tree, "sdist", tmp_path_factory.mktemp("sdist"))


class Image:
    """The folders that the Dockerfile's stages make: what it installs, and in which stage."""

    def __init__(self, root: Path) -> None:
        self.building, self.running = stages(ROOT / "Dockerfile")
        self.opt = root / "opt"
        self._build = root / "build"

    def make(self) -> None:
        """Do what the first stage says, in a sandbox instead of a container, from the sources as they are."""
        self.opt.mkdir()
        self._build.mkdir()
        for word, rest in self.building.steps:
            if word == "COPY":
                *sources, target = shlex.split(rest)
                self._copy(sources, target)
            else:
                self._run(rest)

    def _copy(self, sources: list[str], target: str) -> None:
        into = self._build / target
        for name in sources:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, into, ignore=KEPT_OUT)
            else:
                into.mkdir(exist_ok=True)
                shutil.copy(source, into)

    def _run(self, script: str) -> None:
        done = sandbox.run(
            ["sh", "-c", script],
            binds={self.building.workdir: self._build, "/opt": self.opt, "/cache": sandbox.downloads()},
            environ=self.building.environ | sandbox.of_package_clients(),
            workdir=self.building.workdir,
            network=True,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """Made once a run, whichever of its processes comes first."""
    sandbox.program()
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder = shared / "arke-image"
    with (shared / "arke-image.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = Image(folder)
        if not (folder / "whole").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            made.make()
            (folder / "whole").touch()
    return made
