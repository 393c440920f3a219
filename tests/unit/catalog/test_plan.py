"""What a plan says of two catalogs: each change as a line, and which destinations and segments it moves."""

from __future__ import annotations

import json

import pytest

from arke.catalog.load import parse_catalog
from arke.catalog.plan import LISTED, plan
from arke.domain.catalog import Catalog, Segment, Trait

BASE = """
data_sources: [{id: 9, name: Acme}]
traits:
- {id: 1, name: Camera, rule: 'c_a == "x"', ttl_days: 30}
- {id: 2, name: Lens, rule: c_b > 1}
segments:
- {id: 10, name: In market, rule: 1T AND NOT 2T}
- {id: 11, name: Told, ttl_days: 5, integration_code: told}
- {id: 12, name: Lens only, rule: 2T}
destinations:
- id: 423
  name: DSP
  url: https://d.example/x?key=1
  client_id: c
  segments: [{segment: 10, alias: a}, {segment: 11}]
- {id: 424, name: Unmapped, url: "https://d.example", client_id: c}
"""
DSP, UNMAPPED = 423, 424


def catalog(*edits: tuple[str, str]) -> Catalog:
    text = BASE
    for old, new in edits:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return parse_catalog(text, name="c.yaml", base_dir=None).catalog


def test_without_an_old_catalog_everything_is_added() -> None:
    found = plan(None, catalog())
    assert found.lines() == [
        "+ data source 9 Acme",
        "+ trait 1 Camera",
        "+ trait 2 Lens",
        "+ segment 10 In market",
        "+ segment 11 Told",
        "+ segment 12 Lens only",
        "+ destination 423 DSP",
        "+ destination 424 Unmapped",
        "8 added, 0 changed, 0 removed",
    ]
    assert found.mapping_changed == {DSP}
    assert found.rules_changed == set()
    assert found.backfill == {10, 12}
    assert found.ids("segment", "added") == [10, 11, 12]


def test_very_many_changes_are_summed_up_by_kind() -> None:
    few = Catalog(traits=tuple(Trait(id=number, rule="c_a == 1") for number in range(1, LISTED + 1)))
    assert plan(None, few).summary() == plan(None, few).lines()
    many = Catalog(
        traits=tuple(Trait(id=number, rule="c_a == 1") for number in range(1, 1_201)),
        segments=(Segment(id=9, rule="1T"),),
    )
    found = plan(Catalog(traits=(Trait(id=5_000, rule="c_a == 1"),)), many)
    assert found.summary() == [
        "+ 1,200 traits: 1, 2, 3, 4, 5, ...",
        "- 1 trait: 5000",
        "+ 1 segment: 9",
        "1,201 added, 0 changed, 1 removed",
    ]
    assert len(found.lines()) == 1_203


def test_equal_catalogs_make_an_empty_plan() -> None:
    found = plan(catalog(), catalog())
    assert found.empty
    assert found.lines() == ["nothing changes"]


def test_the_order_of_mappings_is_no_change() -> None:
    swapped = ("[{segment: 10, alias: a}, {segment: 11}]", "[{segment: 11}, {segment: 10, alias: a}]")
    assert plan(catalog(), catalog(swapped)).empty


