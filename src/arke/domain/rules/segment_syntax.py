"""The grammar of segment rules: text to tokens to a syntax tree of terms over traits (dossier 11.1).

    rule      = alternative { OR alternative }          alternative = factor { AND factor }
    factor    = NOT factor | ( rule ) | term            term        = trait | frequency
    frequency = FREQUENCY ( [ traits ] [ recency ] ) count
    traits    = trait { , trait }  (OR may stand for the comma)
    recency   = ( <= | >= ) days                        count       = ( >= | <= | == ) number
    trait     = digits T, as in 1000T                   days        = digits D, as in 5D, more than 0

Keywords and the letters T and D in any case; `=>` is `>=`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, TypeAlias, cast, final

from arke.domain.rules.boolean import BooleanParser
from arke.domain.rules.expression import Expression, Term
from arke.domain.rules.hints import comparison_hint, trait_hint, word_hint
from arke.domain.rules.source import Source, Token, shown

if TYPE_CHECKING:
    from arke.errors import RuleError

MAX_SEGMENT_RULE_CHARS = 262_144
MAX_SEGMENT_TRAITS = 5_000
MAX_RECENCY_DAYS = 36_500
MAX_FREQUENCY = 1_000_000_000
MAX_TRAIT_ID = 2**63 - 1

RecencyOperator = Literal["<=", ">="]
CountOperator = Literal["<=", ">=", "=="]


@final
class Held(Term, frozen=True):
    """The profile has realised this trait: `1000T`."""

    trait: int

    def __str__(self) -> str:
        return f"{self.trait}T"


@final
class Frequency(Term, frozen=True):
    """How often any of the traits was realised. `days` and `recency` are None together: over all time."""

    traits: tuple[int, ...]
    recency: RecencyOperator | None
    days: int | None
    operator: CountOperator
    count: int

    def __str__(self) -> str:
        traits = ",".join([f"{trait}T" for trait in self.traits])
        window = f" {self.recency} {self.days}D" if self.recency is not None else ""
        return f"FREQUENCY([{traits}]{window}) {self.operator} {self.count}"


SegmentTerm: TypeAlias = Held | Frequency

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<trait>[0-9]+[tT](?![A-Za-z0-9_.]))
    | (?P<days>[0-9]+[dD](?![A-Za-z0-9_.]))
    | (?P<number>[0-9]+(?![A-Za-z0-9_.]))
    | (?P<word>[\w.-]+)
    | (?P<sign>[=<>!~]+)
    | (?P<mark>[()\[\],])
    | (?P<end>\Z)
    | (?P<other>&+|\|+|.)
    )""",
    re.VERBOSE | re.DOTALL,
)
_TRAIT = re.compile(r"([0-9]{1,20})[tT]")
_WORDS = {"AND": "and", "OR": "or", "NOT": "not", "FREQUENCY": "frequency"}
_RECENCY: dict[str, RecencyOperator] = {"<=": "<=", ">=": ">=", "=>": ">="}
_COUNT: dict[str, CountOperator] = {"<=": "<=", ">=": ">=", "=>": ">=", "==": "=="}


def parse_segment_rule(text: str) -> Expression[SegmentTerm]:
    """The syntax tree of a rule, every number checked."""
    source = Source(text, max_chars=MAX_SEGMENT_RULE_CHARS)
    return _SegmentParser(source, _tokens(source.text)).parse()


def traits_written_in(text: str) -> set[int]:
    """The traits that a rule names, found without parsing it; of a text that is no rule, perhaps others."""
    return {int(digits) for digits in _TRAIT.findall(text)}


def _tokens(text: str) -> list[Token]:
    tokens = []
    for match in _TOKEN.finditer(text):
        kind = cast("str", match.lastgroup)
        word, at = match[kind], match.start(kind)
        if kind == "word":
            kind = _WORDS.get(word.upper(), "word") if len(word) <= 9 else "word"
        elif kind == "mark":
            kind = word
        tokens.append(Token(kind, word, at))
        if kind == "end":
            break
    return tokens


