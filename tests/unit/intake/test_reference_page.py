"""The reference page and the code name the same codes, parameters, routes and bounds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from arke.domain.event_time import TimeProblem
from arke.domain.ids import DEVICE_ID_FORMATS
from arke.intake import dcs
from arke.intake.http import METHODS
from arke.intake.ndjson import WireEvent, WireId

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/reference/intake.md").read_text()
SOURCE = {path.name: path.read_text() for path in (ROOT / "src/arke/intake").glob("*.py")}


def section(title: str) -> str:
    return PAGE.split(f"# {title}\n", 1)[1].split("\n## ", 1)[0]


def test_every_dcs_code_has_its_row_and_no_row_is_idle() -> None:
    emitted = {int(code) for code in re.findall(r"DcsError\(\s*(\d+),", SOURCE["dcs_codes.py"])}
    rows = re.findall(r"^\| ([\d, ]+) \|", section("Codes"), re.MULTILINE)
    assert {int(code) for row in rows for code in row.split(",")} == emitted


def test_every_bulk_code_is_listed() -> None:
    emitted = {problem.name.lower() for problem in TimeProblem}
    for name in ("ndjson.py", "signals.py"):
        emitted |= set(re.findall(r'(?:EventError\(\s*|LeftOut\("\w+", )"(\w+)"', SOURCE[name]))
    emitted |= set(re.findall(r'_reject\(\w+, "(\w+)"', SOURCE["bulk.py"]))
    for name in ("bulk.py", "line_stream.py"):
        emitted |= set(re.findall(r'BodyRefused\(\s*\d+,\s*"(\w+)"', SOURCE[name]))
    assert len(emitted) > 15
    assert {code for code in emitted if f"`{code}`" not in section("Bulk events")} == set()


@pytest.mark.parametrize("name", sorted(dcs.PROTOCOL_KEYS - {"redir"} | {*WireEvent.__struct_fields__}))
def test_every_parameter_and_field_is_described(name: str) -> None:
    assert f"`{name}" in PAGE


def test_every_route_header_signal_and_device_source_is_described() -> None:
    for route in METHODS:
        assert f"`{route}`" in PAGE
    for header in dcs.HEADER_SIGNALS:
        assert f"`{header.title()}`" in PAGE
    for dpid in DEVICE_ID_FORMATS:
        assert str(dpid) in PAGE
    for field in WireId.__struct_fields__:
        assert f'"{field}"' in PAGE
