"""The unit for systemd: well-formed, little exposed, and it forbids nothing that Arke does."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from typing import TYPE_CHECKING, Final

import pytest

from release.conftest import ROOT
from servers.process import install, missing

if TYPE_CHECKING:
    from pathlib import Path

UNIT: Final = ROOT / "deploy" / "systemd" / "arke.service"
MOST_EXPOSED: Final = 1.3
"""On systemd's scale from 0 to 10, where below 2 is called OK and what is not hardened at all has 9.6."""
MANY: Final = "read,write,futex,epoll_wait,epoll_pwait,fstat,lseek,pread64,pwrite64"
"""Calls that are allowed to everybody, and too many to be written down."""
UNDER_THE_UNIT: Final = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
REFUSE_EXEC_GAIN, SET_MDWE, SET_NO_NEW_PRIVS = 1, 65, 38
if libc.prctl(SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0):
    sys.exit(77)
os.execv(sys.executable, [sys.executable, "-m", "arke", "demo", "--for", "2s", "--visitors", "200", "--json"])
"""


def program(name: str, package: str) -> str:
    if not shutil.which(name):
        install(package)
    return shutil.which(name) or missing(name)


@cache
def settings() -> dict[str, str]:
    """The unit's `[Service]`; a name that stands there twice has both values, a blank between them."""
    found: dict[str, str] = {}
    for line in UNIT.read_text().split("[Service]")[1].split("[Install]")[0].splitlines():
        name, equals, value = line.partition("=")
        if equals and not name.startswith("#"):
            found[name] = f"{found[name]} {value}" if name in found else value
    return found


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with this environment's `arke` in it: what it starts has to be there."""
    file = tmp_path / UNIT.name
    file.write_text(UNIT.read_text().replace("/opt/arke/bin/arke", f"{sys.prefix}/bin/arke"))
    return file


def test_it_is_a_unit(unit: Path) -> None:
    done = subprocess.run(
        [program("systemd-analyze", "systemd"), "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_slip_in_it_would_show(unit: Path) -> None:
    unit.write_text(unit.read_text().replace("NoNewPrivileges=", "NoNewPrivilege="))
    done = subprocess.run(
        [program("systemd-analyze", "systemd"), "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
    )
    assert "NoNewPrivilege" in done.stderr


def test_it_is_little_exposed(unit: Path) -> None:
    done = subprocess.run(
        [program("systemd-analyze", "systemd"), "security", "--offline=true", "--no-pager", str(unit)],
        capture_output=True,
        text=True,
    )
    (score,) = re.findall(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert float(score) <= MOST_EXPOSED, done.stdout
    guide = (ROOT / "deploy" / "README.md").read_text()
    assert f"**{score}**" in guide, "the page tells the exposure that is measured"


def test_what_it_forbids_arke_does_not_do(tmp_path: Path) -> None:
    """A demo with the unit's bounds on memory and rights: engine, shards, destinations. It makes no system call
    and no socket but such as the unit allows.
    """
    trace = tmp_path / "calls"
    options = ["-f", "-qq", "-o", str(trace), "-e", "signal=none", "--seccomp-bpf", "-e", f"trace=!{MANY}"]
    done = subprocess.run(
        [program("strace", "strace"), *options, sys.executable, "-c", UNDER_THE_UNIT],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    if done.returncode == 77:
        missing("kernel that forbids memory to become code (6.3)")
    assert done.returncode == 0, done.stderr + done.stdout
    assert json.loads(done.stdout)["ok"] is True
    calls = re.findall(r"^\d+ +(?:<\.\.\. )?(\w+)(?:\(| resumed)", trace.read_text(), re.MULTILINE)
    assert len(calls) > 1_000
    of_root = {"fchown"} if os.geteuid() == 0 else set()  # SQLite leaves files to whose folder it is
    assert set(calls) - allowed_calls() - of_root == set()
    families = set(re.findall(r"\bsocket(?:pair)?\((\w+)", trace.read_text()))
    assert "AF_INET" in families
    assert families - set(settings()["RestrictAddressFamilies"].split()) <= {"AF_NETLINK"}, (
        "libc does without"
    )


def allowed_calls() -> set[str]:
    """What the unit's filters leave: their sets in order, as systemd has them."""
    allowed: set[str] = set()
    taking = True
    for word in settings()["SystemCallFilter"].split():  # a tilde holds for the rest of its line
        name = word.lstrip("~")
        taking = not word.startswith("~") and (taking or name == "@system-service")
        allowed = allowed | members(name) if taking else allowed - members(name)
    return allowed | members("@default")


@cache
def members(name: str) -> frozenset[str]:
    if not name.startswith("@"):
        return frozenset({name})
    done = subprocess.run(
        [program("systemd-analyze", "systemd"), "syscall-filter", name],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line.strip() for line in done.stdout.splitlines()[1:]]
    named = [line for line in lines if line and not line.startswith("#")]
    return frozenset().union(*(members(one) for one in named))


def test_data_and_secrets_are_where_the_unit_has_them() -> None:
    starts = settings()["ExecStart"].split()
    data = starts[starts.index("--data") + 1]
    assert data.startswith(f"/var/lib/{settings()['StateDirectory']}/")
    assert settings()["StateDirectoryMode"] == "0700"
    sysusers = UNIT.with_suffix(".sysusers").read_text()
    assert f"u {settings()['User']} " in sysusers