class _SegmentParser(BooleanParser[SegmentTerm]):
    """Parses traits and frequencies; joiners and parentheses are the base's."""

    def __init__(self, source: Source, tokens: list[Token]) -> None:
        super().__init__(source, tokens)
        self._traits: set[int] = set()

    def term(self) -> Expression[SegmentTerm]:
        token = self.token
        if token.kind == "trait":
            return Held(self._trait())
        if token.kind == "frequency":
            return self._frequency()
        if token.kind in {"end", ")", "and", "or"}:
            raise self.missing("a trait or FREQUENCY")
        raise self.source.error(
            token.at, f"expected a trait or FREQUENCY, found {shown(token.text)}", trait_hint(token.text)
        )

    def stray(self, token: Token) -> RuleError:
        before = self.previous()
        message = f"expected AND or OR, found {shown(token.text)}"
        if token.kind == "sign" and before is not None and before.kind == "trait":
            hint = f"to count realisations: FREQUENCY([{before.text}]) {comparison_hint(token.text)} 3"
        else:
            hint = word_hint(token.text)
        return self.source.error(token.at, message, hint)

    def _frequency(self) -> Frequency:
        keyword = self.advance()
        opening = self._expect("(", f'"(" after {keyword.text}', "FREQUENCY([1000T]) >= 1")
        traits = self._array()
        recency, days = self._recency() if self.token.kind == "sign" else (None, None)
        if self.token.kind == "end":
            raise self.source.error(opening.at, 'this "(" is never closed', 'add the ")" it needs')
        if self.token.kind == "days":
            raise self.source.error(
                self.token.at, "expected <= or >= before the days", f"<= {self.token.text}: within that time"
            )
        self._expect(")", '")" after the traits and days', "FREQUENCY([1000T] <= 5D) >= 1")
        operator, count = self._count()
        return Frequency(traits, recency, days, operator, count)

    def _array(self) -> tuple[int, ...]:
        opening = self._expect("[", '"[" before the traits', "FREQUENCY([1000T,1001T]) >= 1")
        traits = [self._trait()]
        while self.token.kind in {",", "or"}:
            self.advance()
            traits.append(self._trait())
        if self.token.kind == "end":
            raise self.source.error(opening.at, 'this "[" is never closed', 'add the "]" it needs')
        if self.token.kind == "and":
            raise self.source.error(
                self.token.at,
                "the traits of one FREQUENCY are counted together; AND cannot join them",
                "write FREQUENCY([1000T]) >= 1 AND FREQUENCY([1001T]) >= 1",
            )
        self._expect("]", '"," or "]" after a trait', "[1000T,1001T]")
        return tuple(dict.fromkeys(traits))

    def _trait(self) -> int:
        token = self.token
        if token.kind != "trait":
            found = f", found {shown(token.text)}" if token.kind != "end" else ""
            raise self.source.error(token.at, f"expected a trait{found}", trait_hint(token.text))
        trait = self._integer(token, token.text[:-1], MAX_TRAIT_ID, "a trait id", minimum=1)
        self._traits.add(trait)
        if len(self._traits) > MAX_SEGMENT_TRAITS:
            raise self.source.error(
                token.at,
                f"a segment rule has at most {MAX_SEGMENT_TRAITS:,} traits",
                "split it into several segments",
            )
        self.advance()
        return trait

    def _recency(self) -> tuple[RecencyOperator, int]:
        sign = self.advance()
        operator = _RECENCY.get(sign.text)
        token = self.token
        if operator is None:
            raise self.source.error(
                sign.at,
                f"{shown(sign.text)} does not compare days; <= and >= do",
                f"write {comparison_hint(sign.text)}: <= 5D is within the last 5 days, >= 5D is before that",
            )
        if token.kind != "days":
            hint = f"write {token.text}D" if token.kind == "number" else "write days as in 5D"
            raise self.source.error(token.at, f"expected days after {sign.text}", hint)
        days = self._integer(token, token.text[:-1], MAX_RECENCY_DAYS, "a number of days", minimum=1)
        self.advance()
        return operator, days

    def _count(self) -> tuple[CountOperator, int]:
        sign = self.token
        if sign.kind != "sign":
            raise self.source.error(
                sign.at, "a FREQUENCY is compared with a number", "to ask for any realisation: >= 1"
            )
        operator = _COUNT.get(sign.text)
        self.advance()
        token = self.token
        if operator is None:
            raise self.source.error(
                sign.at,
                f"{shown(sign.text)} does not compare a FREQUENCY; >=, <= and == do",
                self._count_hint(sign.text, token),
            )
        if token.kind != "number":
            raise self.source.error(
                token.at, f"expected a number after {sign.text}", f"{sign.text} 3, without a letter"
            )
        count = self._integer(token, token.text, MAX_FREQUENCY, "a FREQUENCY", minimum=0)
        self.advance()
        return operator, count

    @staticmethod
    def _count_hint(sign: str, number: Token) -> str:
        if number.kind == "number" and len(number.text) < 10:
            if sign == ">":
                return f"write >= {int(number.text) + 1}"
            if sign == "<" and int(number.text) > 0:
                return f"write <= {int(number.text) - 1}"
            if sign in {"!=", "<>"}:
                return f"write NOT FREQUENCY([…]) == {int(number.text)}"
        return f"write {comparison_hint(sign)}"

    def _integer(self, token: Token, digits: str, maximum: int, what: str, *, minimum: int) -> int:
        # The length is checked first: turning a megabyte of digits into a number takes minutes.
        number = int(digits) if len(digits) <= 20 else maximum + 1
        if not minimum <= number <= maximum:
            raise self.source.error(token.at, f"{what} is from {minimum} to {maximum:,}, not {shown(digits)}")
        return number

    def _expect(self, kind: str, what: str, example: str) -> Token:
        if self.token.kind != kind:
            found = f", found {shown(self.token.text)}" if self.token.kind != "end" else ""
            raise self.source.error(self.token.at, f"expected {what}{found}", f"as in {example}")
        return self.advance()
