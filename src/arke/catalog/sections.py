"""A document's value to a catalog: its four sections are read entry by entry, then checked against each other."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

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
from arke.catalog.fields import Fields, as_fields, shown
from arke.domain.catalog import GLOBAL_DATA_SOURCES, Catalog

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence
    from pathlib import Path as FilePath

    from arke.catalog.audience import RuledSegment
    from arke.catalog.place import Findings, Path
    from arke.catalog.tree import Value
    from arke.domain.catalog import DataSource, Destination, Segment, Trait

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
        data_sources=[(read_data_source(fields), fields.path) for fields in sources],
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


class Parts(NamedTuple):
    """A catalog's parts as read, each with its place in the file."""

    data_sources: list[tuple[DataSource, Path]]
    traits: list[tuple[Trait, Path]]
    segments: list[RuledSegment]
    destinations: list[tuple[Destination, Path]]


def check_references(parts: Parts, findings: Findings) -> None:
    sources = {source.id for source, _ in parts.data_sources} | GLOBAL_DATA_SOURCES
    _check_trait_sources(parts, sources, findings)
    traits = {trait.id: trait for trait, _ in parts.traits}
    for ruled in parts.segments:
        check_rule_traits(ruled, traits, findings)
    segments = {ruled.segment.id: ruled.segment for ruled in parts.segments}
    for destination, path in parts.destinations:
        _check_user_dpids(destination, path, sources, findings)
        _check_mappings(destination, path, segments, findings)


def near_id(wanted: int, known: Container[int]) -> int | None:
    """A known id that is one slip of the hand away: a digit wrong, missing, too many, or two swapped."""
    return next((id_ for id_ in _slips(str(wanted)) if id_ in known), None)


def _slips(text: str) -> Iterator[int]:
    for at in range(len(text) + 1):
        head, tail = text[:at], text[at:]
        if len(tail) > 1:
            yield int(head + tail[1] + tail[0] + tail[2:])
        if tail and head + tail[1:]:
            yield int(head + tail[1:])
        for digit in "0123456789":
            if tail:
                yield int(head + digit + tail[1:])
            yield int(head + digit + tail)


def _check_trait_sources(parts: Parts, sources: Container[int], findings: Findings) -> None:
    reported: set[int] = set()
    for trait, path in parts.traits:
        source = trait.data_source
        if source is not None and source not in sources and source not in reported:
            reported.add(source)
            message = f"data source {source} is not declared"
            findings.warn((*path, "data_source"), message, "add it under data_sources; said once for each")


def check_rule_traits(ruled: RuledSegment, traits: dict[int, Trait], findings: Findings) -> None:
    rule = ruled.segment.rule or ""
    path = (*ruled.path, "rule")
    for id_ in sorted(trait for trait in ruled.traits if trait not in traits):
        near = near_id(id_, traits)
        hint = "define it under traits" if near is None else f"did you mean {near}T?"
        findings.error_inside(path, *_position(rule, id_), f"there is no trait {id_}", hint)
    for id_ in sorted(ruled.measured):
        if id_ in traits and traits[id_].kind == "onboarded":
            message = f"trait {id_} is onboarded: it counts at most once, at the time its file was loaded"
            findings.warn(path, message, "recency and frequency are meant for rule-based traits")


def _position(rule: str, trait: int) -> tuple[int, int]:
    """Line and column of a trait in a rule's text."""
    found = re.search(rf"(?<![0-9])0*{trait}\s*[Tt]", rule)
    at = found.start() if found else 0
    return rule.count("\n", 0, at) + 1, at - rule.rfind("\n", 0, at)


def _check_user_dpids(
    destination: Destination, path: Path, sources: Container[int], findings: Findings
) -> None:
    for index, dpid in enumerate(destination.user_dpids):
        if dpid and dpid not in sources:
            hint = "add it under data_sources; until ids of it are synced, nothing is sent for it"
            findings.warn((*path, "user_dpids", index), f"data source {dpid} is not declared", hint)


def _check_mappings(
    destination: Destination, path: Path, segments: dict[int, Segment], findings: Findings
) -> None:
    owners: dict[str, tuple[int, Path]] = {}
    mapped: set[tuple[int, str]] = set()
    for index, mapping in enumerate(destination.segments):
        place = (*path, "segments", index)
        segment = segments.get(mapping.segment)
        if segment is None:
            if mapping.segment:
                near = near_id(mapping.segment, segments)
                hint = "define it under segments" if near is None else f"did you mean {near}?"
                findings.error((*place, "segment"), f"there is no segment {mapping.segment}", hint)
            continue
        alias = destination.alias(mapping, segment)
        owner, first = owners.setdefault(alias, (segment.id, place))
        if (segment.id, alias) in mapped:
            message = f"segment {segment.id} is mapped twice under the alias {shown(alias)}"
            findings.error(place, message, "give one of them another alias, or remove it", also=first)
        elif owner != segment.id:
            message = (
                f"the alias {shown(alias)} is also segment {owner}'s: the destination cannot tell them apart"
            )
            findings.warn(place, message, "give each segment its own alias")
        mapped.add((segment.id, alias))
        if mapping.alias is None and destination.auto_alias != "segment_id" and not segment.integration_code:
            message = f"segment {segment.id} has no integration_code: its id is sent instead"
            findings.warn(place, message, "give the segment an integration_code, or the mapping an alias")
