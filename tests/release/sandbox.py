"""A container's file system without a container engine, by Debian's bubblewrap: a root that cannot be written to,
the system's own programs as the base image, nobody's rights, and a network of its own.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from patience import PATIENCE_S
from servers.process import install, missing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

OF_THE_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib64")
OF_ITS_SETTINGS = (
    *("group", "hosts", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "nsswitch.conf", "passwd"),
    *("resolv.conf", "ssl"),
)
"""What is taken from /etc, so that an image may have files of its own beside it."""
OF_THE_BASE = "/base"
"""Where the interpreter that runs the tests has the names that it has in the image's base."""


@cache
def program() -> str:
    """bubblewrap, as long as it may make name spaces here."""
    found = shutil.which("bwrap")
    if found is None:
        install("bubblewrap")
        found = shutil.which("bwrap")
    if found is None:
        missing("bubblewrap")
    alone = [found, "--unshare-all", "--ro-bind", "/", "/", "true"]
    if subprocess.run(alone, capture_output=True).returncode:
        missing("bubblewrap that may make name spaces")
    return found


def run(
    command: Sequence[str],
    *,
    binds: Mapping[str, Path],
    reads: Mapping[str, Path] | None = None,
    environ: Mapping[str, str],
    workdir: str,
    user: int | None = None,
    network: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run a command: `binds` may be written to, `reads` not, nor anything else but /tmp."""
    python = Path(sys.base_prefix)
    arguments = [program(), "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    arguments += ["--share-net"] if network else []
    arguments += ["--uid", str(user), "--gid", str(user)] if user is not None else []
    for path in (*map(Path, OF_THE_SYSTEM), *(Path("/etc", name) for name in OF_ITS_SETTINGS)):
        arguments += _of_the_system(path)
    arguments += ["--ro-bind", str(python), str(python)]
    arguments += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]
    for inside, outside in binds.items():
        arguments += ["--bind", str(outside), inside]
    programs = f"{OF_THE_BASE}:{python}/bin:/usr/local/bin:/usr/bin:/bin"
    with _interpreter() as names:
        for inside, outside in ({OF_THE_BASE: names} | dict(reads or {})).items():
            arguments += ["--ro-bind", str(outside), inside]
        arguments += ["--remount-ro", "/", "--chdir", workdir, "--clearenv"]
        for name, value in ({"PATH": programs} | dict(environ)).items():
            arguments += ["--setenv", name, value.replace("$PATH", programs)]
        return subprocess.run(
            [*arguments, *command],
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE_S,
            stdin=subprocess.DEVNULL,
        )


def of_package_clients() -> dict[str, str]:
    """What is set here for clients of registries, so that they find theirs; what they fetched is kept."""
    set_here = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_"))}
    return set_here | {"PIP_NO_CACHE_DIR": "0", "PIP_CACHE_DIR": "/cache"}


def downloads() -> Path:
    """Where pip keeps what it has fetched."""
    folder = Path(os.environ.get("PIP_CACHE_DIR", Path.home() / ".cache" / "pip"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def _interpreter() -> Iterator[Path]:
    """A folder with `python` and `python3`: scripts and no links, so that an environment made by them knows the
    interpreter by its own path, which is there outside, too.
    """
    interpreter = Path(sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}")
    with tempfile.TemporaryDirectory(prefix="arke-base-") as folder:
        for name in ("python", "python3"):
            script = Path(folder, name)
            script.write_text(f'#!/bin/sh\nexec {shlex.quote(str(interpreter))} "$@"\n')
            script.chmod(0o755)
        yield Path(folder)


def _of_the_system(path: Path) -> list[str]:
    if path.is_symlink() and path.is_dir():
        return ["--symlink", str(path.readlink()), str(path)]
    return ["--ro-bind", str(path), str(path)] if path.exists() else []
