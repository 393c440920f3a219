"""A rule's error is reported where it stands in the file, however YAML or JSON writes the rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from arke.catalog.destinations import Checkers
from arke.catalog.load import examine_text, parse_catalog
from arke.errors import CatalogError, InvalidInput, RuleError
from unit.catalog.marked import errors_of, unmark

if TYPE_CHECKING:
    from collections.abc import Sequence

RULES = {
    "plain": 'traits:\n- id: 1\n  rule: c_a == "x" AND §AND c_b == "y"\n',
    "plain over two lines": 'traits:\n- id: 1\n  rule: c_a == "x"\n    AND\n     §AND c_b == "y"\n',
    "single quotes": "traits:\n- {id: 1, rule: 'c_a == ''it''\n\n   AND §AND c_b'}\n",
    "double quotes": 'traits:\n- {id: 1, rule: "c_a == \\"\\u0041\\"\\tAND \\\n    §AND c_b == 1"}\n',
    "literal block": 'traits:\n- id: 1\n  rule: |\n    c_a == "x"\n\n      AND §AND c_b == "y"\n',
    "literal block with indicators": 'traits:\n- id: 1\n  rule: |2- # why\n     c_a == "x" AND\n    §AND c\n',
    "folded block": 'traits:\n- id: 1\n  rule: >-\n    c_a == "x"\n    AND\n\n    §AND c_b == "y"\n',
    "windows line ends": 'traits:\r\n- id: 1\r\n  rule: |\r\n    c_a == "x"\r\n    AND §AND c_b == "y"\r\n',
    "beyond the basic plane": "traits: [{id: 1, rule: 'c_a == \"\U0001f600é\" AND §AND c_b'}]",
}
JSON_RULES = [
    '{"traits": [{"id": 1, "rule": "c_a == \\"x\\" AND §AND c_b == 1"}]}',
    '{"traits":\n [{"id": 1, "rule": "c_a == \\"\\ud83d\\ude00\\"\\n\\nAND §AND c_b == 1"}]}',
]


@pytest.mark.parametrize("marked", RULES.values(), ids=RULES.keys())
def test_a_bad_trait_rule_in_yaml(marked: str) -> None:
    text, place = unmark(marked)
    problems = errors_of(text)
    assert [(problem.line, problem.column) for problem in problems] == [place], problems
    assert problems[0].hint


@pytest.mark.parametrize("marked", JSON_RULES)
def test_a_bad_trait_rule_in_json(marked: str) -> None:
    text, place = unmark(marked)
    assert [(problem.line, problem.column) for problem in errors_of(text, "c.json")] == [place]


def test_a_rule_that_ends_too_early_is_reported_at_its_end() -> None:
    text, place = unmark("traits:\n- {id: 1, rule: 'c_a =='§}")
    (problem,) = errors_of(text)
    assert (problem.line, problem.column) == (place[0], place[1] - 1)


def test_a_bad_segment_rule() -> None:
    text, place = unmark(
        "traits: [{id: 7, kind: onboarded}]\nsegments:\n- id: 1\n  rule: |\n    7T AND\n    (7T OR §)\n"
    )
    (problem,) = errors_of(text)
    assert (problem.line, problem.column) == place


def test_a_segment_rule_that_everybody_fulfils_is_refused() -> None:
    (problem,) = errors_of("traits: [{id: 7, kind: onboarded}]\nsegments: [{id: 1, rule: NOT 7T}]")
    assert "without any traits" in problem.message


def _template(text: str, language: str, content_type: str) -> Sequence[str]:
    if "<" in text:
        raise RuleError(
            "unknown macro", line=2, column=text.split("\n")[1].index("<") + 1, hint="see the list"
        )
    if language == "jinja2":
        raise InvalidInput("too many loops")
    return [f"no {content_type} before"]


def _url(url: str) -> None:
    if "bad" in url:
        raise InvalidInput("a host that is not allowed")


DESTINATION = "destinations:\n- id: 1\n  client_id: c\n  url: https://d.example\n"


def test_a_template_is_checked_by_whoever_owns_templates() -> None:
    checkers = Checkers(template=_template)
    text, place = unmark(DESTINATION + "  template: |\n    {\n      §<NOPE> }\n")
    (problem,) = examine_text(text, name="c", base_dir=None, checkers=checkers).errors
    assert str(problem) == f"c:{place[0]}:{place[1]}: unknown macro (see the list)"
    loaded = parse_catalog(
        DESTINATION + "  template: x\n  content_type: text/x\n", name="c", base_dir=None, checkers=checkers
    )
    assert [warning.message for warning in loaded.warnings] == ["no text/x before"]
    with pytest.raises(CatalogError, match="c:5:13: too many loops"):
        parse_catalog(
            DESTINATION + "  template: x\n  template_language: jinja2\n",
            name="c",
            base_dir=None,
            checkers=checkers,
        )


def test_a_url_is_checked_by_whoever_dials_it() -> None:
    text = DESTINATION.replace("d.example", "bad.example")
    with pytest.raises(CatalogError, match="c:4:8: a host that is not allowed"):
        parse_catalog(text, name="c", base_dir=None, checkers=Checkers(url=_url))
