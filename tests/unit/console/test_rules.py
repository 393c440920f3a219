"""A rule on a page: its own text, with the names of traits beside it."""

from __future__ import annotations

from arke.console.rules import RULE_CHARS, RulePiece, pieces
from arke.console.source import excerpt


def test_the_pieces_are_the_rule() -> None:
    rule = "frequency([1000T, 1001t] <= 5D) => 3\n AND not 1000T"
    found = pieces(rule, {1000: "Camera"})
    assert "".join(piece.text for piece in found) == rule
    assert [piece.text for piece in found if piece.kind == "word"] == ["frequency", "AND", "not"]
    assert [(piece.text, piece.name) for piece in found if piece.kind == "trait"] == [
        ("1000T", "Camera"),
        ("1001t", ""),
        ("1000T", ""),
    ]
    assert [piece.text for piece in found if piece.kind == "sign"] == ["<=", "=>"]


def test_of_a_very_long_rule_the_beginning_is_shown() -> None:
    rule = " OR ".join(f"{number}T" for number in range(1, 9_000))
    found = pieces(rule, {})
    assert found[-1] == RulePiece("text", f" … ({len(rule):,} characters)")
    assert sum(len(piece.text) for piece in found[:-1]) == RULE_CHARS


def test_the_lines_around_a_problem() -> None:
    text = "\n".join(f"line {number}" for number in range(1, 21))
    shown = excerpt(text, [3, 4, 12, 99])
    assert [line.number for line in shown] == [1, 2, 3, 4, 5, 6, 10, 11, 12, 13, 14]
    assert [line.number for line in shown if line.bad] == [3, 4, 12]
    assert [line.number for line in shown if line.gap] == [10]
    assert shown[0].text == "line 1"
