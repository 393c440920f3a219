"""A rule's text: how long and how deep it may be, its tokens, and where in it something stands."""

from __future__ import annotations

from typing import NamedTuple

from arke.errors import RuleError

MAX_DEPTH = 64
"""Parentheses and NOTs inside one another. Beyond it a rule is a bomb, not a thought."""

_SHOWN_CHARS = 40


class Token(NamedTuple):
    """One word or sign of a rule: its kind, its text as written, and its offset in the rule."""

    kind: str
    text: str
    at: int


class Source:
    """A rule's text, checked for length and encoding. Makes the errors that point into it."""

    __slots__ = ("text",)

    def __init__(self, text: str, *, max_chars: int) -> None:
        self.text = text
        if len(text) > max_chars:
            raise RuleError(
                f"the rule has {len(text):,} characters; {max_chars:,} are allowed",
                hint="split it into several rules",
            )
        if not text.isascii():
            self._refuse_surrogates()

    def error(self, at: int, message: str, hint: str | None = None) -> RuleError:
        """An error at an offset, told as line and column, both from 1."""
        line_start = self.text.rfind("\n", 0, at) + 1
        line = self.text.count("\n", 0, at) + 1
        return RuleError(message, line=line, column=at - line_start + 1, hint=hint)

    def _refuse_surrogates(self) -> None:
        try:
            self.text.encode()
        except UnicodeEncodeError as error:
            raise self.error(
                error.start,
                "the rule holds half of a character (a lone surrogate)",
                "delete it and type the character again",
            ) from None


def shown(text: str) -> str:
    """Text from a rule as an error shows it: quoted, and cut where it is long."""
    return f'"{text}"' if len(text) <= _SHOWN_CHARS else f'"{text[:_SHOWN_CHARS]}…"'
