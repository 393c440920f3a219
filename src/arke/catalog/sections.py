"""A document's value to a catalog: its four sections read entry by entry, then checked against each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.catalog.audience import (
    DATA_SOURCE_FIELDS,
    SEGMENT_FIELDS,
    TRAIT_FIELDS,
    Placed,
    check_codes,
    check_unique,
    read_data_source,
    read_segment,
    read_trait,
)
from arke.catalog.destinations import DESTINATION_FIELDS, Checkers, read_destination
from arke.catalog.fields import Fields, as_fields
from arke.catalog.references import Parts, check_references
from arke.domain.catalog import Catalog

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path as FilePath

    from arke.catalog.place import Findings
    from arke.catalog.tree import Value

SECTIONS = ("data_sources", "traits", "segments", "destinations")
MAX_ITEMS = {"data_sources": 100_000, "traits": 100_000, "segments": 20_000, "destinations": 1_000}


def read_catalog(value: Value, findings: Findings, base_dir: FilePath | None, checkers: Checkers) -> Catalog:
    """The catalog in a document; what is wrong with it is in `findings`. Its parts are sorted by id."""
    if value is None:
        findings.error(
            (), "the catalog is empty", f"it has the sections {', '.join(SECTIONS)}; {{}} removes all"
        )
        return Catalog()
    # A section with nothing under it yet is fine, so a null there is read as an empty list.
    filled = {key: [] if item is None and key in SECTIONS else item for key, item in _mapping(value).items()}
    root = as_fields(filled if isinstance(value, dict) else value, (), SECTIONS, findings)
    if root is None:
        return Catalog()
    parts = _read_parts(root, findings, base_dir, checkers)
    _check_ids(parts, findings)
    check_references(parts, findings)
    return Catalog(
        data_sources=tuple(sorted((source for source, _ in parts.data_sources), key=lambda item: item.id)),
        traits=tuple(sorted((trait for trait, _ in parts.traits), key=lambda item: item.id)),
        segments=tuple(sorted((ruled.segment for ruled in parts.segments), key=lambda item: item.id)),
        destinations=tuple(sorted((item for item, _ in parts.destinations), key=lambda item: item.id)),
    )


def _mapping(value: Value) -> dict[str, Value]:
    return value if isinstance(value, dict) else {}


def _read_parts(root: Fields, findings: Findings, base_dir: FilePath | None, checkers: Checkers) -> Parts:
    sources = _entries(root, "data_sources", DATA_SOURCE_FIELDS)
    traits = _entries(root, "traits", TRAIT_FIELDS)
    segments = _entries(root, "segments", SEGMENT_FIELDS)
    destinations = _entries(root, "destinations", DESTINATION_FIELDS)
    return Parts(
        data_sources=[(read_data_source(fields, findings), fields.path) for fields in sources],
        traits=[(read_trait(fields, findings), fields.path) for fields in traits],
        segments=[read_segment(fields, findings) for fields in segments],
        destinations=[
            (read_destination(fields, findings, base_dir, checkers), fields.path) for fields in destinations
        ],
    )


def _entries(root: Fields, section: str, known: Sequence[str]) -> Iterator[Fields]:
    count, limit = len(root.values(section)), MAX_ITEMS[section]
    if count > limit:
        root.error(section, f"{count:,} {section}; at most {limit:,} are allowed")
        return
    yield from root.mappings(section, known)


def _check_ids(parts: Parts, findings: Findings) -> None:
    check_unique("data source", (Placed(item.id, path) for item, path in parts.data_sources), findings)
    check_codes(parts.data_sources, findings)
    check_unique("trait", (Placed(item.id, path) for item, path in parts.traits), findings)
    check_unique("segment", (Placed(item.segment.id, item.path) for item in parts.segments), findings)
    check_unique("destination", (Placed(item.id, path) for item, path in parts.destinations), findings)
