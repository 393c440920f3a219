"""The reference pages of the message and of templates are true: examples run, tables list what exists."""

from __future__ import annotations

import doctest
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import pytest
import yaml

from arke.delivery.body import compile_template
from arke.delivery.templates.jinja import variables
from arke.delivery.templates.jinja_filters import FILTERS
from arke.delivery.templates.macros import FIELDS, LITERALS

if TYPE_CHECKING:
    from arke.delivery.body import TemplateMessage

PAGES = Path(__file__).parents[3] / "docs" / "reference"
TEMPLATES = (PAGES / "templates.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(
    r"^```(macros|jinja2)\n(.*?)\n```\n^```(output|standard)\n(.*?)^```$", TEMPLATES, re.MULTILINE | re.DOTALL
)


def test_the_examples_of_the_message_page_run() -> None:
    outcome = doctest.testfile(str(PAGES / "message.md"), module_relative=False, encoding="utf-8")
    assert outcome.attempted >= 4
    assert outcome.failed == 0


def test_every_template_on_the_page_has_its_output() -> None:
    assert len(EXAMPLES) == len(re.findall(r"^```(?:macros|jinja2)$", TEMPLATES, re.MULTILINE)) == 4


@pytest.mark.parametrize(("language", "text", "kind", "output"), EXAMPLES)
def test_the_examples_of_the_templates_page_give_what_it_shows(
    language: str, text: str, kind: str, output: str, sample: TemplateMessage, sample_text: str
) -> None:
    """`output` is the body to the byte; `standard` is the published sample without its white space."""
    template = compile_template(text, cast('Literal["macros", "jinja2"]', language))
    body = template.render(sample).decode()
    if kind == "output":
        assert body == output.removesuffix("\n")
    else:
        assert body.replace("\n", "") == json.dumps(json.loads(sample_text), separators=(",", ":"))
        assert template.warnings == ()


def test_the_catalog_example_compiles(sample: TemplateMessage) -> None:
    (catalog,) = re.findall(r"^```yaml\n(.*?)^```$", TEMPLATES, re.MULTILINE | re.DOTALL)
    (destination,) = yaml.safe_load(catalog)["destinations"]
    language, content_type = destination["template_language"], destination["content_type"]
    template = compile_template(destination["template"], language, content_type=content_type)
    assert json.loads(template.render(sample)) == {"client": "74323", "users": 2}


def rows(section: str, header: str) -> list[str]:
    """The names in the first column of the table under `header`, in one section of the page."""
    part = TEMPLATES.split(f"\n## {section}\n")[1].split("\n## ")[0]
    table = part.split(f"| {header} | ")[1].split("\n\n")[0]
    return [name for line in table.splitlines()[2:] for name in re.findall(r"`(\w+)", line.split("|")[1])]


def test_the_tables_list_the_macros_and_fields_that_exist() -> None:
    assert rows("Macros", "macro") == [field.name for field in FIELDS["message"].values()]
    assert rows("Macros", "field of a user") == [field.name for field in FIELDS["user"].values()]
    assert rows("Macros", "field of a segment") == [field.name for field in FIELDS["segment"].values()]
    assert all(f"{name}" in TEMPLATES for name in LITERALS)


def test_the_tables_list_the_variables_fields_and_filters_that_exist(sample: TemplateMessage) -> None:
    data = cast("dict[str, list[dict[str, list[dict[str, object]]]]]", variables(sample))
    assert rows("Jinja2", "variable") == list(data)
    assert rows("Jinja2", "field of a user") == list(data["users"][0])
    assert rows("Jinja2", "field of a segment") == list(data["users"][0]["segments"][0])
    assert set(rows("Jinja2", "filter")) == set(FILTERS)
