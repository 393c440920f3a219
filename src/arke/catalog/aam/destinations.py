"""Server-to-server destinations and their mappings as those of a catalog."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from arke.catalog.aam.entries import DELETED, INACTIVE, Entry, name_of, say_unknown, status, text_of
from arke.catalog.aam.objects import BOOKKEEPING, DESTINATION_IDS, MAPPING_IDS, first_number
from arke.catalog.endpoints import MAX_URL_LENGTH, placeholder_url

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from arke.catalog.aam.objects import Known
    from arke.catalog.aam.report import Report

_OTHERS: Final = {
    "PUSH": "a URL destination calls from the visitor's page, and Arke from a server",
    "ADS": "a cookie destination writes into the visitor's browser, and Arke sends from a server",
}
_SOURCES: Final = ("masterDataSourceId", "userIdKeyDataSourceId", "userIdKey", "masterDpid")
_ACCOUNTS: Final = ("foreignAccountId", "foreignAccountID", "clientId", "pidAlias")
_URLS: Final = ("url", "serverUrl", "endpointUrl")

_FIELDS: Final[Mapping[str, str | None]] = {
    **dict.fromkeys((*BOOKKEEPING, *DESTINATION_IDS, "name", "status", "destinationType", "mappings")),
    **dict.fromkeys(
        (*_SOURCES, *_ACCOUNTS, *_URLS, "outboundSampleRateDenominator", "sampleRateDenominator")
    ),
    **dict.fromkeys(("dataExportLabels", "startDate", "endDate")),
    "masterDataSourceIdType": None,
    "description": "a catalog has names only",
    "dataSourceId": "what was sent is tagged with it in Audience Manager",
    "targetDataSourceId": "what was sent is tagged with it in Audience Manager",
    **dict.fromkeys(
        (
            *("domainRestrictions", "tagType", "serializationEnabled", "urlFormatString", "delimiter"),
            *("secureUrlFormatString", "siteIDs", "uparamEnabled", "autoFill", "hidden"),
        ),
        "only Audience Manager does something with it",
    ),
}
_MAPPING_FIELDS: Final[Mapping[str, str | None]] = {
    **dict.fromkeys((*BOOKKEEPING, *MAPPING_IDS, *DESTINATION_IDS, "sid", "traitType", "traitAlias")),
    **dict.fromkeys(("startDate", "endDate", "elementStatus", "elementName", "traitValue", "priority")),
    "elementDescription": "a catalog has names only",
    "valueAlias": "a server-to-server destination has one alias (traitAlias)",
    **dict.fromkeys(("url", "secureUrl", "tagCode", "secureTagCode"), "of URL destinations"),
}


def destination_entry(
    known: Known, mappings: Sequence[Known], segments: Container[int], report: Report
) -> Entry | None:
    """A destination with its mappings; None for one that tells nobody from a server, with a remark."""
    kind = str(known.fields.get("destinationType") or "").upper()
    if status(known) in DELETED:
        return None
    if "S2S" not in kind and "SERVER" not in kind:
        reason = _OTHERS.get(kind, "a kind of destination that Arke does not have")
        left = f"; its {len(mappings)} mappings with it" if mappings else ""
        report.add(known.kind, known.id, "destinationType", f"{reason}: left out{left}", known.file)
        return None
    say_unknown(known, _FIELDS, report)
    fields: dict[str, Any] = {"id": known.id, **name_of(known, report), "url": _url(known, report)}
    fields |= {"client_id": _account(known, report), "user_dpids": [_source(known, report)]}
    if (
        sample := first_number(known.fields, ("outboundSampleRateDenominator", "sampleRateDenominator"))
    ) and (1 < sample <= 1_000_000_000):
        fields["sample_rate_denominator"] = sample
    for field in ("startDate", "endDate"):
        if known.fields.get(field):
            report.add(known.kind, known.id, field, "a destination has no dates; its mappings do", known.file)
    if known.fields.get("dataExportLabels"):
        reason = "export controls are not enforced here: map no segment that must not go there"
        report.add(known.kind, known.id, "dataExportLabels", reason, known.file)
    if status(known) in INACTIVE:
        fields["enabled"] = False
    told = _mapped(mappings, segments, report)
    if told:
        fields["segments"] = told
    return Entry(known.id, fields, known.file)


def _url(known: Known, report: Report) -> str:
    given = [value for name in _URLS if isinstance(value := known.fields.get(name), str) and value]
    if given and _usable(given[0]):
        return given[0]
    reason = "is no https address that can be taken" if given else "the API does not tell it"
    report.add(
        known.kind,
        known.id,
        "url",
        f"{reason}: a placeholder that leads nowhere stands there; write the endpoint's address",
        known.file,
    )
    return placeholder_url(known.id)


def _usable(url: str) -> bool:
    """Whether the address may be taken as it is. One with a user's name or a query may hold a secret."""
    try:
        parts = urlsplit(url)
        good = parts.scheme == "https" and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return (
        good
        and "@" not in parts.netloc
        and len(url) <= MAX_URL_LENGTH
        and url.isprintable()
        and not set(url) & set("#?\\ ")
    )


