"""Flags and ids as databases and data frames write them."""

from __future__ import annotations

import pytest

from arke.errors import InvalidInput
from arke.onboarding.allowance import parse_allowance, percent_of
from arke.onboarding.cells import flag_of, id_of, lost_digits


@pytest.mark.parametrize(
    ("texts", "flag"),
    [
        ("1 1.0 1. 1.00 +1 +1.0 t T true TRUE True y Y yes Yes YES on On", 1),
        ("0 0.0 0. 0.000 -0.0 -1 -1.0 f F false False FALSE n N no NO off OFF", 0),
        ("2 1.5 01 -2 maybe tr ja x NULL null NaN none 1,0 1e0 \u0661", None),
    ],
)
def test_flags(texts: str, flag: int | None) -> None:
    assert {text: flag_of(text) for text in texts.split()} == dict.fromkeys(texts.split(), flag)


@pytest.mark.parametrize(
    ("text", "is_id"),
    [
        ("1.0", "1"),
        ("8812345.00", "8812345"),
        ("1.5", "1.5"),
        ("1.0.0", "1.0.0"),
        ("v1.0", "v1.0"),
        ("007", "007"),
        (".0", ".0"),
    ],
)
def test_an_id_that_went_through_floats(text: str, is_id: str) -> None:
    assert id_of(text) == is_id


@pytest.mark.parametrize("text", ["1.23457E+15", "1e+16", "1E15", "9.1e20"])
def test_a_number_that_has_lost_digits_is_nobodys_id(text: str) -> None:
    assert lost_digits(text)
    assert not lost_digits(f"{text}x")


@pytest.mark.parametrize(
    ("text", "lost", "of", "admitted"),
    [
        ("5%", 5, 100, True),
        ("5%", 6, 100, False),
        ("0.5 %", 1, 200, True),
        ("0%", 1, 1_000_000, False),
        ("100%", 7, 7, True),
        ("3", 3, 3, True),
        ("3", 4, 1_000_000, False),
        ("0", 0, 0, True),
    ],
)
def test_how_many_may_be_lost(text: str, lost: int, of: int, admitted: bool) -> None:
    assert parse_allowance(text, "here").admits(lost, of) is admitted


@pytest.mark.parametrize("text", ["", "5 percent", "-1", "0.05", "101%", "%", "1e3", "\u0665%"])
def test_what_is_no_allowance_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"^here: "):
        parse_allowance(text, "here")


def test_shares_for_people() -> None:
    shares = [percent_of(0, 0), percent_of(1, 3), percent_of(1, 1_000_000), percent_of(9_999, 10_000)]
    assert shares == ["0%", "33.3%", "0.1%", "99.9%"]
    assert (percent_of(1, 2), percent_of(3, 3)) == ("50%", "100%")
