"""What a catalog file becomes: SPEC's own example, defaults, units, and how unquoted YAML is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from arke.catalog.load import load_catalog, parse_catalog
from arke.catalog.stored import from_json, to_json
from arke.catalog.yaml_events import plain_scalar
from arke.checking import catalog_checkers
from arke.domain.catalog import (
    BasicAuth,
    BatchSchedule,
    Catalog,
    Destination,
    Mapping,
    OAuth2,
    Setting,
    Signature,
    StandardWebhooks,
    Tls,
)

FIXTURES = Path(__file__).parents[2] / "fixtures" / "catalog"


def parse(text: str, name: str = "c.yaml") -> Catalog:
    return parse_catalog(text, name=name, base_dir=None).catalog


def destination(fields: str) -> Destination:
    """A destination with nothing but what it must have, and these fields."""
    text = f"""
segments: [{{id: 5}}, {{id: 6, integration_code: six}}]
destinations:
  - {{id: 1, url: "https://d.example/x", client_id: c{fields}}}"""
    return parse(text).destinations[0]


def test_the_example_of_the_specification_loads_field_for_field() -> None:
    loaded = load_catalog(FIXTURES / "spec.yaml")
    assert loaded.catalog.destinations == (
        Destination(
            id=423,
            name="Acme DSP",
            url="https://dsp.example.com/segments/aam",
            client_id="74323",
            user_dpids=(12345, 20914, 20915),
            realtime=True,
            batch=BatchSchedule(every_s=86_400, at="02:00"),
            max_users_per_request=10,
            linger_ms=100,
            signatures=(Signature(key="env:ACME_KEY", header="X-Signature", algorithm="sha1"),),
            oauth2=OAuth2(token_url="https://dsp.example.com/oauth2/token", credentials="env:ACME_BASIC"),
            tls=Tls(ca_file=str(FIXTURES / "acme-ca.pem")),
            segments=(Mapping(segment=14356, alias="14356", start="2026-01-01", end="2026-12-31"),),
        ),
    )
    assert [trait.kind for trait in loaded.catalog.traits] == ["rule_based", "rule_based", "onboarded"]
    market, churn = loaded.catalog.segments[1], loaded.catalog.segments[0]
    assert (market.id, market.external, churn.id, churn.external, churn.ttl_days) == (
        14356,
        False,
        12176,
        True,
        30,
    )


def test_an_undeclared_data_source_is_a_warning_with_its_place() -> None:
    warnings = load_catalog(FIXTURES / "spec.yaml").warnings
    assert [(w.line, w.column, w.message) for w in warnings] == [(4, 51, "data source 501 is not declared")]


def test_json_and_yaml_give_equal_catalogs() -> None:
    value = {
        "data_sources": [{"id": 7, "name": "Größe \U0001f600"}],
        "traits": [{"id": 1, "rule": 'c_a == "x"', "data_source": 7}],
        "segments": [{"id": 2, "rule": "1T"}],
    }
    as_yaml = (
        "data_sources: [{id: 7, name: Größe \U0001f600}]\n"
        'traits:\n- {id: 1, rule: c_a == "x", data_source: 7}\n'
        "segments:\n- id: 2\n  rule: 1T\n"
    )
    expected = parse(as_yaml)
    assert parse(json.dumps(value), "c.json") == expected
    assert parse("\ufeff" + json.dumps(value, indent=2), "c.json") == expected


def test_braces_may_begin_a_yaml_file_too() -> None:
    assert parse("{segments: [{id: 5}]}").segments[0].id == 5


def test_parts_are_sorted_by_id_whatever_their_order_in_the_file() -> None:
    assert parse("segments: [{id: 9}, {id: 3}]") == parse("segments: [{id: 3}, {id: 9}]")


def test_a_section_may_be_left_empty() -> None:
    assert parse("traits:\nsegments: [{id: 5}]").traits == ()
    assert parse("{}") == Catalog()


def test_a_json_text_with_a_quote_and_colon_inside_a_rule_is_read_with_care_and_right() -> None:
    rule = 'c_a == "x\\":y" AND c_b == ":"'
    text = json.dumps({"traits": [{"id": 1, "rule": rule}]})
    assert parse(text, "c.json").traits[0].rule == rule


def test_defaults() -> None:
    expected = Destination(id=1, url="https://d.example/x", client_id="c")
    assert destination("") == expected
    assert destination(", batch: true") == expected
    assert (expected.batch, expected.linger_ms, expected.success) == (BatchSchedule(), 100, (200,))


@pytest.mark.parametrize(
    ("fields", "attribute", "value"),
    [
        (", linger: 0ms", "linger_ms", 0),
        (", linger: 30s", "linger_ms", 30_000),
        (", batch: false", "batch", None),
        (", batch: {every: 1d}", "batch", BatchSchedule(every_s=86_400, at="02:00")),
        (", batch: {every: 36h, at: 23:59}", "batch", BatchSchedule(every_s=129_600, at="23:59")),
        (", realtime: false", "realtime", False),
        (", success: [200, 202, 204]", "success", (200, 202, 204)),
        (", user_dpids: [0]", "user_dpids", (0,)),
        (", max_users_per_request: 1000", "max_users_per_request", 1000),
        (", sample_rate_denominator: 100", "sample_rate_denominator", 100),
        (", supports_unsegment: false", "supports_unsegment", False),
        (", on_unmap: silent", "on_unmap", "silent"),
        (", template: '{}', template_language: jinja2", "template_language", "jinja2"),
        (", template: x, content_type: text/plain", "content_type", "text/plain"),
        (
            ", content_type: 'application/json; charset=utf-8'",
            "content_type",
            "application/json; charset=utf-8",
        ),
        (", content_type: application/vnd.acme+json;v=1", "content_type", "application/vnd.acme+json;v=1"),
        (", method: PATCH", "method", "PATCH"),
        (
            ", headers: {X-Api-Key: 'env:K', X-Version: 2, Accept: application/json}",
            "headers",
            (
                Setting(name="X-Api-Key", value="env:K"),
                Setting(name="X-Version", value="2"),
                Setting(name="Accept", value="application/json"),
            ),
        ),
        (
            ", headers: {Authorization: 'file:/run/bearer'}",
            "headers",
            (Setting(name="Authorization", value="file:/run/bearer"),),
        ),
        (", basic_auth: 'env:LOGIN'", "basic_auth", BasicAuth(pair="env:LOGIN")),
        (
            ", basic_auth: {username: me, password: 'env:P'}",
            "basic_auth",
            BasicAuth(username="me", password="env:P"),
        ),
        (
            ", standard_webhooks: {key: 'env:A'}",
            "standard_webhooks",
            StandardWebhooks(key="env:A"),
        ),
        (
            ", standard_webhooks: [{key: 'env:A'}, {key: 'env:B'}]",
            "standard_webhooks",
            StandardWebhooks(key="env:A", more=(StandardWebhooks(key="env:B"),)),
        ),
        (
            ", oauth2: {token_url: 'https://t.de', auth: body, params: {client_id: a, client_secret: 'env:S'}}",
            "oauth2",
            OAuth2(
                token_url="https://t.de",
                auth="body",
                params=(
                    Setting(name="client_id", value="a"),
                    Setting(name="client_secret", value="env:S"),
                ),
            ),
        ),
        (", enabled: false", "enabled", False),
        (
            ", segments: [{segment: 5}, {segment: 5, alias: free text}]",
            "segments",
            (Mapping(segment=5), Mapping(segment=5, alias="free text")),
        ),
        (
            ", signatures: [{key: 'env:A'}, {key: 'file:/k', header: X-Two, algorithm: sha256}]",
            "signatures",
            (Signature(key="env:A"), Signature(key="file:/k", header="X-Two", algorithm="sha256")),
        ),
    ],
)
def test_destination_fields(fields: str, attribute: str, value: Any) -> None:
    assert getattr(destination(fields), attribute) == value


def test_auto_alias_takes_the_integration_code() -> None:
    found = destination(", auto_alias: integration_code, segments: [{segment: 6}]")
    six = parse("segments: [{id: 6, integration_code: six}]").segments[0]
    assert found.alias(found.segments[0], six) == "six"


def test_tls_files_count_from_the_catalogs_folder(tmp_path: Path) -> None:
    (tmp_path / "certs").mkdir()
    for name in ("ca.pem", "c.pem", "k.pem"):
        (tmp_path / "certs" / name).write_text("x")
    file = tmp_path / "c.yaml"
    file.write_text(
        'destinations:\n- {id: 1, url: "https://d.example", client_id: c,\n'
        "   tls: {ca_file: certs/ca.pem, client_cert: certs/c.pem, client_key: certs/k.pem}}"
    )
    folder = tmp_path / "certs"
    assert load_catalog(file).catalog.destinations[0].tls == Tls(
        ca_file=str(folder / "ca.pem"), client_cert=str(folder / "c.pem"), client_key=str(folder / "k.pem")
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("02:00", "02:00"),
        ("1_000", "1_000"),
        ("on", "on"),
        ("yes", "yes"),
        ("No", "No"),
        ("y", "y"),
        ("2026-01-01", "2026-01-01"),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("", None),
        ("Null", None),
        ("12", 12),
        ("-3", -3),
        ("007", 7),
        ("0o17", 15),
        ("0x1F", 31),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("-", "-"),
        ("+", "+"),
        ("1.2.3", "1.2.3"),
        ("9" * 41, "9" * 41),
    ],
)
def test_unquoted_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    found = plain_scalar(text)
    assert (found, type(found)) == (value, type(value))


def test_a_stored_catalog_of_an_earlier_version_is_read() -> None:
    """One Standard Webhooks key, and OAuth without options."""
    old = {
        "id": 1,
        "url": "https://d.example/x",
        "client_id": "c",
        "standard_webhooks": {"key": "env:A"},
        "signatures": [{"key": "env:B", "header": "X-Signature", "algorithm": "sha1"}],
        "oauth2": {"token_url": "https://d.example/t", "credentials": "env:C"},
    }
    catalog = from_json(json.dumps({"destinations": [old]}).encode())
    (found,) = catalog.destinations
    assert found.standard_webhooks == StandardWebhooks(key="env:A")
    assert found.oauth2 == OAuth2(token_url="https://d.example/t", credentials="env:C")
    assert found.signatures == (Signature(key="env:B"),)
    assert from_json(to_json(catalog)) == catalog


def test_a_body_that_is_no_json_is_a_warning_without_a_template() -> None:
    text = "destinations: [{id: 1, url: 'https://d.example', client_id: c, content_type: text/plain}]"
    (warning,) = parse_catalog(text, name="c", base_dir=None, checkers=catalog_checkers()).warnings
    assert "content_type is text/plain, but without a template the body is JSON" in str(warning)


@pytest.mark.parametrize("name", ["می\u200cخواهم", "क्\u200dष", "👨\u200d👩\u200d👧"])
def test_names_have_the_joiners_that_their_script_needs(name: str) -> None:
    assert parse(json.dumps({"segments": [{"id": 5, "name": name}]})).segments[0].name == name