def _account(known: Known, report: Report) -> str:
    for name in _ACCOUNTS:
        if text := text_of(known, name, report):
            return text
    reason = "the API does not tell it: write the account at the destination (the foreign account id)"
    report.add(known.kind, known.id, "client_id", reason, known.file)
    return "unknown"


def _source(known: Known, report: Report) -> int:
    """Whose ids are sent: the user id key."""
    dpid = first_number(known.fields, _SOURCES)
    if dpid is not None and 0 <= dpid < 2**31:
        return dpid
    reason = "whose ids are sent (the user id key) is not told: write the data source; till then 0, the UUID itself"
    report.add(known.kind, known.id, "user_dpids", reason, known.file)
    return 0


def _mapped(mappings: Sequence[Known], segments: Container[int], report: Report) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    seen: set[tuple[int, str]] = set()
    for known in mappings:
        say_unknown(known, _MAPPING_FIELDS, report)
        entry = _mapping(known, segments, report)
        if entry is None:
            continue
        key = (entry["segment"], entry.get("alias", str(entry["segment"])))
        if key in seen:
            _left(known, "traitAlias", "the segment is mapped under this alias already: left out", report)
        else:
            seen.add(key)
            told.append(entry)
    return sorted(told, key=lambda entry: (entry["segment"], entry.get("alias", "")))


def _mapping(known: Known, segments: Container[int], report: Report) -> dict[str, Any] | None:
    segment = first_number(known.fields, ("sid",))
    days = {name: _day(known, field, report) for name, field in (("start", "startDate"), ("end", "endDate"))}
    if (problem := _no_mapping(known, segment, days, segments)) is not None:
        _left(known, *problem, report)
        return None
    alias = text_of(known, "traitAlias", report)
    return {
        "segment": segment,
        **({"alias": alias} if alias else {}),
        **{name: day for name, day in days.items() if day},
    }


def _no_mapping(
    known: Known, segment: int | None, days: Mapping[str, str | None], segments: Container[int]
) -> tuple[str, str] | None:
    """The field for which a mapping cannot be taken over, and why."""
    if str(known.fields.get("traitType") or "SEGMENT").upper() != "SEGMENT":
        return "traitType", "only segments are mapped: left out"
    if status(known) != "ACTIVE":
        return "elementStatus", "it is not active: left out"
    if segment is None or segment not in segments:
        return "sid", "its segment is not in the catalog: left out"
    if days["start"] and days["end"] and days["start"] >= days["end"]:
        return "endDate", "it ends before it begins: left out"
    return None


def _day(known: Known, field: str, report: Report) -> str | None:
    """A day of a mapping: `2026-01-31`, also with an hour behind it, or milliseconds since 1970."""
    value = known.fields.get(field)
    if value in (None, "", 0):
        return None
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value / 1000, UTC).date().isoformat()
        return datetime.fromisoformat(str(value)[:10]).date().isoformat()
    except (ValueError, OverflowError, OSError):
        report.add(known.kind, _shown(known), field, "is no day: left out", known.file)
        return None


def _left(known: Known, field: str, reason: str, report: Report) -> None:
    report.add(known.kind, _shown(known), field, reason, known.file)


def _shown(known: Known) -> str:
    """A mapping by its own id, or where it has none by destination and segment."""
    if known.id > 0:
        return str(known.id)
    return f"{first_number(known.fields, DESTINATION_IDS)}/{first_number(known.fields, ('sid',))}"
