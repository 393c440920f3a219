"""Items of an onboarding line: every form of the dossier, and its traps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arke.onboarding.items import Items, Malformed, read_items


def signals(**found: list[str]) -> Items:
    return Items(signals=found)


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("d_sid=24", Items(realise=[24])),
        ("d_sid=24,d_sid=26, d_sid=27", Items(realise=[24, 26, 27])),
        ('"d_sid"="24"', Items(realise=[24])),
        ("d_unsid=28", Items(remove=[28])),
        ("28:0, 29:-1", Items(remove=[28, 29])),
        ("30608,50354", signals(ic=["30608", "50354"])),
        ("ic=52,ic=55", signals(ic=["52", "55"])),
        ("product=tablet", signals(product=["tablet"])),
        ('"product"=tablet', signals(product=["tablet"])),
        ('product="tablet"', signals(product=["tablet"])),
        ('"product"="tablet"', signals(product=["tablet"])),
        ("product = tablet, product = phone", signals(product=["tablet", "phone"])),
        ('" product " = " pickup truck "', signals(product=["pickup truck"])),
        ("-product=camera,--colour=red", signals(product=["camera"], colour=["red"])),
        ('d_city="New York, NY",age=32', signals(d_city=["New York, NY"], age=["32"])),
        ("url=https://a.example/?b=c|d:e", signals(url=["https://a.example/?b=c|d:e"])),
        ("\u201cgender\u201d=\u201cfemale\u201d", signals(gender=["female"])),
        ("a=1,,b=2,", signals(a=["1"], b=["2"])),
        ("Ünï=cödé", Items(signals={"Ünï": ["cödé"]})),
    ],
)
def test_an_item_says(text: str, items: Items) -> None:
    assert read_items(text) == items


@pytest.mark.parametrize(
    "text", ["word", "28:1", "28:-2", "key=", "=value", "d_sid=abc", "d_sid=", 'a "b" = c']
)
def test_an_item_of_no_known_form_is_counted(text: str) -> None:
    """It costs only itself."""
    assert read_items(f"{text},d_sid=1") == Items(realise=[1], unread=1)


def test_a_bare_number_is_a_code_and_never_a_trait() -> None:
    items = read_items("28,28:0")
    assert (items.realise, items.remove, items.signals) == ([], [28], {"ic": ["28"]})


@pytest.mark.parametrize("text", ['a="b', 'a=b,"c', "a=1\tb=2", "a=\t"])
def test_what_cannot_be_taken_apart_is_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        read_items(text)


@given(st.text(alphabet='ab1,="\t:- \u201c\u201dic_sdun', max_size=60))
def test_anything_else_is_read_or_malformed(text: str) -> None:
    """No other exception, whatever comes."""
    try:
        items = read_items(text)
    except Malformed:
        return
    assert items.empty == (not text.replace(",", "").strip())
