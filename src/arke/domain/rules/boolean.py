"""AND, OR, NOT and parentheses: what the two rule languages share, over terms of any kind.

Precedence, high to low: parentheses, NOT, AND, OR (SPEC section 12). A term is whatever the language puts
between the joiners; a language subclasses `BooleanParser` and parses its own terms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic

from arke.domain.rules.expression import And, Expression, Not, Or, T
from arke.domain.rules.source import MAX_DEPTH, Source, Token, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from arke.errors import RuleError


def all_of(parts: Sequence[Expression[T]]) -> Expression[T]:
    """The conjunction of one or more parts, flattened."""
    if len(parts) == 1:
        return parts[0]
    flat: list[Expression[T]] = []
    for part in parts:
        flat.extend(part.parts if isinstance(part, And) else (part,))
    return And(tuple(flat))


def any_of(parts: Sequence[Expression[T]]) -> Expression[T]:
    """The disjunction of one or more parts, flattened."""
    if len(parts) == 1:
        return parts[0]
    flat: list[Expression[T]] = []
    for part in parts:
        flat.extend(part.parts if isinstance(part, Or) else (part,))
    return Or(tuple(flat))


def printed(node: Expression[T], term: Callable[[T], str]) -> str:
    """The canonical text: joiners in upper case, parentheses only where they change the meaning."""
    if isinstance(node, Or):
        return " OR ".join([printed(part, term) for part in node.parts])
    if isinstance(node, And):
        return " AND ".join([_bracketed(part, term, (Or,)) for part in node.parts])
    if isinstance(node, Not):
        return "NOT " + _bracketed(node.part, term, (And, Or))
    return term(node)


def _bracketed(node: Expression[T], term: Callable[[T], str], weaker: tuple[type, ...]) -> str:
    text = printed(node, term)
    return f"({text})" if isinstance(node, weaker) else text


def holds_for(node: Expression[T], term: Callable[[T], bool]) -> bool:
    """The rule's value when `term` says which terms are true."""
    if isinstance(node, And):
        return all(holds_for(part, term) for part in node.parts)
    if isinstance(node, Or):
        return any(holds_for(part, term) for part in node.parts)
    if isinstance(node, Not):
        return not holds_for(node.part, term)
    return term(node)


def terms(node: Expression[T]) -> Iterator[T]:
    """Every term of a rule, from left to right."""
    if isinstance(node, (And, Or)):
        for part in node.parts:
            yield from terms(part)
    elif isinstance(node, Not):
        yield from terms(node.part)
    else:
        yield node


def negations_inward(node: Expression[T], *, negate: bool = False) -> Expression[T]:
    """The same rule with NOT only directly before terms (negation normal form)."""
    if isinstance(node, Not):
        return negations_inward(node.part, negate=not negate)
    if isinstance(node, (And, Or)):
        parts = [negations_inward(part, negate=negate) for part in node.parts]
        return all_of(parts) if isinstance(node, And) != negate else any_of(parts)
    return Not(node) if negate else node


class BooleanParser(Generic[T]):
    """Recursive descent over a list of tokens that ends with one of kind `end`.

    Token kinds it knows: `and`, `or`, `not`, `(`, `)`, `end`. `token` is the one being looked at.
    """

    def __init__(self, source: Source, tokens: Sequence[Token]) -> None:
        self.source = source
        self.token = tokens[0]
        self._tokens = tokens
        self._index = 0
        self._depth = 0

    def term(self) -> Expression[T]:
        """Parse one term at the current token and move past it."""
        raise NotImplementedError

    def stray(self, token: Token) -> RuleError:
        """The error for a token that stands where only AND, OR or the end can."""
        raise NotImplementedError

    def parse(self) -> Expression[T]:
        """The whole rule."""
        if self.token.kind == "end":
            raise self.source.error(0, "the rule is empty", "write a rule, or leave the field out")
        node = self._alternatives()
        if self.token.kind == ")":
            raise self.source.error(
                self.token.at, 'this ")" closes nothing', 'delete it, or add the "(" it belongs to'
            )
        if self.token.kind != "end":
            raise self.stray(self.token)
        return node

    def advance(self) -> Token:
        """Move to the next token; the one left behind is returned."""
        left = self.token
        self._index += 1
        self.token = self._tokens[self._index]
        return left

    def peek(self) -> Token:
        """The token after the current one; the current one must not be the end."""
        return self._tokens[self._index + 1]

    def previous(self) -> Token | None:
        """The token before the current one."""
        return self._tokens[self._index - 1] if self._index else None

    def _alternatives(self) -> Expression[T]:
        parts = [self._conjunction()]
        while self.token.kind == "or":
            self.advance()
            parts.append(self._conjunction())
        return any_of(parts)

    def _conjunction(self) -> Expression[T]:
        parts = [self._factor()]
        while self.token.kind == "and":
            self.advance()
            parts.append(self._factor())
        return all_of(parts)

    def _factor(self) -> Expression[T]:
        kind = self.token.kind
        if kind == "not":
            self._enter(self.advance())
            negated = self._factor()
            self._depth -= 1
            return Not(negated)
        if kind == "(":
            return self._parentheses()
        return self.term()

    def _parentheses(self) -> Expression[T]:
        opening = self.advance()
        self._enter(opening)
        if self.token.kind == ")":
            raise self.source.error(opening.at, "nothing stands between these parentheses", "delete them")
        node = self._alternatives()
        if self.token.kind == "end":
            raise self.source.error(opening.at, 'this "(" is never closed', 'add the ")" it needs')
        if self.token.kind != ")":
            raise self.stray(self.token)
        self.advance()
        self._depth -= 1
        return node

    def _enter(self, token: Token) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self.source.error(
                token.at,
                f"parentheses and NOTs lie more than {MAX_DEPTH} deep here",
                "write the rule flatter: AND and OR chains need no parentheses of their own",
            )

    def missing(self, what: str) -> RuleError:
        """The error for a term that should start at the current token and does not."""
        token, before = self.token, self.previous()
        after = f" after {before.text}" if before is not None and before.kind != "(" else ""
        if token.kind == "end":
            hint = f"add {what}{after}, or delete {before.text}" if before is not None else None
            return self.source.error(token.at, f"the rule ends where {what} should follow{after}", hint)
        return self.source.error(
            token.at,
            f"expected {what}{after}, found {shown(token.text)}",
            "delete it, or put the missing part before it",
        )
