"""docs/reference/simulate.md is true: its example runs, its tables list what exists."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from arke.catalog.load import load_catalog
from arke.checking import catalog_checkers
from arke.simulate.network import Sent
from arke.simulate.run import Simulation
from arke.simulate.script import Privacy, Respond, Step
from unit.docs.pages import code, page, rows, section

if TYPE_CHECKING:
    from pathlib import Path

PAGE = page("simulate.md")


def block(kind: str) -> str:
    return PAGE.split(f"```{kind}\n", 1)[1].split("```", 1)[0]


def test_the_example_gives_the_output_it_shows(tmp_path: Path) -> None:
    """Four requests, statuses as the text tells, the first as printed to the byte."""
    (tmp_path / "catalog.yaml").write_text(block("yaml"))
    (tmp_path / "script.ndjson").write_text(block("ndjson"))
    sent: list[Sent] = []

    def load(path: Path) -> Any:
        return load_catalog(path, checkers=catalog_checkers()).catalog

    Simulation(load, sent).run(tmp_path / "script.ndjson", tmp_path / "catalog.yaml")
    again: list[Sent] = []
    Simulation(load, again).run(tmp_path / "script.ndjson", tmp_path / "catalog.yaml")
    assert again == sent, "the same input gives the same output"
    assert [(request.attempt, request.status) for request in sent] == [(1, 200), (1, 500), (2, 500), (1, 200)]
    assert msgspec.json.encode(sent[0]).decode() == block("output").replace("\n", "")


def test_the_tables_list_what_exists() -> None:
    actions = {code(cells[0]) for cells in rows(section(PAGE, "The script"))}
    steps = set(Step.__struct_fields__) - {"line", "at"}
    assert actions == steps | {"advance"}
    fields = [code(cells[0]) for cells in rows(section(PAGE, "The output"))]
    assert fields == list(Sent.__struct_fields__)
    for name in (*Respond.__struct_encode_fields__, *Privacy.__struct_encode_fields__):
        assert re.search(rf'"{name}"', PAGE)
