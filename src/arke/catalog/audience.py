"""Data sources, traits and segments of a catalog file: each read, checked on its own, its rule compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from arke.catalog.fields import shown
from arke.domain.catalog import DataSource, DataSourceKind, Declarer, Segment, Trait, TraitKind
from arke.domain.rules.segment import compile_segment_rule
from arke.domain.rules.trait import compile_trait_rule
from arke.errors import RuleError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from arke.catalog.fields import Fields
    from arke.catalog.place import Findings, Path

RULE_BASED: TraitKind = "rule_based"
MAX_TTL_DAYS = 36_500
MAX_RULE_LENGTH = 131_072

DATA_SOURCE_FIELDS = ("id", "name", "integration_code", "kind", "declared_by")
TRAIT_FIELDS = (
    *("id", "name", "data_source", "kind", "rule", "ttl_days", "ignore_case", "integration_code"),
    "d_sid",
)
SEGMENT_FIELDS = ("id", "name", "rule", "ttl_days", "integration_code", "paused")


class RuledSegment(NamedTuple):
    """A segment as read, with the traits its rule names: all, and those asked for how often or lately."""

    segment: Segment
    path: Path
    traits: frozenset[int]
    measured: frozenset[int]


class Placed(NamedTuple):
    """Something with an id, and where it stands."""

    id: int
    path: Path


def read_data_source(fields: Fields) -> DataSource:
    return DataSource(
        id=fields.required_id("id"),
        name=fields.text("name") or "",
        integration_code=fields.text("integration_code"),
        kind=fields.choice("kind", DataSourceKind, "cookie"),
        declared_by=fields.choice("declared_by", Declarer, "anyone"),
    )


def read_trait(fields: Fields, findings: Findings) -> Trait:
    kind = fields.choice("kind", TraitKind, RULE_BASED)
    ignore_case = fields.flag("ignore_case", default=False)
    rule = fields.text("rule", max_length=MAX_RULE_LENGTH, one_line=False)
    if kind == "rule_based" and fields.raw("kind") in (None, kind):
        fields.missing("rule", "write a rule, or kind: onboarded for a trait that only files realise")
    if rule is not None:
        _try_trait_rule(rule, fields, findings, ignore_case=ignore_case)
    if rule is None and kind == "onboarded" and ignore_case:
        findings.warn(fields.at("ignore_case"), "ignore_case does nothing without a rule", "remove it")
    return Trait(
        id=fields.required_id("id"),
        name=fields.text("name") or "",
        data_source=fields.optional_integer("data_source", low=1),
        kind=kind,
        rule=rule,
        ttl_days=fields.integer("ttl_days", 120, low=0, high=MAX_TTL_DAYS),
        ignore_case=ignore_case,
        integration_code=fields.text("integration_code"),
        d_sid=fields.flag("d_sid", default=False),
    )


def read_segment(fields: Fields, findings: Findings) -> RuledSegment:
    rule = fields.text("rule", max_length=MAX_RULE_LENGTH, one_line=False)
    traits, measured = (
        _segment_traits(rule, fields, findings) if rule is not None else (frozenset(), frozenset())
    )
    if fields.has("rule") and fields.has("ttl_days"):
        message = "ttl_days does nothing here: only a segment without a rule (an external one) lapses by it"
        findings.warn(fields.at("ttl_days"), message, "remove it, or set ttl_days on the traits")
    segment = Segment(
        id=fields.required_id("id"),
        name=fields.text("name") or "",
        rule=rule,
        ttl_days=fields.integer("ttl_days", 0, low=0, high=MAX_TTL_DAYS),
        integration_code=fields.text("integration_code"),
        paused=fields.flag("paused", default=False),
    )
    return RuledSegment(segment, fields.path, traits, measured)


def check_unique(kind: str, items: Iterable[Placed], findings: Findings) -> None:
    """No id twice within a kind."""
    first: dict[int, Path] = {}
    for item in items:
        if item.id in first:
            message = f"{kind} {item.id} is defined twice"
            findings.error(
                (*item.path, "id"), message, "give it another id, or remove it", also=first[item.id]
            )
        elif item.id:
            first[item.id] = item.path


def check_codes(sources: Iterable[tuple[DataSource, Path]], findings: Findings) -> None:
    """An integration code names one data source: events declare ids by it."""
    first: dict[str, Path] = {}
    for source, path in sources:
        code = source.integration_code
        if code is None:
            continue
        if code in first:
            message = f"integration_code {shown(code)} names two data sources"
            findings.error((*path, "integration_code"), message, "each needs its own", also=first[code])
        first.setdefault(code, path)


def _try_trait_rule(rule: str, fields: Fields, findings: Findings, *, ignore_case: bool) -> None:
    try:
        compile_trait_rule(rule, ignore_case=ignore_case)
    except RuleError as error:
        findings.error_inside(fields.at("rule"), error.line, error.column, error.message, error.hint)


def _segment_traits(rule: str, fields: Fields, findings: Findings) -> tuple[frozenset[int], frozenset[int]]:
    try:
        compiled = compile_segment_rule(rule)
    except RuleError as error:
        findings.error_inside(fields.at("rule"), error.line, error.column, error.message, error.hint)
        return frozenset(), frozenset()
    return compiled.traits, compiled.counting.union(compiled.windows)