CASES = [
    ("NOT 2T", "NOT 2T OR 1T", "~ segment 10 rule: 1T AND NOT 2T -> 1T AND NOT 2T OR 1T", set(), {10}),
    ("ttl_days: 30", "ttl_days: 60", "~ trait 1 ttl_days: 30 -> 60", set(), {10}),
    ("c_b > 1", "c_b > 2", "~ trait 2 rule: c_b > 1 -> c_b > 2", set(), {10, 12}),
    (
        "rule: c_b > 1",
        "kind: onboarded",
        "~ trait 2 kind: rule_based -> onboarded; rule: c_b > 1 -> (none)",
        set(),
        {10, 12},
    ),
    (
        "name: Acme",
        "name: Acme, declared_by: token",
        "~ data source 9 declared_by: anyone -> token",
        set(),
        set(),
    ),
    ("c_b > 1", "c_b > 1, d_sid: true", "~ trait 2 d_sid: false -> true", set(), set()),
    ("name: Lens,", "name: Glass,", "~ trait 2 name: Lens -> Glass", set(), set()),
    ("ttl_days: 5", "ttl_days: 6", "~ segment 11 ttl_days: 5 -> 6", set(), {11}),
    ("ttl_days: 5", "ttl_days: 5, paused: true", "~ segment 11 paused: false -> true", {DSP}, set()),
    ("rule: 2T", "rule: 2T, paused: true", "~ segment 12 paused: false -> true", set(), set()),
    ("alias: a", "alias: b", "~ destination 423 segments: -[10 as 'a'] +[10 as 'b']", {DSP}, set()),
    (
        "{segment: 11}",
        "{segment: 11, start: 2026-01-01, end: 2026-02-01}",
        "~ destination 423 segments: -[11] +[11 from 2026-01-01 until 2026-02-01]",
        {DSP},
        set(),
    ),
    (", {segment: 11}", "", "~ destination 423 segments: -[11]", {DSP}, set()),
    ("name: DSP", "name: DSP\n  user_dpids: [9]", "~ destination 423 user_dpids: [0] -> [9]", {DSP}, set()),
    (
        "name: DSP",
        "name: DSP\n  supports_unsegment: false",
        "~ destination 423 supports_unsegment: true -> false",
        {DSP},
        set(),
    ),
    (
        "name: DSP",
        "name: DSP\n  on_unmap: silent",
        "~ destination 423 on_unmap: unsegment -> silent",
        {DSP},
        set(),
    ),
    (
        "name: DSP",
        "name: DSP\n  auto_alias: integration_code",
        "~ destination 423 auto_alias: segment_id -> integration_code",
        {DSP},
        set(),
    ),
    ("code: told", "code: other", "~ segment 11 integration_code: told -> other", set(), set()),
    ("name: DSP", "name: DSP\n  linger: 1s", "~ destination 423 linger_ms: 100ms -> 1000ms", set(), set()),
    (
        "name: DSP",
        "name: DSP\n  batch: false",
        "~ destination 423 batch: every 24h at 02:00 -> false",
        set(),
        set(),
    ),
    (
        "x?key=1",
        "y?key=2",
        "~ destination 423 url: https://d.example/x?... -> https://d.example/y?...",
        set(),
        set(),
    ),
    (
        "name: Unmapped",
        "name: Unmapped, user_dpids: [9]",
        "~ destination 424 user_dpids: [0] -> [9]",
        set(),
        set(),
    ),
    (
        "name: Unmapped",
        "name: Unmapped, segments: [{segment: 12}]",
        "~ destination 424 segments: +[12]",
        {UNMAPPED},
        set(),
    ),
    (
        "name: DSP",
        "name: DSP\n  signatures: [{key: 'env:K'}]",
        "~ destination 423 signatures: [] -> [X-Signature sha1 env:K]",
        set(),
        set(),
    ),
    (
        "name: DSP",
        "name: DSP\n  oauth2: {token_url: 'https://d.example/t?a', credentials: 'env:C'}",
        "~ destination 423 oauth2: (none) -> https://d.example/t?... with env:C",
        set(),
        set(),
    ),
    (
        "name: DSP",
        "name: DSP\n  headers: {X-Api-Key: 'env:K', X-Version: 2}",
        "~ destination 423 headers: [] -> [X-Api-Key: env:K, X-Version: 2]",
        set(),
        set(),
    ),
    (
        "name: DSP",
        "name: DSP\n  basic_auth: {username: me, password: 'env:P'}",
        "~ destination 423 basic_auth: (none) -> me with env:P",
        set(),
        set(),
    ),
    (
        "name: DSP",
        "name: DSP\n  standard_webhooks: [{key: 'env:A'}, {key: 'env:B', raw: true}]",
        "~ destination 423 standard_webhooks: (none) -> env:A, env:B raw",
        set(),
        set(),
    ),
    (
        "name: DSP",
        "name: DSP\n  oauth2: {token_url: 'https://t.de', credentials: 'env:C', auth: body, params: {a: b}}",
        "~ destination 423 oauth2: (none) -> https://t.de with env:C by body and a: b",
        set(),
        set(),
    ),
    (
        "name: DSP",
        "name: DSP\n  signatures: [{key: 'env:K', prefix: '{timestamp},', signs: '{timestamp}{body}'}]",
        "~ destination 423 signatures: [] -> [X-Signature sha1 after '{timestamp},' over {timestamp}{body} env:K]",
        set(),
        set(),
    ),
    ("name: DSP", "name: DSP\n  method: PUT", "~ destination 423 method: POST -> PUT", set(), set()),
    (
        '- {id: 424, name: Unmapped, url: "https://d.example", client_id: c}',
        "",
        "- destination 424 Unmapped",
        set(),
        set(),
    ),
    (
        "{id: 12, name: Lens only, rule: 2T}",
        "{id: 13, name: New, rule: 2T}",
        "+ segment 13 New",
        set(),
        set(),
    ),
]


@pytest.mark.parametrize(("old", "new", "line", "mapping_changed", "rules_changed"), CASES)
def test_one_change(
    old: str, new: str, line: str, mapping_changed: set[int], rules_changed: set[int]
) -> None:
    found = plan(catalog(), catalog((old, new)))
    assert line in found.lines()
    assert found.mapping_changed == mapping_changed
    assert found.rules_changed == rules_changed


def test_an_integration_code_that_is_sent_as_alias_changes_the_mapping() -> None:
    auto = ("name: DSP", "name: DSP\n  auto_alias: integration_code")
    found = plan(catalog(auto), catalog(auto, ("code: told", "code: other")))
    assert found.mapping_changed == {DSP}


def test_a_new_segment_with_a_rule_is_backfilled() -> None:
    added = ("{id: 12, name: Lens only, rule: 2T}", "{id: 13, rule: 2T}\n- {id: 14}")
    assert plan(catalog(), catalog(added)).backfill == {13}


def test_long_values_are_cut_in_lines_and_whole_in_the_data() -> None:
    rule = " OR ".join(["1T"] * 100)
    found = plan(catalog(), catalog(("rule: 2T", f"rule: {rule}")))
    assert len(found.lines()[0]) < 200
    assert found.changes[0].fields[0].new == rule


def test_a_plan_is_json_with_stable_bytes() -> None:
    found = plan(catalog(), catalog(("alias: a", "alias: b")))
    assert found.to_json() == found.to_json()
    assert json.loads(found.to_json()) == {
        "changes": [
            {
                "action": "changed",
                "kind": "destination",
                "id": 423,
                "name": "DSP",
                "fields": [{"field": "segments", "old": "10 as 'a'", "new": "10 as 'b'"}],
            }
        ],
        "mapping_changed": [423],
        "rules_changed": [],
        "backfill": [],
    }
