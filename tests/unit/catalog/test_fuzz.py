"""Whatever the text is, reading it ends: in a catalog or in a CatalogError whose problems name a place."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from arke.catalog.load import parse_catalog
from arke.catalog.stored import from_json, to_json
from arke.errors import CatalogError
from reference import ends_soon

FIXTURE = Path(__file__).parents[2] / "fixtures" / "catalog" / "spec.yaml"
YAML_TEXT = FIXTURE.read_text()
JSON_TEXT = json.dumps(yaml.load(YAML_TEXT, yaml.BaseLoader))  # noqa: S506 - BaseLoader makes text only
FRAGMENTS = st.one_of(
    st.sampled_from(
        [
            *"{}[],:&*!|>'\"%@`#-?\\\n\t \0",
            "\n  ",
            ": ",
            "- ",
            "null",
            "true",
            "1e999",
            "\\ud83d",
            "\r\n",
            "\u2028",
        ]
    ),
    st.text(max_size=5),
)
PROBLEM = re.compile(r"fuzz\.\w+:[1-9][0-9]*:[1-9][0-9]*: \S")


def read(text: str, name: str) -> None:
    problems: list[str] = []
    try:
        catalog = parse_catalog(text, name=name, base_dir=FIXTURE.parent).catalog
    except CatalogError as error:
        problems = error.problems or ["an error without a problem"]
    else:
        assert from_json(to_json(catalog)) == catalog
    assert all(PROBLEM.match(problem) for problem in problems)


def read_soon(text: str, name: str) -> None:
    assert ends_soon(lambda: read(text, name))


@st.composite
def mutated(draw: st.DrawFn, text: str) -> str:
    """The text with a few pieces cut out, put in or moved."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        stop = min(len(text), start + draw(st.integers(0, 12)))
        put = draw(FRAGMENTS)
        at = draw(st.sampled_from([start, 0, len(text)]))
        text = (
            text[:start] + put + text[stop:]
            if at == start
            else text[:at] + text[start:stop] + put + text[at:]
        )
    return text


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just("24h")),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=300)
@given(mutated(YAML_TEXT))
@example(YAML_TEXT)
def test_mutated_yaml(text: str) -> None:
    read_soon(text, "fuzz.yaml")


@settings(max_examples=300)
@given(mutated(JSON_TEXT), st.sampled_from(["fuzz.json", "fuzz.yaml"]))
@example('{"a": 1.5e999}', "fuzz.json")
def test_mutated_json(text: str, name: str) -> None:
    read_soon(text, name)


@settings(max_examples=200)
@given(st.text(max_size=60))
def test_any_text(text: str) -> None:
    read_soon(text, "fuzz.yaml")


@settings(max_examples=200)
@given(
    st.sampled_from(["data_sources", "traits", "segments", "destinations"]),
    st.sampled_from(
        [
            *("id", "name", "kind", "rule", "ttl_days", "url", "batch", "linger", "signatures"),
            *("oauth2", "tls", "success", "segments", "user_dpids", "template"),
        ]
    ),
    VALUES,
)
def test_any_value_in_any_field(section: str, field: str, value: Any) -> None:
    read_soon(json.dumps({section: [{"id": 1, field: value}]}), "fuzz.yaml")
