"""The grammar of trait rules: text to tokens to a syntax tree of comparisons (dossier 10.1).

    rule       = alternative { OR alternative }         alternative = factor { AND factor }
    factor     = NOT factor | ( rule ) | comparison | range
    comparison = key operator value                     range       = number order key [ order number ]
    value      = "text" | 'text' | bareword             key         = "text" | 'text' | bare key
    bare key   = letters and digits of any script, - _ . : (at least one letter)

What stands before an operator is a key, in quotes or not; what stands behind it is a value. Accepted and printed
in one form: `=` for `==`, `=>` for `>=`, operators and joiners in any letter case.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

import re2

from arke.domain.rules.boolean import BooleanParser, all_of
from arke.domain.rules.comparison import (
    JOINERS,
    ORDERING,
    Comparison,
    Number,
    Operator,
    is_bare_key,
    number_in,
    quoted,
    unquoted,
    written,
)
from arke.domain.rules.expression import Expression
from arke.domain.rules.hints import joiner_hint, key_hint, operator_hint, regex_hint
from arke.domain.rules.source import Source, Token, shown

if TYPE_CHECKING:
    from arke.errors import RuleError

MAX_TRAIT_RULE_CHARS = 65_536
MAX_VALUE_CHARS = 4_096
MAX_REGEX_CHARS = 1_000
MAX_REGEXES = 100
_REGEX_MAX_MEMORY_BYTES = 1 << 20

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<paren>[()])
    | (?P<sign>[=<>!~]+)
    | (?P<word>[^\s()=<>!~"'“”„‘’«»&|,;\[\]{}]+)
    | (?P<string>"[^"\\\r\n]*(?:\\[^\r\n][^"\\\r\n]*)*"|'[^'\\\r\n]*(?:\\[^\r\n][^'\\\r\n]*)*')
    | (?P<curly>[“”„‘’«»][^“”„‘’«»\r\n"']*[“”„‘’«»]?)
    | (?P<end>\Z)
    | (?P<other>&+|\|+|.)
    )""",
    re.VERBOSE | re.DOTALL,
)
_SIGNS: dict[str, Operator] = {
    "==": "==",
    "=": "==",
    "!=": "!=",
    ">": ">",
    "<": "<",
    ">=": ">=",
    "=>": ">=",
    "<=": "<=",
}
_NAMES: dict[str, Operator] = {
    "contains": "contains",
    "matcheswords": "matcheswords",
    "startswith": "startswith",
    "endswith": "endswith",
    "matchesregex": "matchesregex",
}
_MIRRORED: dict[str, Operator] = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_WORD_ENDERS = frozenset(("end", "and", "or", "not", ")"))


def parse_trait_rule(text: str, *, ignore_case: bool) -> Expression[Comparison]:
    """The syntax tree of a rule, every value checked and every regular expression compiled."""
    source = Source(text, max_chars=MAX_TRAIT_RULE_CHARS)
    return _TraitParser(source, _tokens(source), ignore_case=ignore_case).parse()


def _tokens(source: Source) -> list[Token]:
    tokens = []
    for match in _TOKEN.finditer(source.text):
        kind = cast("str", match.lastgroup)
        text, at = match[kind], match.start(kind)
        if kind == "word":
            kind = JOINERS.get(text.upper(), "word") if len(text) <= 3 else "word"
        elif kind == "paren":
            kind = text
        elif kind == "end":
            tokens.append(Token(kind, text, at))
            break
        elif kind == "curly":
            raise source.error(
                at,
                f"{shown(text)} has typographic quotes",
                f"use straight quotes: {quoted(text.strip('“”„‘’«»'))}",
            )
        elif kind == "other" and text in {'"', "'"}:
            raise source.error(
                at, "this quote is never closed on its line", f"add the closing {text}, or delete this one"
            )
        tokens.append(Token(kind, text, at))
    return tokens


