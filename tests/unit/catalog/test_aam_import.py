"""An Audience Manager configuration as a catalog: what is kept, what is said of the rest, whatever files hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arke.catalog.aam.importing import Imported, import_aam
from arke.catalog.aam.report import line
from arke.catalog.load import parse_catalog
from arke.checking import catalog_checkers
from arke.domain.catalog import Catalog, Mapping
from arke.errors import CatalogError

EXPORT = Path(__file__).with_name("aam_export")


def catalog_of(made: Imported) -> Catalog:
    """What `arke check` makes of it."""
    return parse_catalog(made.text, name="out", base_dir=None, checkers=catalog_checkers()).catalog


def imported(tmp_path: Path, *objects: Any) -> Imported:
    for number, content in enumerate(objects):
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / f"{number}.json").write_text(text)
    return import_aam([tmp_path])


def said(made: Imported) -> set[tuple[str, str, str]]:
    return {(remark.kind, remark.id, remark.field) for remark in made.remarks}


@pytest.fixture(scope="module")
def made() -> Imported:
    return import_aam([EXPORT])


def test_what_has_an_equivalent_is_kept(made: Imported) -> None:
    catalog = catalog_of(made)
    assert {source.id: (source.kind, source.integration_code) for source in catalog.data_sources} == {
        30: ("cross_device", "crm"),
        501: ("cookie", "acme"),
        12345: ("cookie", None),
        20914: ("mobile", None),
    }
    traits = {trait.id: trait for trait in catalog.traits}
    assert traits[1000].rule == 'c_category == "camera" AND c_price >= 500'
    assert (traits[1000].data_source, traits[1000].ttl_days, traits[1000].integration_code) == (
        501,
        120,
        "cam",
    )
    assert (traits[1001].kind, traits[1001].rule, traits[1001].ttl_days) == ("onboarded", 'ic == "52"', 0)
    assert (traits[1005].kind, traits[1005].ttl_days) == ("rule_based", 36_500)
    assert {number: traits[number].kind for number in (1002, 1003, 1004, 1007, 99999)} == dict.fromkeys(
        (1002, 1003, 1004, 1007, 99999), "onboarded"
    )
    segments = {segment.id: segment for segment in catalog.segments}
    assert segments.keys() == {14356, 14357, 14358, 14359}
    assert segments[14356].rule == "FREQUENCY([1000T] <= 5D) >= 2 AND NOT 1001T"
    assert (segments[14358].external, segments[14359].paused) == (True, True)
    acme, quiet = catalog.destinations
    assert (acme.id, acme.client_id, acme.user_dpids, acme.enabled) == (423, "74323", (12345,), True)
    assert acme.url == "https://destination-423.invalid/"
    assert acme.segments == (
        Mapping(segment=14356, alias="in-market", start="2012-07-03"),
        Mapping(segment=14357, start="2026-01-31", end="2099-12-31"),
    )
    assert (quiet.enabled, quiet.segments) == (
        False,
        (Mapping(segment=14356, alias="7", start="2012-11-20"),),
    )


@pytest.mark.parametrize(
    "remark",
    [
        ("file", "README.txt", ""),
        ("data_source", "30", "dataExportRestrictions"),
        ("data_source", "501", "idType"),
        ("data_source", "12345", "integrationCode"),
        ("trait", "1002", "traitType"),
        ("trait", "1003", "traitType"),
        ("trait", "1004", "traitRule"),
        ("trait", "1004", "status"),
        ("trait", "1005", "ttl"),
        ("trait", "1007", "traitRule"),
        ("trait", "99999", ""),
        ("segment", "14357", "mergeRuleDataSourceId"),
        ("segment", "14358", "segmentRule"),
        ("destination", "423", "url"),
        ("destination", "423", "dataExportLabels"),
        ("destination", "424", "client_id"),
        ("segment", "14356", "dataSourceId"),
        ("destination", "424", "user_dpids"),
        ("destination", "4033", "destinationType"),
        ("destination", "4035", "destinationType"),
        ("mapping", "423/1000", "traitType"),
        ("mapping", "65343", "sid"),
        ("mapping", "65351", "destinationId"),
        ("object", "5", "sourceKey"),
    ],
)
def test_what_has_none_is_listed(made: Imported, remark: tuple[str, str, str]) -> None:
    assert remark in said(made)


def test_an_unknown_field_is_listed_once_with_a_count_and_an_example(made: Imported) -> None:
    (remark,) = [one for one in made.remarks if one.field == "futureField"]
    assert (remark.kind, remark.id, remark.count) == ("trait", "1005", 2)
    assert line(remark).startswith("trait 1005 futureField (of 2): ")


def test_a_rule_that_is_none_here_is_told_with_its_place_and_kept_in_a_comment(made: Imported) -> None:
    (remark,) = [one for one in made.remarks if (one.id, one.field) == ("1004", "traitRule")]
    assert remark.reason.startswith("line 1, column 27: bad regular expression")
    assert '# its rule was: h_user-agent matchesregex "(?=.*bot).*"' in made.text


def test_no_secret_is_repeated(made: Imported) -> None:
    assert ("destination", "423", "signatureKey") in said(made)
    assert "canary" not in made.text + "".join(map(line, made.remarks))


def test_the_same_files_give_the_same_bytes(made: Imported) -> None:
    again = import_aam([EXPORT])
    assert (again.text, again.remarks) == (made.text, made.remarks)
    files = sorted(EXPORT.rglob("*.json"), reverse=True)
    by_name = import_aam(files)
    assert catalog_of(by_name) == catalog_of(made)


def test_comments_say_where_each_came_from(made: Imported) -> None:
    assert "  # traits-page-0.json, in /All Traits/Cameras\n  - id: 1000\n" in made.text


def test_the_newest_of_two_answers_counts(tmp_path: Path) -> None:
    old = {"dataSourceId": 1, "idType": "COOKIE", "name": "Old", "integrationCode": "x", "updateTime": 1}
    new = {"dataSourceId": 1, "idType": "COOKIE", "name": "New", "integrationCode": None, "updateTime": 2}
    made = imported(tmp_path, new, old)
    (source,) = catalog_of(made).data_sources
    assert (source.name, source.integration_code) == ("New", "x")
    assert said(made) == {("data_source", "1", "name")}


def test_a_list_and_its_details_are_one(tmp_path: Path) -> None:
    short = {"sid": 7, "name": "T", "traitType": "RULE_BASED_TRAIT", "dataSourceId": 1}
    made = imported(tmp_path, [short], {**short, "traitRule": "c_a == 1", "ttl": 3})
    (trait,) = catalog_of(made).traits
    assert (trait.rule, trait.ttl_days, made.remarks) == ("c_a == 1", 3, [])


def test_a_segment_of_a_list_without_rules_is_one(tmp_path: Path) -> None:
    made = imported(tmp_path, [{"sid": 5, "name": "S", "dataSourceId": 1, "status": 0}])
    (segment,) = catalog_of(made).segments
    assert (segment.external, segment.paused) == (True, True)
    assert said(made) == {("segment", "5", "segmentRule"), ("segment", "5", "dataSourceId")}


def test_what_is_nothing_of_a_catalog_is_counted_by_its_fields(tmp_path: Path) -> None:
    made = imported(tmp_path, [{"taxonomyId": 1, "label": "x"}, {"label": "y", "taxonomyId": 2}, 7])
    assert [(one.field, one.count) for one in made.remarks] == [("label, taxonomyId", 2), ("no object", 1)]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"dataSourceId": 1,\n "idType": }', "0.json:2:"),
        ("[1, 2", "0.json:1:"),
        ("[" * 100_000, "0.json:1"),
        ("[" * 40 + "]" * 40, "0.json: more than 32"),
    ],
)
def test_broken_json_is_told_with_its_place(tmp_path: Path, text: str, place: str) -> None:
    with pytest.raises(CatalogError) as problem:
        imported(tmp_path, text)
    assert place in str(problem.value)


def test_files_and_folders_that_are_not_there_are_told(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(CatalogError) as problem:
        import_aam([tmp_path / "nowhere", tmp_path / "empty"])
    assert len(problem.value.problems) == 2


def test_a_file_that_is_too_large_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arke.catalog.aam.export.MAX_FILE_BYTES", 10)
    with pytest.raises(CatalogError, match="pageSize"):
        imported(tmp_path, [{"dataSourceId": 1, "idType": "COOKIE"}])


def test_lines_and_objects_of_lists_are_read_as_well(tmp_path: Path) -> None:
    source = '{"dataSourceId": %d, "idType": "COOKIE"}'
    made = imported(
        tmp_path,
        "\n".join(source % number for number in (1, 2)),
        {"dataSources": [{"dataSourceId": 3, "idType": "CROSS_DEVICE"}], "traits": []},
    )
    assert [one.id for one in catalog_of(made).data_sources] == [1, 2, 3]


@pytest.mark.parametrize(
    ("url", "taken"),
    [
        ("https://dsp.example.com/segments", True),
        ("http://dsp.example.com/segments", False),
        ("https://user:pass@dsp.example.com/", False),
        ("https://dsp.example.com/?key=canary", False),
        ("https://[", False),
    ],
)
def test_an_address_is_taken_where_it_holds_no_secret(tmp_path: Path, url: str, taken: bool) -> None:
    made = imported(tmp_path, {"destinationType": "S2S", "destinationId": 1, "url": url})
    (destination,) = catalog_of(made).destinations
    assert destination.url == (url if taken else "https://destination-1.invalid/")
    assert "canary" not in made.text


ODD: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.just("0")
    | st.just([])
)
NUMBERS = st.integers(0, 6) | st.sampled_from(["3", "x", -1, 2**31, 2**70, 4.0])
FIELDS = {
    "dataSourceId": NUMBERS,
    "idType": st.sampled_from(["COOKIE", "CROSS_DEVICE", "x", None, 7]),
    "sid": NUMBERS,
    "traitType": st.sampled_from(["RULE_BASED_TRAIT", "ALGO_TRAIT", "SEGMENT", 3, 10, None]),
    "traitRule": st.sampled_from(["c_a == 1", "c_a ==", "", None, 7, 'c_a matchesregex "("']),
    "segmentRule": st.sampled_from(["1T", "2T AND NOT 3T", "NOT 1T", "x", "", None, [1]]),
    "ttl": NUMBERS | ODD,
    "folderId": NUMBERS,
    "path": st.text(max_size=5),
    "subFolders": st.lists(st.fixed_dictionaries({"folderId": NUMBERS}), max_size=2),
    "destinationId": NUMBERS,
    "destinationType": st.sampled_from(["S2S", "PUSH", "ADS", None, 1]),
    "mappingId": NUMBERS,
    "mappings": st.lists(
        st.fixed_dictionaries(
            {"sid": NUMBERS},
            optional={"traitAlias": ODD, "startDate": ODD, "endDate": ODD, "mappingId": NUMBERS},
        )
        | ODD,
        max_size=3,
    ),
    "masterDataSourceId": NUMBERS,
    "name": ODD,
    "integrationCode": ODD,
    "status": st.sampled_from(["ACTIVE", "INACTIVE", "DELETED", 1, 0, None]) | ODD,
    "startDate": ODD | st.sampled_from(["2026-01-01", "2026-13-01", 1353373234000]),
    "mergeRuleDataSourceId": NUMBERS,
    "updateTime": NUMBERS | ODD,
}
OBJECTS = st.fixed_dictionaries({}, optional=FIELDS)


@settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(objects=st.lists(OBJECTS | ODD, max_size=8))
def test_whatever_the_files_hold_becomes_a_catalog_that_check_accepts(
    tmp_path: Path, objects: list[Any]
) -> None:
    made = imported(tmp_path, [objects])
    catalog = catalog_of(made)
    assert made.counts["traits"] == len(catalog.traits)
    assert all(remark.reason and "\n" not in line(remark) for remark in made.remarks)
