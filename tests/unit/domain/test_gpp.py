"""Opt-outs in GPP and US privacy strings: sections that IAB's libraries publish with what is in them."""

from __future__ import annotations

import pytest

from arke.domain.consent.gpp import applicable_sections, opts_out, us_privacy_opts_out
from consent_strings import packed, tc_string

FIBONACCI = {2: "011", 3: "0011", 4: "1011", 6: "10011", 7: "01011", 8: "000011"}


def gpp(*sections: tuple[int, str]) -> str:
    """A GPP string of sections by their numbers."""
    bits, last = f"{3:06b}{1:06b}{len(sections):012b}", 0
    for number, _ in sections:
        bits += "0" + fibonacci(number - last)
        last = number
    return "~".join([packed(bits), *(body for _, body in sections)])


def fibonacci(number: int) -> str:
    places = [1, 2]
    while places[-1] + places[-2] <= number:
        places.append(places[-1] + places[-2])
    text = ""
    for place in reversed(places):
        text = ("1" if place <= number else "0") + text
        number -= place if place <= number else 0
    return text.rstrip("0") + "1"


def test_the_tests_own_fibonacci_is_iabs() -> None:
    for number, code in FIBONACCI.items():
        assert fibonacci(number) == code
    assert gpp((2, ""), (6, "")).split("~")[0] == "DBACNY"


@pytest.mark.parametrize(
    ("text", "opted_out"),
    [
        ("DBABBg~BVqqqqpY.YA", True),  # usca: no opt-out, GPC
        ("DBABBg~BVqqqqpY.QA", False),
        ("DBABBg~BAAAAACA", False),  # usca: nothing applies
        ("DBABVg~BVVVVVVg.YA", True),  # usct: opted out of all
        ("DBABVg~BAAAAAEA", False),
        (gpp((7, "BVVVkkkklWA.YA")), True),  # usnat
        (gpp((7, "BVVVkkkklWA.QA")), True),
        (gpp((7, "BAAAAAAAAQA.QA")), False),
        (gpp((11, "BVVkklWA")), True),  # usut
        (gpp((11, "BAAAAAQA")), False),
        (gpp((25, "BVVV.kkk")), True),  # usin
        (gpp((25, "BQAA.AAA")), False),
        ("DBACNY~CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA~1YNN", False),  # tcfeuv2, uspv1
        (gpp((6, "1YYN")), True),
        (gpp((6, "1YNN"), (8, "BVVqqqpY.QA"), (9, "BVVVkklWA")), True),
        (gpp((5, "anything at all"), (99, "???")), False),
        ("", False),
        ("DBAB", False),
        ("COwxsONOwxsONKpAAAENAdCAAMAAAAAAAAAAAAAAAAAA", False),  # a TC string is none
        ("${GPP_STRING_565}", False),
        ("DBABBg~", False),
        ("DBABBg", False),
        ("D" * 100_000, False),
        ("~" * 5_000, False),
    ],
)
def test_sections_that_opt_out(text: str, opted_out: bool) -> None:
    assert opts_out(text, None, None, ()) is opted_out


def two_bits(*fields: int) -> str:
    """A section of version 1 with these fields behind the version."""
    return packed("000001" + "".join(f"{field:02b}" for field in fields) + "0" * 40)


@pytest.mark.parametrize(
    ("section", "at"),
    [
        *((7, at) for at in (6, 7, 8)),
        *((section, at) for section in (8, 9, 10, *range(12, 18), *range(19, 24)) for at in (3, 4)),
        *((section, at) for section in (11, 18) for at in (4, 5)),
        *((section, at) for section in range(24, 28) for at in (5, 6)),
    ],
)
def test_every_opt_out_of_every_state_counts(section: int, at: int) -> None:
    """1 is opted out, 2 is not, 0 does not apply; what stands elsewhere, a notice for one, is none."""
    fields = [2] * 9
    assert not opts_out(gpp((section, two_bits(*fields))), None, None, ())
    fields[at] = 1
    assert opts_out(gpp((section, two_bits(*fields))), None, None, ())
    assert not opts_out(gpp((section, two_bits(1, 1, 1, *[0] * 6))), None, None, ())


def test_only_sections_that_apply_count() -> None:
    text = gpp((6, "1YYN"), (8, "BAAAAACA"))
    assert opts_out(text, None, None, ())
    assert opts_out(text, {6, 8}, None, ())
    assert not opts_out(text, {8}, None, ())
    assert not opts_out(text, frozenset(), None, ())


def test_one_section_that_cannot_be_read_takes_none_along() -> None:
    assert opts_out(gpp((7, "!"), (8, "B"), (12, "BVVVVVVg.YA")), None, None, ())


def test_a_tc_string_needs_a_vendor() -> None:
    """Without one nobody knows whose consent to look for."""
    text = gpp((2, tc_string({1, 10}, {565})))
    assert not opts_out(text, None, 565, (1, 10))
    assert opts_out(text, None, 566, (1, 10))
    assert not opts_out(text, None, None, (1, 10))


@pytest.mark.parametrize(
    ("text", "sections"),
    [
        ("7", {7}),
        ("7,8", {7, 8}),
        ("7_8", {7, 8}),
        (" 2, 6 ", {2, 6}),
        ("-1", set()),
        ("", None),
        ("${GPP_SID}", None),
        ("²", None),
        ("9" * 5_000, None),
    ],
)
def test_which_sections_apply(text: str, sections: set[int] | None) -> None:
    assert applicable_sections(text) == sections


@pytest.mark.parametrize(
    ("text", "opted_out"),
    [
        ("1YYN", True),
        ("1-Y-", True),
        ("1yyn", True),
        ("1YNN", False),
        ("1---", False),
        ("1NN-", False),
        ("", False),
        ("YYYN", False),
        ("1YYNN", False),
        ("${US_PRIVACY}", False),
        ("1YYN\n", False),
    ],
)
def test_us_privacy(text: str, opted_out: bool) -> None:
    assert us_privacy_opts_out(text) is opted_out
