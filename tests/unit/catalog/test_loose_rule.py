"""A rule outside a catalog file is refused in the words of `arke check`, with its place and a hint."""

from __future__ import annotations

import pytest

from arke.catalog.references import check_loose_rule
from arke.domain.catalog import Catalog, Trait
from arke.errors import RuleError

CATALOG = Catalog(traits=(Trait(id=1000), Trait(id=1001), Trait(id=1002, kind="onboarded")))


def refused(rule: str) -> RuleError:
    with pytest.raises(RuleError) as caught:
        check_loose_rule(rule, CATALOG)
    return caught.value


def test_unknown_traits_are_all_told_each_where_it_stands() -> None:
    error = refused("1000T AND NOT\n  1003T OR 77T")
    assert str(error) == (
        "rule:2:3: there is no trait 1003 (did you mean 1000T?)\n"
        "rule:2:12: there is no trait 77 (define it under traits)"
    )
    assert (error.line, error.column) == (2, 3)


@pytest.mark.parametrize(
    ("rule", "place"),
    [
        ("1000T AND", "rule:1:10: "),
        ("NOT 1000T", "rule:1:1: the rule is true for a profile without any traits"),
        ("", "rule:1:1: "),
        ("1000T \udc80", "rule:1:7: "),
    ],
)
def test_a_bad_rule_has_its_place(rule: str, place: str) -> None:
    assert str(refused(rule)).startswith(place)


def test_very_many_unknown_traits_are_cut_short() -> None:
    rule = " OR ".join(f"{number}T" for number in range(5_000, 5_400))
    assert len(str(refused(rule)).splitlines()) == 100


def test_doubts_are_warnings() -> None:
    assert check_loose_rule("1000T AND 1001T", CATALOG) == []
    (warning,) = check_loose_rule("FREQUENCY([1002T]) >= 2", CATALOG)
    assert warning.startswith("rule:1:1: trait 1002 is onboarded: it counts at most once")
