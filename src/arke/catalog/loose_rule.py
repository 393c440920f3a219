"""A segment rule that stands in no catalog file: checked as one that does, against a catalog's traits."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from arke.catalog.audience import RuledSegment
from arke.catalog.place import Findings, Problem, TooManyProblems
from arke.catalog.references import check_rule_traits
from arke.domain.catalog import Segment
from arke.domain.rules.segment import compile_segment_rule
from arke.errors import RuleError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from arke.catalog.place import Finding
    from arke.domain.catalog import Catalog

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
