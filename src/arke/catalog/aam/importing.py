"""An export of Audience Manager's REST API made a catalog, with a report of what has no equivalent."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

from arke.catalog.aam.audience import segment_entry, source_entry, trait_entry
from arke.catalog.aam.destinations import destination_entry
from arke.catalog.aam.entries import Entry
from arke.catalog.aam.export import read_export
from arke.catalog.aam.objects import DESTINATION_IDS, Known, first_number, sort_out
from arke.catalog.aam.report import Remark, Report
from arke.catalog.aam.writing import written
from arke.catalog.sections import MAX_ITEMS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

T = TypeVar("T")

SHOWN = 10
"""Segments that a remark about a trait names."""


class Imported(NamedTuple):
    """A catalog's text, how many entries each section has, and the remarks."""

    text: str
    counts: dict[str, int]
    remarks: list[Remark]


def import_aam(paths: Sequence[Path]) -> Imported:
    """Read an export, and make its catalog. The same files give the same bytes. Raises CatalogError where a file
    cannot be read.
    """
    report = Report()
    objects = sort_out(read_export(paths, report), report)
    folders = _folders(objects["folder"], report)
    sources = _there(source_entry(known, report) for known in objects["data_source"].values())
    traits = _there(trait_entry(known, folders, report) for known in objects["trait"].values())
    ruled = _there(segment_entry(known, folders, report) for known in objects["segment"].values())
    segments = [entry for entry, _ in ruled]
    _one_code_each(sources, report)
    traits += _missing(traits, ruled, report)
    destinations = _destinations(objects, {entry.id for entry in segments}, report)
    sections = {
        "data_sources": sources,
        "traits": sorted(traits, key=lambda entry: entry.id),
        "segments": segments,
        "destinations": destinations,
    }
    for name, entries in sections.items():
        if len(entries) > MAX_ITEMS[name]:
            reason = f"{len(entries):,} {name}, and a catalog takes {MAX_ITEMS[name]:,}: the first of them"
            report.add("file", "catalog", name, reason)
            sections[name] = entries[: MAX_ITEMS[name]]
    counts = {name: len(entries) for name, entries in sections.items()}
    return Imported(written(sections), counts, report.remarks())


def _folders(known: Mapping[int, Known], report: Report) -> dict[int, str]:
    """The path of each folder, for comments: a catalog has none."""
    paths = {}
    for one in known.values():
        path = one.fields.get("path") or one.fields.get("name")
        if one.id and isinstance(path, str) and path:  # what lies in the root of all folders lies in none
            paths[one.id] = path
        report.common(
            "folder", one.id, "", "a catalog has no folders: what lies in one says so in a comment", one.file
        )
    return paths


def _one_code_each(sources: list[Entry], report: Report) -> None:
    """A code names one data source: a second one with it goes without."""
    first: dict[str, int] = {}
    for entry in sources:
        code = entry.fields.get("integration_code")
        if code is not None and first.setdefault(code, entry.id) != entry.id:
            del entry.fields["integration_code"]
            reason = f"data source {first[code]} has this code already: left out"
            report.add("data_source", entry.id, "integrationCode", reason, entry.comment)


def _missing(
    traits: Sequence[Entry], ruled: Sequence[tuple[Entry, frozenset[int]]], report: Report
) -> list[Entry]:
    """Traits that rules name and the export has not, such as those of other companies: as onboarded ones."""
    known = {entry.id for entry in traits}
    named: dict[int, list[int]] = {}
    for entry, wanted in ruled:
        for trait in sorted(wanted - known):
            named.setdefault(trait, []).append(entry.id)
    made = []
    for trait, segments in sorted(named.items()):
        listed = ", ".join(map(str, segments[:SHOWN])) + (", ..." if len(segments) > SHOWN else "")
        reason = (
            f"not in the export, and named by segments {listed}; kept as an onboarded trait that nobody has"
        )
        report.add("trait", trait, "", reason)
        made.append(
            Entry(trait, {"id": trait, "kind": "onboarded"}, "not in the export, and named by segments")
        )
    return made


def _destinations(
    objects: Mapping[str, Mapping[int, Known]], segments: set[int], report: Report
) -> list[Entry]:
    mappings: dict[int, list[Known]] = {}
    for known in objects["mapping"].values():
        destination = first_number(known.fields, DESTINATION_IDS)
        if destination not in objects["destination"]:
            reason = f"its destination ({destination or 'none'}) is not in the export: left out"
            report.add("mapping", known.id, "destinationId", reason, known.file)
        elif destination is not None:
            mappings.setdefault(destination, []).append(known)
    return _there(
        destination_entry(known, mappings.get(known.id, []), segments, report)
        for known in objects["destination"].values()
    )


def _there(made: Iterable[T | None]) -> list[T]:
    return [one for one in made if one is not None]
