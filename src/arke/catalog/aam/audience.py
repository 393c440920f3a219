"""Data sources, traits and segments of Audience Manager as those of a catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from arke.catalog.aam.entries import (
    DELETED,
    INACTIVE,
    Entry,
    code_of,
    name_of,
    rule_problem,
    say_unknown,
    status,
)
from arke.catalog.aam.objects import BOOKKEEPING, first_number
from arke.catalog.audience import MAX_RULE_LENGTH, MAX_TTL_DAYS
from arke.domain.catalog import MAX_ID
from arke.domain.rules.segment import compile_segment_rule
from arke.domain.rules.trait import compile_trait_rule
from arke.errors import RuleError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from arke.catalog.aam.objects import Known
    from arke.catalog.aam.report import Report

_KINDS: Final = {
    "COOKIE": "cookie",
    "CROSS_DEVICE": "cross_device",
    "DEVICE_ADVERTISING_ID": "mobile",
    "DEVICE": "mobile",
    "MOBILE": "mobile",
}
"""Of `idType`. What has another type is taken as a cookie's, with a remark."""
_TEXTS: Final = dict.fromkeys(("description", "comments"), "a catalog has names only")
_KEPT: Final = dict.fromkeys((*BOOKKEEPING, "name", "integrationCode", "status", "dataSourceId", "folderId"))
_OF_AAM: Final = "only Audience Manager does something with it"

_SOURCE_FIELDS: Final[Mapping[str, str | None]] = {
    **_KEPT,
    **_TEXTS,
    "idType": None,
    "dataExportRestrictions": None,
    "subIdType": None,
    "customerProfileDataRetention": "profiles of people are kept while anything names them",
    **dict.fromkeys(
        (
            *("type", "linkNamespace", "inboundS2S", "outboundS2S", "useAudienceManagerVisitorID"),
            *("allowDataSharing", "masterDataSourceIdProvider", "uniqueTraitIntegrationCodes"),
            *("uniqueSegmentIntegrationCodes", "marketingCloudVisitorIdVersion", "samplingEndTime"),
            *("samplingStartTime", "samplingEnabled", "allowDeviceGraphSharing", "containerIds"),
            *("supportsAuthenticatedProfile", "deviceGraph", "authenticatedProfileName", "deviceGraphName"),
            *("customNamespaceId", "customNamespaceCode"),
        ),
        _OF_AAM,
    ),
}
_TRAIT_FIELDS: Final[Mapping[str, str | None]] = {
    **_KEPT,
    **_TEXTS,
    **dict.fromkeys(("sid", "traitType", "traitRule", "ttl")),
    **dict.fromkeys(("algoModelId", "thresholdType", "thresholdValue", "thresholdAccuracy")),
    **dict.fromkeys(("type", "pixelType", "categoryId"), "a label, which a catalog has none of"),
    "backfillStatus": "a new trait counts from its first event on",
}
_SEGMENT_FIELDS: Final[Mapping[str, str | None]] = {
    **_KEPT,
    **_TEXTS,
    **dict.fromkeys(("sid", "segmentRule", "mergeRuleDataSourceId")),
    **dict.fromkeys(("type", "segmentType", "categoryId"), "a label, which a catalog has none of"),
    "dataSourceId": "a segment belongs to no data source here",
    "maxAge": "how long somebody stays is what the rule and its traits say",
}


def source_entry(known: Known, report: Report) -> Entry | None:
    """A data source; None for one that is deleted."""
    if status(known) in DELETED:
        return None
    say_unknown(known, _SOURCE_FIELDS, report)
    _say_inactive(known, "a data source cannot be switched off: its ids are taken", report)
    return Entry(
        known.id,
        {"id": known.id, **name_of(known, report), **code_of(known, report), "kind": _kind(known, report)},
        known.file,
    )


def _kind(known: Known, report: Report) -> str:
    said = str(known.fields.get("idType") or "").upper()
    if known.fields.get("dataExportRestrictions"):
        reason = "export controls are not enforced here: map no segment with its traits where it must not go"
        report.add(known.kind, known.id, "dataExportRestrictions", reason, known.file)
    sub = str(known.fields.get("subIdType") or "")
    if sub and not sub.upper().endswith(("_PERSON", "COOKIE")):
        report.add(
            known.kind, known.id, "subIdType", "ids that are shared are all taken as a person's", known.file
        )
    kind = _KINDS.get(said)
    if kind is None:
        taken = (
            "no idType: taken as ids of cookies" if not said else "another idType: taken as ids of cookies"
        )
        report.add(known.kind, known.id, "idType", taken, known.file)
        return "cookie"
    return kind


