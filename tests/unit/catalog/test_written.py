"""A catalog that is written out is read back as the catalog that it was."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import yaml

from arke.catalog.load import load_catalog, parse_catalog
from arke.catalog.written import as_document, as_yaml
from arke.domain.catalog import Catalog, Segment

SPEC = Path(__file__).parents[2] / "fixtures/catalog/spec.yaml"

EVERYTHING = """
data_sources:
  - {id: 1, name: "007", integration_code: "0o14", kind: cross_device, declared_by: token, id_form: email_sha256,
     deny: ["1e3", "null", "x: y", "#"]}
traits:
  - {id: 10, name: "yes", data_source: 1, rule: 'c_a == "b" AND c_p >= 1', ttl_days: 0, ignore_case: true,
     d_sid: true}
  - {id: 11, kind: onboarded, integration_code: "-1.5"}
segments:
  - {id: 20, name: "Ünïcode ☃ 😀", rule: "10T"}
  - {id: 21, name: "told", ttl_days: 30, paused: true, integration_code: "0x1F"}
  - {id: 22, rule: "10T\\n  AND 11T"}
destinations:
  - id: 30
    name: "trailing blank "
    url: https://dsp.example.com/a?b=c%20d
    client_id: "74323"
    user_dpids: [0, 1]
    realtime: false
    batch: {every: 48h, at: "03:30", timezone: Europe/Berlin}
    max_users_per_request: 3
    linger: 0ms
    signatures:
      - {header: X-S, algorithm: sha256, key: "env:A", encoding: hex, prefix: "t={timestamp},v1=",
         signs: "{timestamp}.{body}"}
    standard_webhooks: [{key: "env:A"}, {key: "env:B", raw: true}]
    oauth2:
      {token_url: https://t.example.com/, credentials: "env:C", auth: body, params: {scope: a b, audience: "12"}}
    headers: {X-One: "1", X-Key: "env:D"}
    success: [200, 204]
    template: |
      {"a": "%Users%",

        "b": 1}
    template_language: jinja2
    content_type: application/json; charset=utf-8
    method: PUT
    owed: strict
    max_concurrency: 4
    max_requests_per_second: 0.5
    max_bytes_per_request: 4096
    sample_rate_denominator: 7
    supports_unsegment: false
    on_unmap: silent
    auto_alias: integration_code
    enabled: false
    segments:
      - {segment: 20, alias: "007", start: 2026-01-01, end: 2026-12-31}
      - {segment: 21}
  - {id: 31, url: https://b.example.com/, client_id: c, batch: false, basic_auth: "env:PAIR"}
  - {id: 32, url: https://b.example.com/, client_id: c, basic_auth: {username: "env:NAME", password: "file:/p"}}
  - {id: 33, url: https://b.example.com/, client_id: c, standard_webhooks: {key: "env:A"}}
"""


def loaded(text: str, base: Path | None = None) -> Catalog:
    return parse_catalog(text, name="c", base_dir=base).catalog


@pytest.fixture(params=["spec", "everything", "empty"])
def catalog(request: pytest.FixtureRequest) -> Catalog:
    if request.param == "spec":
        return load_catalog(SPEC).catalog
    return Catalog() if request.param == "empty" else loaded(EVERYTHING)


def test_as_yaml(catalog: Catalog) -> None:
    text = as_yaml(catalog)
    assert loaded(text) == catalog
    assert as_yaml(loaded(text)) == text


def test_as_json(catalog: Catalog) -> None:
    assert loaded(msgspec.json.encode(as_document(catalog)).decode()) == catalog


def test_nothing_that_every_catalog_has_is_written_out() -> None:
    document = as_document(loaded(EVERYTHING))
    assert document["destinations"][1] == {
        "id": 31,
        "url": "https://b.example.com/",
        "client_id": "c",
        "batch": False,
        "basic_auth": "env:PAIR",
    }
    assert document["destinations"][0]["batch"] == {
        "every": "48h",
        "at": "03:30",
        "timezone": "Europe/Berlin",
    }


@pytest.mark.parametrize(
    "name", ["0o14", "1e3", ".5", "~", "null", "on", "02:00", "=", "- x", "a: b", "#", "'", '"', "é "]
)
def test_a_text_stays_a_text_for_every_reader(name: str) -> None:
    written = as_yaml(Catalog(segments=(Segment(id=1, name=name),)))
    assert loaded(written).segments[0].name == name
    assert yaml.safe_load(written)["segments"][0]["name"] == name


def test_lines_stay_lines() -> None:
    written = as_yaml(loaded(EVERYTHING))
    assert '    {"a": "%Users%",\n\n      "b": 1}\n' in written
