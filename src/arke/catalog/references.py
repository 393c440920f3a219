"""What one part of a catalog says of another: traits in rules, segments in mappings, data sources.

A segment rule that stands in no file is checked against a catalog's traits, in the words of `arke check`.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from arke.catalog.audience import RuledSegment
from arke.catalog.fields import shown
from arke.catalog.place import Findings, Problem, TooManyProblems
from arke.domain.catalog import GLOBAL_DATA_SOURCES, Segment
from arke.domain.rules.segment import compile_segment_rule
from arke.errors import RuleError

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

    from arke.catalog.place import Finding, Path
    from arke.domain.catalog import Catalog, DataSource, Destination, Trait


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


NAME = "rule"
"""Stands before line and column, where `arke check` has the file."""


def check_loose_rule(text: str, catalog: Catalog) -> list[str]:
    """Warnings about a rule over a catalog's traits.

    Raises RuleError with everything that is wrong, a line each, in the words of `arke check`.
    """
    try:
        rule = compile_segment_rule(text)
    except RuleError as error:
        raise _refusal([Problem(NAME, error.line, error.column, error.message, error.hint)]) from None
    findings = Findings()
    measured = rule.counting.union(rule.windows)
    with suppress(TooManyProblems):
        traits = {trait.id: trait for trait in catalog.traits}
        check_rule_traits(RuledSegment(Segment(id=0, rule=text), (), rule.traits, measured), traits, findings)
    if findings.errors:
        raise _refusal(_problems(findings.errors))
    return [str(problem) for problem in _problems(findings.warnings)]


def _problems(found: Iterable[Finding]) -> list[Problem]:
    placed = [
        Problem(NAME, *(finding.spot.inside or (1, 1)), finding.message, finding.hint) for finding in found
    ]
    return sorted(placed, key=lambda problem: (problem.line, problem.column))


def _refusal(problems: list[Problem]) -> RuleError:
    first = problems[0]
    text = "\n".join(map(str, problems))
    return RuleError(text, line=first.line, column=first.column, hint=first.hint)
