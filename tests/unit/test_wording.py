"""Numbers with what they count, as people read them."""

from __future__ import annotations

import pytest

from arke.wording import many


@pytest.mark.parametrize(
    ("number", "words", "text"),
    [
        (1, ("device",), "1 device"),
        (0, ("device",), "0 devices"),
        (1_500, ("device",), "1,500 devices"),
        (1, ("person", "people"), "1 person"),
        (2, ("person", "people"), "2 people"),
        (2, ("entry", "entries"), "2 entries"),
    ],
)
def test_one_is_one(number: int, words: tuple[str, ...], text: str) -> None:
    assert many(number, *words) == text
