"""Data sources, traits and segments of a catalog file: each read, checked on its own, its rule compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from arke.catalog.fields import shown, type_name
from arke.domain.catalog import DataSource, DataSourceKind, Declarer, IdForm, Segment, Trait, TraitKind
from arke.domain.id_forms import FORMS, WANTED
from arke.domain.ids import DEVICE_ID_CASES, DEVICE_ID_FORMATS, MAX_ID_CHARS, UUID_SOURCES
from arke.domain.placeholders import is_placeholder
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
MAX_DENIED = 10_000
"""Ids that a data source may deny."""

DATA_SOURCE_FIELDS = ("id", "name", "integration_code", "kind", "declared_by", "id_form", "deny")
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


def read_data_source(fields: Fields, findings: Findings) -> DataSource:
    dpid = fields.required_id("id")
    form = _id_form(dpid, fields)
    return DataSource(
        id=dpid,
        name=fields.text("name") or "",
        integration_code=fields.text("integration_code"),
        kind=fields.choice("kind", DataSourceKind, "cookie"),
        declared_by=fields.choice("declared_by", Declarer, "anyone"),
        id_form=form,
        deny=_denied(form, fields, findings),
    )


def _id_form(dpid: int, fields: Fields) -> IdForm | None:
    """What it says of ids, where it can: a global data source has its form."""
    if not fields.has("id_form"):
        return None
    form: IdForm = fields.choice("id_form", IdForm, "lower")
    case = DEVICE_ID_CASES.get(dpid)
    if dpid in UUID_SOURCES:
        fields.error("id_form", f"ids of data source {dpid} are UUIDs of 38 digits", "remove id_form")
    elif case is not None and form not in (case, "uuid"):
        fields.error(
            "id_form", f"ids of the global data source {dpid} are UUIDs in {case} case", f"write {case}"
        )
    elif dpid in DEVICE_ID_FORMATS and form not in ("upper", "lower", "uuid"):
        fields.error("id_form", f"ids of the global data source {dpid} are letters, digits and dashes")
    return form


def _denied(form: IdForm | None, fields: Fields, findings: Findings) -> tuple[str, ...]:
    """Whole numbers may do without quotes."""
    values = fields.values("deny")
    if len(values) > MAX_DENIED:
        fields.error("deny", f"deny has {len(values):,} entries; at most {MAX_DENIED:,} are allowed")
        return ()
    found: list[str] = []
    for index, value in enumerate(values):
        path = fields.at("deny", index)
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if not isinstance(text, str):
            findings.error(path, f"an entry of deny must be text, not {type_name(value)}", "put it in quotes")
        elif not text or len(text) > MAX_ID_CHARS or not text.isprintable():
            findings.error(path, f"an entry of deny has 1 to {MAX_ID_CHARS} characters that can be shown")
        else:
            _warn_of_no_use(text, form, path, findings)
            found.append(text)
    return tuple(dict.fromkeys(found))


def _warn_of_no_use(text: str, form: IdForm | None, path: Path, findings: Findings) -> None:
    if is_placeholder(text):
        findings.warn(path, f"{shown(text)} is never taken as an id", "remove it from deny")
    elif form is not None and FORMS[form](text) is None:
        findings.warn(path, f"{shown(text)} can be no id here: by id_form it is {WANTED[form]}", "remove it")


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
