"""What the parts of a catalog are made from: names, codes and rules that it can hold, and remarks on others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from arke.catalog.fields import MAX_NAME_LENGTH, showable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from arke.catalog.aam.objects import Known
    from arke.catalog.aam.report import Report
    from arke.errors import RuleError

INACTIVE: Final = frozenset({"INACTIVE", "PAUSED", "DISABLED", "0", "FALSE"})
DELETED: Final = frozenset({"DELETED", "ARCHIVED"})


class Entry(NamedTuple):
    """One entry of a section: its fields as they are written, and the lines of the comment above it."""

    id: int
    fields: dict[str, Any]
    comment: str


def status(known: Known) -> str:
    """The status in capitals; the API says `active`, `ACTIVE` and 1."""
    given = (known.fields.get(name) for name in ("status", "elementStatus"))
    said = str(next((one for one in given if one not in (None, "")), "ACTIVE")).upper()
    return "ACTIVE" if said in ("1", "TRUE") else said


def name_of(known: Known, report: Report, field: str = "name") -> dict[str, str]:
    """The field `name`, where the object has one."""
    text = text_of(known, field, report)
    return {"name": text} if text else {}


def code_of(known: Known, report: Report) -> dict[str, str]:
    text = text_of(known, "integrationCode", report)
    return {"integration_code": text} if text else {}


def text_of(known: Known, field: str, report: Report) -> str:
    """A text of one line that can be shown, of a length that a catalog takes."""
    value = known.fields.get(field)
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        if value is not None:
            report.add(known.kind, known.id, field, "is no text: left out", known.file)
        return ""
    text = "".join(mark if showable(mark) else " " for mark in value).strip()
    if len(text) > MAX_NAME_LENGTH:
        text = text[:MAX_NAME_LENGTH].rstrip()
        report.add(known.kind, known.id, field, f"cut to {MAX_NAME_LENGTH} characters", known.file)
    return text


def say_unknown(known: Known, used: Mapping[str, str | None], report: Report) -> None:
    """Note every field that says something and is not `used`. A reason in `used` says why one has no equivalent."""
    for field in sorted(known.fields):
        value = known.fields[field]
        if value in (None, "", [], {}, False):
            continue
        if field not in used:
            report.common(known.kind, known.id, field, "a field that is not known here: left out", known.file)
        elif (reason := used[field]) is not None:
            report.common(known.kind, known.id, field, reason, known.file)


def rule_problem(problem: RuleError) -> str:
    """Why a rule is none here, with the place within it and the hint."""
    hint = f" ({problem.hint})" if problem.hint else ""
    return f"line {problem.line}, column {problem.column}: {problem.message}{hint}"
