"""The build hook that compiles the pure modules with mypyc: their wheel is one platform's, and runs with less CPU.

`make compiled`, or HATCH_BUILD_HOOK_ENABLE_CUSTOM=true for any builder of wheels, asks for it; otherwise the wheel
is any platform's. The sources are in both, and both do the same. MYPYC_OPT_LEVEL is the C compiler's level, 3 by
default.
"""

from __future__ import annotations

import ast
import contextlib
import io
import os
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOMS: Final = ("domain", "evaluation", "telling", "shard/handlers")
SINGLE: Final = (
    *("shard/group.py", "shard/sizes.py"),
    *("delivery/window.py", "delivery/builder.py", "delivery/outcome.py"),
)
CONFIG: Final = "[mypy]\nignore_missing_imports = True\n"
UNWARNED: Final = "-Wno-all"
"""What Python was built with asks for warnings: to look for them in 260,000 lines of C that nobody wrote takes
twice as long as to compile these at level 0, and mypyc makes each an error.
"""
SAME_EVERYWHERE: Final = (["-ffile-prefix-map=/=/"], ["-Wl,-s", "-Wl,--build-id=none"])
"""For the compiler and the linker: the same sources give the same bytes."""


def compiled_modules(package: Path) -> list[Path]:
    """The files of the package that are compiled. A struct would lose its options: a module that defines structs
    stays as it is (docs/decisions/0025).
    """
    rooms = [file for room in ROOMS for file in (package / room).rglob("*.py")]
    found = [file for file in rooms if file.read_text(encoding="utf-8").count("\n") > 1]
    return sorted(file for file in (*found, *(package / one for one in SINGLE)) if not _has_structs(file))


def _has_structs(file: Path) -> bool:
    body = ast.parse(file.read_text(encoding="utf-8")).body
    bases = [ast.unparse(base) for node in body if isinstance(node, ast.ClassDef) for base in node.bases]
    return any("Struct" in base or base == "Frozen" for base in bases)


def compiler_found() -> bool:
    """Whether there are a C compiler and Python's headers."""
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    return shutil.which(compiler) is not None and Path(sysconfig.get_path("include"), "Python.h").exists()


def compile_package(source: Path, out: Path) -> list[Path]:
    """Compile what is to be compiled of the package in the folder `source` into `out`. Returns what is there then,
    relative to it.
    """
    source, out = source.resolve(), out.resolve()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        # In a folder of its own, so that all names in what is made are relative, and no other settings are found.
        shutil.copytree(source / "arke", "arke", ignore=shutil.ignore_patterns("__pycache__"))
        Path("mypy.ini").write_text(CONFIG, encoding="utf-8")
        with contextlib.redirect_stdout(io.StringIO()) as said:
            try:
                _compile([str(file) for file in compiled_modules(Path("arke"))], out)
            except BaseException:
                sys.stderr.write(said.getvalue())
                raise
    return sorted(file.relative_to(out) for file in out.rglob("*.so"))


def _compile(files: list[str], out: Path) -> None:
    import setuptools
    from mypyc.build import mypycify
    from setuptools.command.build_ext import build_ext

    extensions = mypycify(
        ["--config-file=mypy.ini", *files],
        group_name="arke",
        opt_level=os.environ.get("MYPYC_OPT_LEVEL", "3"),
        debug_level="0",
        target_dir="c",
    )
    for one in extensions:
        one.extra_compile_args += [UNWARNED, *SAME_EVERYWHERE[0]]
        one.extra_link_args += SAME_EVERYWHERE[1]
    command = build_ext(setuptools.Distribution({"name": "arke", "ext_modules": extensions}))
    command.build_lib, command.build_temp = str(out), "o"
    command.ensure_finalized()
    command.run()


class CompiledWheel(BuildHookInterface[Any]):
    """Adds the compiled modules to a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return  # it is the sources that are edited
        made = self._folder()
        for file in compile_package(Path(self.root) / "src", made):
            build_data["force_include"][str(made / file)] = str(file)
        build_data["infer_tag"] = True
        build_data["pure_python"] = False

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        del version, build_data, artifact_path
        shutil.rmtree(self._folder(), ignore_errors=True)

    def _folder(self) -> Path:
        return Path(self.directory) / "compiled-modules"


if __name__ == "__main__":  # `python tools/compiled.py`: can it be made here?
    sys.exit(0 if compiler_found() else 1)