class _TraitParser(BooleanParser[Comparison]):
    """Parses comparisons; joiners and parentheses are the base's."""

    def __init__(self, source: Source, tokens: list[Token], *, ignore_case: bool) -> None:
        super().__init__(source, tokens)
        self._ignore_case = ignore_case
        self._regexes = 0

    def term(self) -> Expression[Comparison]:
        token = self.token
        if self._is_key():
            return self._comparison()
        if token.kind == "word" and number_in(token.text) is not None and self.peek().kind == "sign":
            return self._range()
        if token.kind in {"word", "string"}:
            raise self.source.error(token.at, f"{shown(token.text)} is not a key name", key_hint(token.text))
        if token.kind in {"sign", "other"}:
            raise self.source.error(
                token.at,
                f"expected a key name, found {shown(token.text)}",
                joiner_hint(token.text) or key_hint(token.text),
            )
        raise self.missing("a comparison")

    def stray(self, token: Token) -> RuleError:
        return self.source.error(
            token.at, f"expected AND or OR, found {shown(token.text)}", self._stray_hint(token)
        )

    def _stray_hint(self, token: Token) -> str:
        before = self.previous()
        unquoted_value = before.text if before is not None and before.kind == "word" else None
        if unquoted_value is not None and token.kind != "word" and len(token.text) == 1:
            chunk = self.source.text[token.at - len(unquoted_value) :].split(None, 1)[0].rstrip(")")
            if chunk.startswith(unquoted_value + token.text) and chunk != unquoted_value + token.text:
                return f"a value with signs in it needs quotes: {quoted(chunk[:60])}"
        if token.kind == "not":
            return "write AND NOT"
        hint = joiner_hint(token.text)
        if hint is not None:
            return hint
        if token.kind == "sign":
            return "a comparison is one key, one operator and one value; join two with AND"
        if unquoted_value is not None and token.kind == "word":
            return f"a value of several words needs quotes: {quoted(f'{unquoted_value} {token.text}'[:60])}"
        return "join two comparisons with AND or OR"

    def _is_key(self) -> bool:
        token = self.token
        if token.kind == "string":
            return len(token.text) > 2
        return token.kind == "word" and is_bare_key(token.text)

    def _key(self) -> str:
        token = self.advance()
        return unquoted(token.text) if token.kind == "string" else token.text

    def _comparison(self) -> Comparison:
        key = self._key()
        operator, sign = self._operator(key)
        value, at = self._value(sign)
        return self._checked(key, operator, value, at)

    def _range(self) -> Expression[Comparison]:
        """`1.00 <= price <= 100.00`, which is `price >= 1.00 AND price <= 100.00`."""
        low = self.advance()
        operator, _ = self._operator(low.text)
        if operator not in ORDERING or not self._is_key():
            raise self.source.error(low.at, f"{shown(low.text)} is not a key name", key_hint(low.text))
        key = self._key()
        parts = [self._checked(key, _MIRRORED[operator], low.text, low.at)]
        if self.token.kind == "sign":
            sign = self.token
            operator, _ = self._operator(key)
            if operator not in ORDERING:
                raise self.source.error(
                    sign.at,
                    f"a range ends with < or <=, not {sign.text}",
                    f"1.00 <= {written(key)} <= 100.00",
                )
            value, at = self._value(sign)
            parts.append(self._checked(key, operator, value, at))
        return all_of(parts)

    def _operator(self, key: str) -> tuple[Operator, Token]:
        token = self.token
        operator = _SIGNS.get(token.text) if token.kind == "sign" else None
        if token.kind == "word":
            operator = _NAMES.get(token.text.lower())
        if operator is not None:
            self.advance()
            return operator, token
        if token.kind in _WORD_ENDERS and token.kind != "not":
            raise self.source.error(
                token.at,
                f"{shown(key)} is not compared with anything",
                f'to ask only whether the key is there: {written(key)} contains ""',
            )
        raise self.source.error(
            token.at, f"{shown(token.text)} is not an operator", operator_hint(token.text, written(key))
        )

    def _value(self, operator: Token) -> tuple[str, int]:
        token = self.token
        if token.kind == "string":
            self.advance()
            return unquoted(token.text), token.at
        if token.kind == "word":
            self.advance()
            return token.text, token.at
        message = f"expected a value after {operator.text}"
        if token.kind == "end":
            raise self.source.error(token.at, message, f'write what to compare with: {operator.text} "value"')
        hint = f'put it in quotes if it is the value: "{token.text}"'
        raise self.source.error(token.at, f"{message}, found {shown(token.text)}", hint)

    def _checked(self, key: str, operator: Operator, text: str, at: int) -> Comparison:
        if len(text) > MAX_VALUE_CHARS:
            raise self.source.error(
                at, f"a value has at most {MAX_VALUE_CHARS:,} characters; this has {len(text):,}"
            )
        if operator in ORDERING:
            return Comparison(key, operator, text, self._ignore_case, self._number(key, operator, text, at))
        if operator == "matchesregex":
            return Comparison(key, operator, text, self._ignore_case, None, self._pattern(text, at))
        if operator == "matcheswords" and not text.strip():
            raise self.source.error(
                at, "matcheswords needs a word to look for", f'{written(key)} contains ""'
            )
        return Comparison(key, operator, text, self._ignore_case)

    def _number(self, key: str, operator: str, text: str, at: int) -> Number:
        number = number_in(text)
        if number is None:
            hint = "write digits with at most one decimal point, such as 500 or 99.90; for text use == or !="
            if number_in(key) is not None:
                hint = (
                    f"before an operator quotes make a key; a number stands without: {key} {operator} {text}"
                )
            raise self.source.error(at, f"{operator} compares numbers, and {shown(text)} is not one", hint)
        return number

    def _pattern(self, text: str, at: int) -> Any:
        self._regexes += 1
        if self._regexes > MAX_REGEXES:
            raise self.source.error(
                at,
                f"a rule has at most {MAX_REGEXES} regular expressions",
                'join alternatives in one: matchesregex "a.*|b.*"',
            )
        if len(text) > MAX_REGEX_CHARS:
            raise self.source.error(
                at,
                f"a regular expression has at most {MAX_REGEX_CHARS:,} characters; this has {len(text):,}",
                "split it into several, joined by OR",
            )
        options = re2.Options()
        options.max_mem = _REGEX_MAX_MEMORY_BYTES
        options.log_errors = False
        options.case_sensitive = not self._ignore_case
        try:
            return re2.compile(text, options)
        except re2.error as error:
            reason = error.args[0]
            reason = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
            raise self.source.error(at, f"bad regular expression: {reason}", regex_hint(text)) from None
