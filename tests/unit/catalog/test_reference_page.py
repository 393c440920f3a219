"""docs/reference/catalog.md describes every field of the catalog's data, and every name a file may use."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from arke.catalog import audience, credentials, destinations, endpoints, sections, signatures
from arke.catalog.load import load_catalog
from arke.domain import catalog as data

if TYPE_CHECKING:
    import msgspec

PAGE = (Path(__file__).parents[3] / "docs/reference/catalog.md").read_text()
PARTS: dict[str, tuple[type[msgspec.Struct], tuple[str, ...]]] = {
    "Data source": (data.DataSource, audience.DATA_SOURCE_FIELDS),
    "Trait": (data.Trait, audience.TRAIT_FIELDS),
    "Segment": (data.Segment, audience.SEGMENT_FIELDS),
    "Destination": (data.Destination, destinations.DESTINATION_FIELDS),
    "Batch": (data.BatchSchedule, destinations.BATCH_FIELDS),
    "Signature": (data.Signature, signatures.SIGNATURE_FIELDS),
    "Standard Webhooks": (data.StandardWebhooks, signatures.WEBHOOKS_FIELDS),
    "OAuth 2.0": (data.OAuth2, credentials.OAUTH2_FIELDS),
    "HTTP Basic": (data.BasicAuth, credentials.BASIC_AUTH_FIELDS),
    "TLS": (data.Tls, endpoints.TLS_FIELDS),
    "Mapping": (data.Mapping, destinations.MAPPING_FIELDS),
}


def part(title: str) -> str:
    """The text under one heading."""
    return re.split(r"^#+ ", PAGE.split(f"# {title}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


@pytest.mark.parametrize("title", PARTS)
def test_every_field_of_the_data_is_described(title: str) -> None:
    for field in PARTS[title][0].__struct_fields__:
        assert f"`{field}`" in part(title)


@pytest.mark.parametrize("title", PARTS)
def test_the_rows_are_the_fields_a_file_may_use_each_with_an_example(title: str) -> None:
    rows = re.findall(r"^\| `(\w+)` \|.*\| ([^|]+) \|$", part(title), re.MULTILINE)
    assert {name for name, _ in rows} == set(PARTS[title][1])
    assert all(example.startswith(f"`{name}: ") or example == "see below" for name, example in rows)


def test_every_struct_has_its_part() -> None:
    structs = {
        item for item in vars(data).values() if isinstance(item, type) and issubclass(item, data.Frozen)
    }
    assert structs == {struct for struct, _ in PARTS.values()} | {data.Frozen, data.Catalog, data.Setting}
    assert tuple(data.Catalog.__struct_fields__) == sections.SECTIONS
    for section, limit in sections.MAX_ITEMS.items():
        assert re.search(rf"^\| `{section}` \|.*\| {limit:,} \|$", PAGE, re.MULTILINE)


def test_the_first_example_loads_without_a_warning(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(PAGE.split("```yaml\n", 1)[1].split("```", 1)[0])
    assert load_catalog(file).warnings == []