def trait_entry(known: Known, folders: Mapping[int, str], report: Report) -> Entry | None:
    """A trait. One whose rule cannot be taken over is realised by files, so that segments with it stay whole."""
    if status(known) in DELETED:
        return None
    say_unknown(known, _TRAIT_FIELDS, report)
    _say_inactive(known, "a trait cannot be switched off: it is realised", report)
    rule = known.fields.get("traitRule")
    kind, problem = _trait_kind(known, rule, report)
    fields: dict[str, Any] = {"id": known.id, **name_of(known, report)}
    if (source := first_number(known.fields, ("dataSourceId",))) is not None and 0 < source <= MAX_ID:
        fields["data_source"] = source
    elif known.fields.get("dataSourceId") is not None:
        report.add(known.kind, known.id, "dataSourceId", "is no data source: left out", known.file)
    fields["kind"] = kind
    if isinstance(rule, str) and rule.strip() and not problem:
        fields["rule"] = rule.strip()
    fields |= {"ttl_days": _ttl(known, report), **code_of(known, report)}
    left = "" if "rule" in fields else _left_rule(rule)
    return Entry(known.id, fields, _origin(known, folders) + left)


def _trait_kind(known: Known, rule: object, report: Report) -> tuple[str, bool]:
    """The kind of a trait, and whether its rule has to be left out."""
    said = str(known.fields.get("traitType") or "RULE_BASED_TRAIT").upper()
    if said in ("ON_BOARDED_TRAIT", "ONBOARDED_TRAIT", "10"):
        return "onboarded", _bad_rule(known, rule, report)
    if said not in ("RULE_BASED_TRAIT", "3"):
        what = {
            "ALGO_TRAIT": "an algorithmic trait, and Arke has no models",
            "FOLDER_TRAIT": "a folder trait: name the folder's traits in the rules of segments instead",
        }.get(said, "a kind of trait that Arke does not have")
        reason = f"{what}; kept as an onboarded one, which nobody has until a file says so"
        report.add(known.kind, known.id, "traitType", reason, known.file)
        return "onboarded", True
    if not isinstance(rule, str) or not rule.strip():
        reason = "no rule (ask the API with includeDetails=true); kept as an onboarded trait"
        report.add(known.kind, known.id, "traitRule", reason, known.file)
        return "onboarded", True
    bad = _bad_rule(known, rule, report)
    return ("onboarded" if bad else "rule_based"), bad


def _bad_rule(known: Known, rule: object, report: Report) -> bool:
    if not isinstance(rule, str) or not rule.strip():
        return False
    try:
        _check_length(rule)
        compile_trait_rule(rule.strip())
    except RuleError as problem:
        reason = f"{rule_problem(problem)}; kept as an onboarded trait without a rule"
        report.add(known.kind, known.id, "traitRule", reason, known.file)
        return True
    return False


def _check_length(rule: str) -> None:
    if len(rule) > MAX_RULE_LENGTH:
        raise RuleError(f"the rule has {len(rule):,} characters; {MAX_RULE_LENGTH:,} are allowed")


def _ttl(known: Known, report: Report) -> int:
    days = first_number(known.fields, ("ttl",))
    if days is None or days < 0:
        if known.fields.get("ttl") is not None:
            report.add(known.kind, known.id, "ttl", "is no number of days: the default is taken", known.file)
        return 120
    if days > MAX_TTL_DAYS:
        report.add(known.kind, known.id, "ttl", f"longer than {MAX_TTL_DAYS} days: that is taken", known.file)
    return min(days, MAX_TTL_DAYS)


def segment_entry(
    known: Known, folders: Mapping[int, str], report: Report
) -> tuple[Entry, frozenset[int]] | None:
    """A segment and the traits that its rule names. One whose rule cannot be taken over is external: nobody is in
    it until somebody says so.
    """
    if status(known) in DELETED:
        return None
    say_unknown(known, _SEGMENT_FIELDS, report)
    if first_number(known.fields, ("mergeRuleDataSourceId",)) not in (None, 0):
        reason = "merge rules are not there: a device is judged by its own traits and those of its person"
        report.add(known.kind, known.id, "mergeRuleDataSourceId", reason, known.file)
    fields: dict[str, Any] = {"id": known.id, **name_of(known, report)}
    traits: frozenset[int] = frozenset()
    rule = known.fields.get("segmentRule")
    if not isinstance(rule, str) or not rule.strip():
        report.add(
            known.kind,
            known.id,
            "segmentRule",
            "no rule (ask the API for it by its id); kept as an external segment",
            known.file,
        )
    else:
        try:
            _check_length(rule)
            traits = compile_segment_rule(rule.strip()).traits
            fields["rule"] = rule.strip()
        except RuleError as problem:
            reason = f"{rule_problem(problem)}; kept as an external segment"
            report.add(known.kind, known.id, "segmentRule", reason, known.file)
    fields |= code_of(known, report)
    if status(known) in INACTIVE:
        fields["paused"] = True
    left = "" if "rule" in fields else _left_rule(rule)
    return Entry(known.id, fields, _origin(known, folders) + left), traits


def _say_inactive(known: Known, reason: str, report: Report) -> None:
    if status(known) in INACTIVE:
        report.add(known.kind, known.id, "status", reason, known.file)


def _origin(known: Known, folders: Mapping[int, str]) -> str:
    folder = folders.get(first_number(known.fields, ("folderId",)) or 0)
    return f"{known.file}, in {folder}" if folder else known.file


def _left_rule(rule: object) -> str:
    """A line of the comment for a rule that the entry has not."""
    return f"\nits rule was: {rule.strip()}" if isinstance(rule, str) and rule.strip() else ""
