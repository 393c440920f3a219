"""What `arke check` prints, and the stored form: equal catalogs give equal bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from arke.catalog.load import check_report, load_catalog, parse_catalog
from arke.catalog.stored import from_json, to_json
from arke.errors import CatalogError
from reference import ends_soon

if TYPE_CHECKING:
    from arke.domain.catalog import Catalog

SPEC = Path(__file__).parents[2] / "fixtures" / "catalog" / "spec.yaml"


def test_a_fine_catalog_is_summed_up_and_its_warnings_shown() -> None:
    report = check_report(SPEC)
    assert report.ok
    assert report.lines[0].startswith(f"{SPEC}:4:51: warning: data source 501 is not declared (")
    assert report.lines[1:] == ["3 traits, 2 segments, 1 destination: fine, with 1 warning"]
    assert report.json["counts"] == {"data_sources": 1, "traits": 3, "segments": 2, "destinations": 1}
    assert json.loads(json.dumps(report.json))["warnings"][0]["column"] == 51


def test_a_bad_catalog_is_told_its_problems(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("segments: [{id: 1, nme: x}]\n")
    report = check_report(file)
    assert not report.ok
    assert report.lines == [f"{file}:1:20: unknown field 'nme' (did you mean name?)", "1 problem"]
    assert report.json == {
        "ok": False,
        "counts": None,
        "errors": [
            {
                "file": str(file),
                "line": 1,
                "column": 20,
                "message": "unknown field 'nme'",
                "hint": "did you mean name?",
            }
        ],
        "warnings": [],
    }


def test_a_stored_catalog_comes_back_equal() -> None:
    catalog = load_catalog(SPEC).catalog
    data = to_json(catalog)
    assert from_json(data) == catalog
    assert to_json(from_json(data)) == data


def test_equal_catalogs_are_stored_as_equal_bytes() -> None:
    one = parse_catalog("segments: [{id: 1, name: a}, {id: 2}]", name="a", base_dir=None).catalog
    two = parse_catalog('{"segments": [{"id": 2}, {"name": "a", "id": 1}]}', name="b", base_dir=None).catalog
    assert to_json(one) == to_json(two)


def test_a_catalog_that_an_earlier_arke_stored_lets_anybody_declare_and_nobody_tell() -> None:
    """Fields that it did not have are read as their defaults."""
    earlier = (
        b'{"data_sources": [{"id": 7, "name": "", "integration_code": null, "kind": "cookie"}], '
        b'"traits": [{"id": 1, "name": "", "data_source": null, "kind": "rule_based", "rule": "c_a > 1", '
        b'"ttl_days": 120, "ignore_case": false, "integration_code": null}], "segments": [], "destinations": []}'
    )
    catalog = from_json(earlier)
    assert catalog.data_sources[0].declared_by == "anyone"
    assert catalog.traits[0].d_sid is False
    text = '{"data_sources": [{"id": 7}], "traits": [{"id": 1, "rule": "c_a > 1"}]}'
    assert parse_catalog(text, name="c", base_dir=None).catalog == catalog


@pytest.mark.parametrize("data", [b"", b"[]", b'{"traits": 1}', b'{"unknown": 1}', b"[" * 100_000, b"\xff"])
def test_what_is_no_stored_catalog_is_refused(data: bytes) -> None:
    with pytest.raises(CatalogError, match="the stored catalog cannot be read"):
        from_json(data)


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_a_large_catalog_is_read_in_seconds(form: str) -> None:
    """A tenth of the limits, 10,000 traits and 2,000 segments, takes less than two seconds at full speed."""
    traits = [{"id": n, "name": f"t{n}", "rule": f'c_a == "x{n}" AND c_b >= {n}'} for n in range(1, 10_001)]
    segments = [
        {"id": n, "rule": f"frequency([{n}T,{n + 1}T] <= 5D) >= 3 AND NOT {n + 2}T"} for n in range(1, 2_001)
    ]
    text = json.dumps({"traits": traits, "segments": segments})
    if form == "yaml":
        text = (
            text[1:-1]
            .replace('"traits":', "traits:")
            .replace('"segments":', "\nsegments:")
            .replace("], \n", "]\n")
        )

    def read() -> Catalog:
        return parse_catalog(text, name=f"c.{form}", base_dir=None).catalog

    assert ends_soon(read)
    catalog = read()
    assert (len(catalog.traits), len(catalog.segments)) == (10_000, 2_000)
