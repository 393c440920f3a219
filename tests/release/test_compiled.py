"""The wheel of one platform: its pure modules are compiled, and do what the interpreted ones do."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from patience import PATIENCE_S
from release.conftest import ROOT, build
from servers.process import missing

SUFFIX = EXTENSION_SUFFIXES[0]
PATIENCE_WITH_MANY_S = 20 * PATIENCE_S
"""For folders of tests, and for a compiler with all modules at once."""
SINGLE = (
    *("shard/group.py", "shard/sizes.py"),
    *("delivery/window.py", "delivery/builder.py", "delivery/outcome.py"),
)
"""What is compiled of rooms that are not compiled as a whole."""
BEHAVIOUR = (
    ("unit/rules", "unit/domain", "unit/message"),
    ("unit/evaluation", "unit/shard", "unit/delivery_state", "unit/what_if"),
    ("model/test_evaluation.py",),
    (
        "simulation/test_crashes.py::test_engines_do_die",
        "simulation/test_crashes.py::test_takeovers_are_refused",
    ),
)


@pytest.fixture(scope="module")
def platform_wheel(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled as fast as a compiler can: what it makes of the same C does the same at every level."""
    if subprocess.run([sys.executable, str(tree / "tools/compiled.py")]).returncode:
        missing("C compiler with Python's headers")
    asked = {"HATCH_BUILD_HOOK_ENABLE_CUSTOM": "true", "MYPYC_OPT_LEVEL": "0"}
    return build(
        tree, "wheel", tmp_path_factory.mktemp("platform"), more=asked, patience_s=PATIENCE_WITH_MANY_S
    )


@pytest.fixture(scope="module")
def unpacked(platform_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(platform_wheel) as archive:
        archive.extractall(folder)
    return folder


def compiled(folder: Path) -> list[str]:
    """The modules of a folder that are compiled; what they share is beside the package."""
    found = [
        str(file.relative_to(folder)).removesuffix(SUFFIX) for file in folder.rglob(f"arke/**/*{SUFFIX}")
    ]
    return sorted(name.replace("/", ".").removesuffix(".__init__") for name in found)


def test_it_is_one_platforms_and_has_the_sources_too(platform_wheel: Path, wheel: Path) -> None:
    with zipfile.ZipFile(platform_wheel) as archive, zipfile.ZipFile(wheel) as other:
        inside, everywhere = (
            {name for name in one.namelist() if ".dist-info/" not in name} for one in (archive, other)
        )
    assert not platform_wheel.name.endswith("-none-any.whl")
    assert everywhere < inside
    assert {name[-len(SUFFIX) :] for name in inside - everywhere} == {SUFFIX}


def test_whatever_holds_no_structs_of_the_pure_rooms_is_compiled(unpacked: Path) -> None:
    files = [
        file
        for room in ("domain", "evaluation", "telling")
        for file in (unpacked / "arke" / room).rglob("*.py")
    ]
    names = {".".join(file.relative_to(unpacked).with_suffix("").parts): file for file in files}
    with_functions = {
        name
        for name, file in names.items()
        if ("\ndef " in file.read_text() or "\nclass " in file.read_text())
        and "msgspec.Struct" not in file.read_text()
    }
    single = {f"arke.{name.removesuffix('.py').replace('/', '.')}" for name in SINGLE}
    assert with_functions | single <= {*compiled(unpacked)}


def test_an_installation_says_in_which_form_they_run(unpacked: Path) -> None:
    for path, expected in ((unpacked, "compiled"), (ROOT / "src", "interpreted")):
        done = subprocess.run(
            [sys.executable, "-c", "from arke.form import form; print(form())"],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(path)},
            capture_output=True,
            text=True,
        )
        assert done.stdout == f"{expected}\n", done.stderr


def test_the_same_sources_give_the_same_bytes(platform_wheel: Path, tmp_path: Path) -> None:
    """Wherever they are compiled; shown with a small package, since a compiler takes its time with all."""
    assert platform_wheel.exists()
    made = []
    for place in (tmp_path / "here", tmp_path / "elsewhere" / "deeper"):
        for name in ("domain/half.py", *SINGLE):
            file = place / "source/arke" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("def half(whole: int) -> int:\n    return whole // 2\n")
            (file.parent / "__init__.py").touch()
        (place / "source/arke/__init__.py").touch()
        script = "import sys; from pathlib import Path; from compiled import compile_package"
        done = subprocess.run(
            [sys.executable, "-c", f"{script}; compile_package(Path('source'), Path('out'))"],
            cwd=place,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "tools")},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        made.append({str(file.relative_to(place)): file.read_bytes() for file in place.rglob(f"*{SUFFIX}")})
    assert len(made[0]) == len(SINGLE) + 2
    assert made[0] == made[1]


@pytest.mark.parametrize("folders", BEHAVIOUR, ids=lambda folders: folders[0].partition(":")[0])
def test_it_behaves_as_the_sources_do(unpacked: Path, folders: tuple[str, ...]) -> None:
    """The tests of what is compiled, once more."""
    tests = [str(ROOT / "tests" / folder) for folder in folders]
    options = [
        "-p",
        "release.only_compiled",
        "-p",
        "no:cacheprovider",
        "-o",
        "pythonpath=",
        "-m",
        "not soak",
        "-x",
    ]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environ |= {"PYTHONPATH": f"{unpacked}:{ROOT / 'tests'}", "ARKE_COMPILED": " ".join(compiled(unpacked))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *tests],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=PATIENCE_WITH_MANY_S,
    )
    assert done.returncode == 0, done.stdout[-5_000:] + done.stderr
