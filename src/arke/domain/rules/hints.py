"""What to suggest when a rule does not parse: the mistakes people make, and what they meant."""

from __future__ import annotations

import re
from difflib import get_close_matches

_SEGMENT_JOINERS = {"&&": "AND", "&": "AND", "||": "OR", "|": "OR", ",": "OR", ";": "OR", "not": "AND NOT"}
_COMPARISONS = {
    "=": "==", "===": "==", ">": ">=", "<": "<=", "=<": "<=", "=>": ">=", ">>": ">=", "<<": "<=",
    ">==": ">=", "<==": "<=", "=>=": ">=", "=<=": "<=",
}  # fmt: skip


def trait_hint(text: str) -> str:
    """What was meant by something that stands where a trait should."""
    if re.fullmatch(r"[0-9]{1,19}", text, re.ASCII) is not None:
        return f"write {text}T"
    if (swapped := re.fullmatch(r"[tT]([0-9]{1,19})", text, re.ASCII)) is not None:
        return f"write {swapped[1]}T"
    if text in {"!", "~"}:
        return "write NOT"
    if text == "[":
        return "traits in brackets belong to a FREQUENCY: FREQUENCY([1000T]) >= 1"
    if text and get_close_matches(text[:20].upper(), ("FREQUENCY", "RECENCY"), n=1, cutoff=0.6):
        return "write FREQUENCY([1000T] <= 5D) >= 1"
    return "a trait is its id and the letter T, as in 1000T"


def word_hint(text: str) -> str:
    """What was meant by something that stands where AND or OR should."""
    meant = _SEGMENT_JOINERS.get(text.lower())
    if meant is None and text.isalpha() and len(text) <= 6:
        near = get_close_matches(text.upper(), ("AND", "OR"), n=1, cutoff=0.65)
        meant = near[0] if near else None
    return f"write {meant}" if meant is not None else "join two terms with AND or OR"


def comparison_hint(sign: str) -> str:
    """The nearest comparison that a segment rule has."""
    return _COMPARISONS.get(sign, sign if sign in {">=", "<=", "=="} else ">=")


_TRAIT_JOINERS = {
    "&&": "AND", "&": "AND", "||": "OR", "|": "OR", "!": "NOT", "~": "NOT", ",": "OR", ";": "AND",
    "und": "AND", "oder": "OR", "y": "AND", "et": "AND", "ou": "OR", "plus": "AND", "nor": "AND NOT",
    "xor": "OR", "andnot": "AND NOT", "and_not": "AND NOT", "but": "AND",
}  # fmt: skip
_OPERATORS = {
    "===": "==", "!==": "!=", "<>": "!=", "=!": "!=", "!": "!=", "!!": "!=", "!!=": "!=",
    "~=": "matchesregex", "=~": "matchesregex", "~": "matchesregex", "=<": "<=", "=>=": ">=", "=<=": "<=",
    ">>": ">", "<<": "<",
    "is": "==", "eq": "==", "equal": "==", "equals": "==", "isequalto": "==",
    "ne": "!=", "neq": "!=", "isnt": "!=", "differs": "!=",
    "gt": ">", "ge": ">=", "gte": ">=", "lt": "<", "le": "<=", "lte": "<=",
    "has": "contains", "like": "contains", "includes": "contains", "include": "contains",
    "begins": "startswith", "beginswith": "startswith", "starts": "startswith", "prefix": "startswith",
    "ends": "endswith", "suffix": "endswith",
    "word": "matcheswords", "words": "matcheswords", "matchword": "matcheswords",
    "matches": "matchesregex", "match": "matchesregex", "regex": "matchesregex", "regexp": "matchesregex",
    "rlike": "matchesregex",
}  # fmt: skip
_NAMED = ("contains", "matcheswords", "startswith", "endswith", "matchesregex")
_ALL = "the operators are ==, !=, <, <=, >, >=, " + ", ".join(_NAMED)


def joiner_hint(text: str) -> str | None:
    """What was meant by something that stands where AND or OR should."""
    meant = _TRAIT_JOINERS.get(text.lower())
    if meant is None and text.isalpha() and len(text) <= 6:
        near = get_close_matches(text.upper(), ("AND", "OR", "NOT"), n=1, cutoff=0.65)
        meant = near[0] if near else None
    return f"write {meant}" if meant is not None else None


def operator_hint(text: str, key: str) -> str:
    """What was meant by something that stands where an operator should."""
    word = re.sub(r"[\s_-]", "", text[:100].lower())
    if word == "not":
        return f'NOT goes before the key: NOT {key} == "value"'
    if word == "in":
        return f'write one comparison for each value: {key} == "a" OR {key} == "b"'
    if word == "between":
        return f"write a range: {key} >= 1 AND {key} <= 100"
    if word == "!~":
        return f'NOT {key} matchesregex "…"'
    meant = _OPERATORS.get(word)
    if meant is None:
        near = get_close_matches(word, _NAMED, n=1, cutoff=0.6)
        meant = near[0] if near else None
    return f"did you mean {meant}?" if meant is not None else _ALL


def key_hint(text: str) -> str:
    """Why something is no key name."""
    rule = "bare key names hold letters, digits, - _ . and :, and at least one letter"
    if text[:1] in {'"', "'"}:
        return "write the name of the key between these quotes"
    bad = re.search(r"[^\w.:-]", text)
    if bad is None:
        return f'{rule}; any other stands in quotes: "{text[:40]}"'
    if not bad[0].isprintable():
        return f"delete the invisible character U+{ord(bad[0]):04X}; {rule}"
    return f'{bad[0]} needs quotes around the key: "{text[:40]}"; {rule}'


def regex_hint(pattern: str) -> str:
    """What RE2 does not know, or where to look."""
    if re.search(r"\(\?(?:[=!>]|<[=!])", pattern) is not None:
        return "regular expressions are RE2's, without look-ahead, look-behind and atomic groups; use AND NOT"
    if re.search(r"\\[1-9]", pattern) is not None:
        return "regular expressions are RE2's: back-references do not exist"
    if re.search(r"[*+?}]\+", pattern) is not None:
        return "regular expressions are RE2's: leave out the possessive +"
    if re.search(r"\\p\{(?:Is|In|Alpha|Digit|Alnum|Lower|Upper|Punct)", pattern) is not None:
        return "regular expressions are RE2's: write [[:alpha:]] or \\pL for \\p{Alpha}"
    return "see RE2's syntax; the expression must cover the whole value"
