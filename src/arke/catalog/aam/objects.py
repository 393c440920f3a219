"""The objects of an export told apart by their fields, and each put together from all answers it stands in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from arke.domain.catalog import MAX_ID

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from arke.catalog.aam.export import Found
    from arke.catalog.aam.report import Report

MAPPING_IDS: Final = ("mappingId", "destinationMappingId", "traitToDataOrderId")
DESTINATION_IDS: Final = ("destinationId", "orderId", "dataOrderId")
"""Names that the API has for one thing, the newest first."""
BOOKKEEPING: Final = frozenset(
    {
        *("pid", "crUID", "upUID", "createTime", "updateTime", "createdBy", "updatedBy", "permissions"),
        *("traitRuleVersion", "segmentRuleVersion", "rank", "weight", "metrics", "total"),
        # How many people there were when it was asked.
        *(
            f"{what}{days}Day"
            for what in ("uniques", "count", "addressable")
            for days in (1, 7, 14, 30, 60, 90)
        ),
        *("instantUniques", "totalUniques", "totalPopulation", "addressableAudience", "folderCount"),
        *("traitsCount", "segmentsCount", "mappingsCount", "numberOfMappings", "inUse"),
    }
)
"""Fields about an object's life in Audience Manager: who edited it when, how many people it had."""


class Known(NamedTuple):
    """One object: its kind and id, its fields, and the file of the newest answer with it."""

    kind: str
    id: int
    fields: dict[str, Any]
    file: str


def kind_of(fields: Mapping[str, Any]) -> str | None:
    """What an object is, by its fields; None where it is none that makes a catalog."""
    has = fields.keys()
    if has & set(MAPPING_IDS) or (
        "sid" in has and has & set(DESTINATION_IDS) and "destinationType" not in has
    ):
        return "mapping"
    if "destinationType" in has or ("destinationId" in has and "sid" not in has):
        return "destination"
    if "segmentRule" in has or ("sid" in has and "mergeRuleDataSourceId" in has):
        return "segment"
    if "sid" in has and has & {"traitRule", "traitType", "ttl"}:
        return "trait"
    if "sid" in has and has & {"folderId", "dataSourceId"}:
        return "segment"  # as lists without details have them; traits always say their type
    if "folderId" in has and "sid" not in has:
        return "folder"
    if "dataSourceId" in has and "sid" not in has:
        return "data_source"
    return None


def sort_out(found: Iterable[Found], report: Report) -> dict[str, dict[int, Known]]:
    """All objects by kind and id. Of what several answers say of one object the newest counts."""
    objects: dict[str, dict[int, Known]] = {
        kind: {} for kind in ("data_source", "folder", "trait", "segment", "destination", "mapping")
    }
    for one in sorted(found, key=lambda one: _number(one.fields.get("updateTime")) or 0):
        kind = kind_of(one.fields)
        if kind is None:
            _strange(one, report)
            continue
        id_ = _id(kind, one.fields)
        if id_ is None:
            given = one.fields.get(_id_names(kind)[0])
            report.add(
                kind, _shown(given), _id_names(kind)[0], f"is no id from 1 to {MAX_ID}: left out", one.file
            )
            continue
        if kind == "destination":
            _open_mappings(one, id_, objects["mapping"], report)
        _join(objects[kind], Known(kind, id_, dict(one.fields), one.file), report)
    return {kind: dict(sorted(items.items())) for kind, items in objects.items()}


def _open_mappings(one: Found, destination: int, mappings: dict[int, Known], report: Report) -> None:
    inside = one.fields.get("mappings")
    for item in inside if isinstance(inside, list) else ():
        if not isinstance(item, dict):
            report.add("destination", destination, "mappings", "an entry is no object: left out", one.file)
            continue
        fields = {**item, "destinationId": destination}
        id_ = _id("mapping", fields) or -(len(mappings) + 1)  # some answers give mappings no id
        _join(mappings, Known("mapping", id_, fields, one.file), report)


def _join(items: dict[int, Known], new: Known, report: Report) -> None:
    old = items.get(new.id)
    if old is None:
        items[new.id] = new
        return
    if new.kind == "folder" and old.fields.get("path") != new.fields.get("path"):
        # Folders of traits and of segments count apart, and no answer says which they are.
        both = f"{old.fields.get('path')} or {new.fields.get('path')}"
        items[new.id] = old._replace(fields={**old.fields, "path": both})
        return
    for name, value in new.fields.items():
        before = old.fields.get(name)
        if name in BOOKKEEPING or name == "mappings" or before in (None, "", value) or value in (None, ""):
            continue
        report.add(new.kind, new.id, name, f"two answers say otherwise: that of {new.file} counts", old.file)
    said = {name: value for name, value in new.fields.items() if value not in (None, "")}
    items[new.id] = Known(new.kind, new.id, {**old.fields, **said}, new.file)


def _id_names(kind: str) -> tuple[str, ...]:
    match kind:
        case "mapping":
            return MAPPING_IDS
        case "destination":
            return DESTINATION_IDS
        case "folder":
            return ("folderId",)
        case "data_source":
            return ("dataSourceId",)
    return ("sid",)


def _id(kind: str, fields: Mapping[str, Any]) -> int | None:
    number = first_number(fields, _id_names(kind))
    low = 0 if kind == "folder" else 1  # the root of all folders is 0
    if kind == "mapping" and number is None and "sid" in fields:
        return None
    return number if number is not None and low <= number <= MAX_ID else None


def first_number(fields: Mapping[str, Any], names: Iterable[str]) -> int | None:
    """The whole number under the first of these names that has one; texts of digits are numbers as well."""
    return next((number for name in names if (number := _number(fields.get(name))) is not None), None)


def _number(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit() and len(value) < 20:
        return int(value)
    return None


def _strange(one: Found, report: Report) -> None:
    """What no catalog has, by what it looks like."""
    names = sorted(name for name in one.fields if name)
    kinds = {
        "a derived signal: put the target key's rule on the source key": (
            "sourceKey",
            "targetKey",
            "derivedSignalId",
        ),
        "an algorithmic model: Arke has none; bring its segments as external ones": (
            "algoModelId",
            "modelId",
        ),
        "an answer that says what went wrong: ask the API again": ("error", "errors", "error_description"),
    }
    for reason, marks in kinds.items():
        if any(mark in one.fields for mark in marks):
            report.add("object", _shown(first_number(one.fields, marks)), marks[0], reason, one.file)
            return
    listed = ", ".join(names[:8])[:120]
    report.common("object", "-", listed or "no object", "nothing that a catalog is made of", one.file)


def _shown(value: Any) -> str:
    return "-" if value is None or isinstance(value, dict | list) else str(value)[:40]
