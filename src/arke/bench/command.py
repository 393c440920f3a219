"""Runs the chosen benches and shows what they found: a table for people, JSON for programs."""

from __future__ import annotations

import os
import platform
import shutil
import ssl
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import apsw
import msgspec
from rich.console import Console
from rich.table import Table

from arke.bench import (
    batch,
    delivery,
    end_to_end,
    estimate,
    evaluation,
    growth,
    intake,
    onboarding,
    outage,
    overload,
    stall,
    walks,
)
from arke.bench.figures import Report, Section
from arke.errors import InvalidInput
from arke.form import form
from arke.log import configure_logging

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from arke.bench.figures import Figure, Options

    Shown = Callable[[str, int, int], AbstractContextManager[object]]


def _cluster(options: Options, directory: Path) -> Section:
    if find_spec("psycopg") is None:
        missing = "psycopg is not installed: pip install 'arke[cluster]'"
        return Section(name="cluster", figures=[], missing=[missing])
    from arke.bench import cluster

    return cluster.run(options, directory)


BENCHES: dict[str, Callable[[Options, Path], Section]] = {
    "delivery": delivery.run,
    "evaluation": evaluation.run,
    "end-to-end": end_to_end.run,
    "intake": intake.run,
    "growth": growth.run,
    "walks": walks.run,
    "stall": stall.run,
    "overload": overload.run,
    "outage": outage.run,
    "batch": batch.run,
    "onboarding": onboarding.run,
    "estimate": estimate.run,
    "cluster": _cluster,
}
ALL = "all"
WARNING_LEVEL = 30


def run(which: str, options: Options, *, as_json: bool, shown: Shown) -> None:
    """Run one bench, or all, each while it is `shown`: its name, how many were before, how many there are.

    Scratch files live in a temporary directory (TMPDIR chooses the disk)."""
    if which != ALL and which not in BENCHES:
        raise InvalidInput(f"there is no benchmark {which!r}: choose {', '.join(BENCHES)} or {ALL}")
    configure_logging(WARNING_LEVEL)
    names = list(BENCHES) if which == ALL else [which]
    sections: list[Section] = []
    for name in names:
        with (
            shown(name, len(sections), len(names)),
            tempfile.TemporaryDirectory(prefix="arke-bench-") as scratch,
        ):
            sections.append(BENCHES[name](options, Path(scratch)))
        if not as_json:
            show(sections[-1])
    if as_json:
        report = Report(machine=machine(), sections=sections)
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
    else:
        show_machine()


def machine() -> dict[str, str]:
    """What the figures depend on."""
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    return {
        "cores": str(os.cpu_count()),
        "processor": _processor(),
        "kernel": platform.release(),
        "python": f"{platform.python_version()}, the pure modules {form()}",
        "tls": ssl.OPENSSL_VERSION,
        "sqlite": apsw.sqlite_lib_version(),
        "nginx": _version("nginx", "-v"),
        "wrk": _version("wrk", "-v"),
        "load average": load,
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _version(program: str, option: str) -> str:
    if shutil.which(program) is None:
        return "not installed"
    done = subprocess.run([program, option], capture_output=True, text=True, check=False)  # noqa: S603
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0] if lines else "?"


def show(section: Section) -> None:
    """One section as tables."""
    console = Console()
    table = Table("figure", "value", "target", "", "rounds", title=section.name, title_justify="left")
    for column in (1, 2):
        table.columns[column].justify = "right"
    for figure in section.figures:
        table.add_row(*_cells(figure))
    console.print(table)
    for text in section.notes:
        console.print(f"  {text}", highlight=False)
    for text in section.missing:
        console.print(f"  missing: {text}", highlight=False)
    for profile in section.profiles:
        shown = Table(
            "share", "own us", "total us", "calls", "function", title=f"{profile.title}, per {profile.unit}"
        )
        for row in profile.rows:
            shown.add_row(
                f"{row.share:.1%}", f"{row.own_us:.1f}", f"{row.total_us:.1f}", f"{row.calls:.2f}", row.where
            )
        console.print(shown)


def _cells(figure: Figure) -> Sequence[str]:
    bound = "" if figure.target is None else f"{'<=' if figure.at_most else '>='} {number(figure.target)}"
    verdict = "" if figure.reached is None else ("reached" if figure.reached else "NOT reached")
    rounds = "  ".join(number(value) for value in figure.rounds) if len(figure.rounds) > 1 else ""
    unit = f" {figure.unit}" if figure.unit else ""
    return figure.text, f"{number(figure.value)}{unit}", bound, verdict, rounds


def number(value: float) -> str:
    """As many digits as mean something."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def show_machine() -> None:
    facts = "; ".join(f"{name} {value}" for name, value in machine().items())
    Console().print(facts, highlight=False, soft_wrap=True)
