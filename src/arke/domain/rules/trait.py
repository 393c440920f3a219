"""A trait rule, compiled: text in, a predicate over an event's signals out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.domain.rules.boolean import holds_for, printed, terms
from arke.domain.rules.commas import may_have_parts, with_parts
from arke.domain.rules.comparison import Comparison, Predicate, Signals, predicate
from arke.domain.rules.expression import And, Expression, Not
from arke.domain.rules.trait_syntax import parse_trait_rule
from arke.errors import RuleError

if TYPE_CHECKING:
    from collections.abc import Sequence


class TraitRule:
    """A checked rule over signals. Made by `compile_trait_rule`; immutable.

    `text` is the rule as written, `expression` its syntax tree.
    """

    __slots__ = ("_predicate", "expression", "ignore_case", "text")

    def __init__(self, text: str, expression: Expression[Comparison], *, ignore_case: bool) -> None:
        self.text = text
        self.expression = expression
        self.ignore_case = ignore_case
        self._predicate: Predicate | None = None

    @property
    def keys(self) -> frozenset[str]:
        """The keys that it asks for."""
        return frozenset(term.key for term in terms(self.expression))

    @property
    def canonical(self) -> str:
        """The rule in one spelling: `key == "value"`, upper-case joiners, no needless parentheses."""
        return printed(self.expression, str)

    def matches(self, signals: Signals) -> bool:
        """Whether an event with these signals realises the trait."""
        # Built on first use: a catalog of 100,000 rules is matched by its index, not rule by rule.
        if self._predicate is None:
            self._predicate = predicate_of(self.expression)
        return self._predicate(with_parts(signals, [key for key in self.keys if may_have_parts(key)]))

    def __repr__(self) -> str:
        return f"TraitRule({self.canonical!r})"


def compile_trait_rule(text: str, *, ignore_case: bool = False) -> TraitRule:
    """Parse and check a rule. RuleError tells the line, the column and how to mend it."""
    expression = parse_trait_rule(text, ignore_case=ignore_case)
    # Every comparison is false for an event without signals, so only NOT can make a rule true for it.
    if not isinstance(expression, Comparison) and true_without_signals(expression):
        raise RuleError(
            "the rule is true for an event without any signals, so every event would realise the trait",
            hint='AND it with something that must be there: c_page contains "" AND NOT c_page == "home"',
        )
    return TraitRule(text, expression, ignore_case=ignore_case)


def true_without_signals(node: Expression[Comparison]) -> bool:
    """Whether an expression is true when every comparison is false, as with no signals at all."""
    return holds_for(node, _never)


def _never(_: Comparison) -> bool:
    return False


def predicate_of(node: Expression[Comparison]) -> Predicate:
    """An expression as one function of an event's signals."""
    if isinstance(node, Comparison):
        return predicate(node)
    if isinstance(node, Not):
        return _none(predicate_of(node.part))
    parts = [predicate_of(part) for part in node.parts]
    if len(parts) == 2:
        return _both(*parts) if isinstance(node, And) else _either(*parts)
    return _all(parts) if isinstance(node, And) else _any(parts)


def _none(part: Predicate) -> Predicate:
    return lambda signals: not part(signals)


def _both(first: Predicate, second: Predicate) -> Predicate:
    return lambda signals: first(signals) and second(signals)


def _either(first: Predicate, second: Predicate) -> Predicate:
    return lambda signals: first(signals) or second(signals)


def _all(parts: Sequence[Predicate]) -> Predicate:
    return lambda signals: all(part(signals) for part in parts)


def _any(parts: Sequence[Predicate]) -> Predicate:
    return lambda signals: any(part(signals) for part in parts)
