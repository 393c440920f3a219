"""Finds what a new catalog changes for the members of segments, and for what destinations are told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from arke.domain.rules.segment import compile_segment_rule
from arke.errors import RuleError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from arke.domain.catalog import Catalog, Destination, Segment, Trait

_TELLING_FIELDS = (
    *("client_id", "user_dpids", "supports_unsegment", "on_unmap", "sample_rate_denominator"),
    *("realtime", "enabled"),
)
"""Fields that decide to whom, for whom, and whether a status is told."""


def rule_changes(old: Catalog, new: Catalog) -> frozenset[int]:
    """The segments of both catalogs whose members may differ, because their definition or a trait's has changed."""
    before = {segment.id: segment for segment in old.segments}
    moved = _moved_traits(old, new)
    changed = set()
    for segment in new.segments:
        was = before.get(segment.id)
        if was is not None and (
            _redefined(was, segment) or (moved and not moved.isdisjoint(_traits(segment)))
        ):
            changed.add(segment.id)
    return frozenset(changed)


def mapping_changes(old: Catalog, new: Catalog) -> frozenset[int]:
    """The destinations that are to be told something else than before, without those that are removed."""
    before = {destination.id: destination for destination in old.destinations}
    old_segments = {segment.id: segment for segment in old.segments}
    new_segments = {segment.id: segment for segment in new.segments}
    return frozenset(
        destination.id
        for destination in new.destinations
        if _decisive_fields(destination, new_segments)
        != _decisive_fields(before.get(destination.id), old_segments)
    )


def retired(old: Catalog, new: Catalog, before: Mapping[int, Mapping[str, int]]) -> dict[int, dict[str, int]]:
    """Per destination the aliases that an earlier catalog mapped and `new` does not, with their segments.

    `before` is the same for `old`. A 1 that was told under such an alias just before a crash must be taken back.
    """
    mapped = _aliases(new)
    was = _aliases(old)
    found = {}
    for destination_id in {*before, *was}:
        ever = {**before.get(destination_id, {}), **was.get(destination_id, {})}
        now = mapped.get(destination_id, {})
        gone = {alias: segment for alias, segment in ever.items() if alias not in now}
        if gone:
            found[destination_id] = gone
    return found


def _aliases(catalog: Catalog) -> dict[int, dict[str, int]]:
    segments = {segment.id: segment for segment in catalog.segments}
    return {
        destination.id: {
            destination.alias(mapping, segments[mapping.segment]): mapping.segment
            for mapping in destination.segments
            if mapping.segment in segments
        }
        for destination in catalog.destinations
    }


def _decisive_fields(destination: Destination | None, segments: dict[int, Segment]) -> Any:
    """The fields that decide what a destination is told; empty where it has no mappings."""
    if destination is None or not destination.segments:
        return None
    mappings = set()
    for mapping in destination.segments:
        segment = segments.get(mapping.segment)
        alias = mapping.alias if segment is None else destination.alias(mapping, segment)
        paused = segment is not None and segment.paused
        mappings.add((mapping.segment, alias, mapping.start, mapping.end, paused))
    return mappings, tuple(getattr(destination, field) for field in _TELLING_FIELDS)


def _moved_traits(old: Catalog, new: Catalog) -> set[int]:
    """The traits that other events realise, or that expire at another time, than before."""
    before = {trait.id: trait for trait in old.traits}
    after = {trait.id: trait for trait in new.traits}
    gone_or_new = before.keys() ^ after.keys()
    return gone_or_new | {
        id_ for id_ in before.keys() & after.keys() if _counts(before[id_]) != _counts(after[id_])
    }


def _counts(trait: Trait) -> tuple[object, ...]:
    return trait.kind, trait.rule, trait.ignore_case, trait.ttl_days


def _redefined(was: Segment, now: Segment) -> bool:
    return was.rule != now.rule or (now.external and was.ttl_days != now.ttl_days)


def _traits(segment: Segment) -> frozenset[int]:
    if segment.rule is None:
        return frozenset()
    try:
        return compile_segment_rule(segment.rule).traits
    except RuleError:  # a stored catalog of an older Arke may hold a rule this one would refuse
        return frozenset()
