"""What to suggest when a segment rule does not parse: the mistakes people make, and what they meant."""

from __future__ import annotations

import re
from difflib import get_close_matches

_JOINERS = {"&&": "AND", "&": "AND", "||": "OR", "|": "OR", ",": "OR", ";": "OR", "not": "AND NOT"}
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
    meant = _JOINERS.get(text.lower())
    if meant is None and text.isalpha() and len(text) <= 6:
        near = get_close_matches(text.upper(), ("AND", "OR"), n=1, cutoff=0.65)
        meant = near[0] if near else None
    return f"write {meant}" if meant is not None else "join two terms with AND or OR"


def comparison_hint(sign: str) -> str:
    """The nearest comparison that a segment rule has."""
    return _COMPARISONS.get(sign, sign if sign in {">=", "<=", "=="} else ">=")
