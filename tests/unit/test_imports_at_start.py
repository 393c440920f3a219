"""What a process imports when it starts is what every start of it waits for."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


def imported(program: str) -> set[str]:
    """The modules that are there after these statements, in a process of their own."""
    said = subprocess.run(
        [sys.executable, "-c", f"import sys; {program}; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(said.stdout.split())


@pytest.mark.parametrize("program", ["import arke.serve", "import arke.worker, arke.shard_app"])
def test_neither_an_engine_nor_a_shard_waits_for_what_few_need(program: str) -> None:
    assert not imported(program) & {"jinja2", "rich", "colorama", "attr", "pyarrow", "opentelemetry"}


def test_a_shard_imports_nothing_of_the_engine() -> None:
    found = imported("import arke.worker, arke.shard_app")
    rooms = ("arke.app", "arke.api", "arke.console", "arke.engine", "arke.onboarding", "arke.operations")
    assert "arke.shard.shard" in found
    assert not [name for name in found if name.startswith(rooms)]


def test_a_catalog_is_checked_without_an_engine_and_its_log(tmp_path: Path) -> None:
    (tmp_path / "catalog.yaml").write_text("{}")
    check = ["arke", "check", str(tmp_path / "catalog.yaml")]
    found = imported(f"from arke.cli import main; sys.argv = {check!r}; sys.exit = print; main()")
    rooms = ("arke.app", "arke.engine", "arke.shard", "arke.storage", "asyncio", "structlog", "http.", "xml.")
    assert "arke.catalog.load" in found
    assert not [name for name in found if name.startswith(rooms)]
