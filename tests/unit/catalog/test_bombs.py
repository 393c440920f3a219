"""Texts made to exhaust the reader are refused within a second of a machine at full speed, and in 64 MB."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import pytest

from reference import ends_soon
from unit.catalog.marked import errors_of

if TYPE_CHECKING:
    from collections.abc import Callable

MB = 1024 * 1024


def _laughs() -> str:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    for before, name in zip("abcdefghijk", "bcdefghijkl", strict=True):
        lines.append(f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]")
    return "\n".join(lines)


BOMBS: dict[str, tuple[Callable[[], str], str]] = {
    "billion laughs": (_laughs, "an alias"),
    "deep yaml": (lambda: "[" * 1_000_000, "nested more than 16 deep"),
    "deep yaml blocks": (lambda: "- " * 1_000_000, "nested more than 16 deep"),
    "deep json": (lambda: '{"a":' * 1_000_000, "nested more than 16 deep"),
    "deep closed json": (lambda: f'{{"traits": {"[" * 500_000}{"]" * 500_000}}}', "nested more than 16 deep"),
    "moderately deep json": (lambda: f'{{"traits": {"[" * 900}{"]" * 900}}}', "nested more than 16 deep"),
    "million keys in json": (
        lambda: "{" + ",".join(f'"k{n}":1' for n in range(1_000_000)) + "}",
        "more than 64",
    ),
    "million keys in yaml": (lambda: "\n".join(f"k{n}: 1" for n in range(1_000_000)), "more than 64 fields"),
    "same key a million times": (lambda: "traits: 1\n" * 1_000_000, "more than 100 fields stand twice"),
    "same json key a million times": (lambda: "{" + '"a":1,' * 1_000_000 + "}", "stand twice"),
    "million entries": (lambda: f"traits: [{'{},' * 1_000_000}]", "more than 100,000 entries"),
    "million json entries": (lambda: f'{{"traits": [{"{}," * 1_000_000}1]}}', "more than 100,000 entries"),
    "huge integer": (lambda: f"segments: [{{id: {'9' * 3_000_000}}}]", "id must be a whole number"),
    "huge json integer": (
        lambda: f'{{"segments": [{{"id": {"9" * 3_000_000}}}]}}',
        "id must be a whole number",
    ),
    "huge exponent": (lambda: f'{{"segments": [{{"id": 1e{"9" * 3_000_000}}}]}}', "id must be"),
    "many escapes": (lambda: '{"a": "' + '\\"' * 2_000_000, "not valid"),
    "long rule": (lambda: f"traits: [{{id: 1, rule: '{'(' * 3_000_000}'}}]", "at most 131072"),
    "nested rule": (lambda: f"traits: [{{id: 1, rule: '{'(' * 131_000}'}}]", "c.yaml:1:"),
    "nots in a rule": (lambda: f"segments: [{{id: 1, rule: '{'NOT ' * 32_000}1T'}}]", "c.yaml:1:"),
}


@pytest.mark.parametrize(("make", "expected"), BOMBS.values(), ids=BOMBS.keys())
def test_a_bomb_is_refused_quickly_and_in_little_memory(make: Callable[[], str], expected: str) -> None:
    text = make()
    errors_of("segments: [{id: 0}]")  # so that imports and caches are not counted
    assert ends_soon(lambda: errors_of(text))
    tracemalloc.start()
    try:
        problems = errors_of(text)
        assert tracemalloc.get_traced_memory()[1] < 64 * MB
    finally:
        tracemalloc.stop()
    assert expected in str(problems[0])
