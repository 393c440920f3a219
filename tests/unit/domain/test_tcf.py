"""What a TC string permits: strings that IAB's own libraries publish with what is in them, and made ones."""

from __future__ import annotations

import pytest

from arke.domain.consent.tcf import permits
from consent_strings import tc_string

PURPOSES_1_AND_2 = "COwxsONOwxsONKpAAAENAdCAAMAAAAAAAAAAAAAAAAAA"
"""IAB's example: purposes 1 and 2, and no vendor."""
NO_PURPOSE_VENDORS_702_703 = (
    "COwBOpCOwBOpCLqAAAENAPCAAAAAAAAAAAAAFfwAYFfAV-BVkAGBVYFWAAA."
    "IFoEUQQgAIQwgIwQABAEAAAAOIAACAIAAAAQAIAgEAACEAAAAAgAQBAAAAAAAGBAAgAAAAAAAFAAECAAAgAAQARAEQAAAAAJAAIAAgAAAYQEAAAQmAgBC3ZAYzUw"
)
"""IAB's example for ranges."""


@pytest.mark.parametrize(
    ("text", "vendor", "purposes", "permitted"),
    [
        (PURPOSES_1_AND_2, 10, (1,), False),
        (PURPOSES_1_AND_2, 10, (), True),
        (NO_PURPOSE_VENDORS_702_703, 702, (1,), False),
        (tc_string({1, 10}, {565}), 565, (1, 10), True),
        (tc_string({1, 10}, {565}) + ".YAAAAAAAAAA", 565, (1, 10), True),
        (tc_string({1, 10}, {565}, ranges=True), 565, (1, 10), True),
        (tc_string({1, 10}, {564, 566}), 565, (1, 10), False),
        (tc_string({1, 10}, {564, 566}, ranges=True), 565, (1, 10), False),
        (tc_string({1, 10}, {12}), 565, (1, 10), False),
        (tc_string({1}, {565}), 565, (1, 10), False),
        (tc_string({10}, {565}), 565, (1, 10), False),
        (tc_string(range(1, 25), {1}), 1, range(1, 25), True),
        (tc_string(), 565, (1, 10), False),
        (tc_string({2, 3, 4, 5, 6, 7, 8, 9}, {565}), 565, (1, 10), False),
    ],
)
def test_every_purpose_and_the_vendor_are_needed(
    text: str, vendor: int, purposes: tuple[int, ...], permitted: bool
) -> None:
    assert permits(text, vendor, purposes) is permitted


@pytest.mark.parametrize("ranges", [False, True])
def test_publishers_restrict_purposes_of_vendors(ranges: bool) -> None:
    """0: not at all. 1: by consent alone. 2: by legitimate interest alone, to which somebody may object."""

    def permitted(kind: int, of: tuple[int, int], purpose: int = 10, unobjected: int | None = None) -> bool:
        text = tc_string(
            {1, 10},
            {565},
            interest=set() if unobjected is None else {10},
            interest_vendors=set() if unobjected is None else {unobjected},
            restrictions=[(purpose, kind, [(3, 4), of])],
            ranges=ranges,
        )
        return permits(text, 565, (1, 10))

    assert not permitted(0, (565, 565))
    assert not permitted(0, (500, 600))
    assert permitted(0, (566, 600))
    assert permitted(1, (565, 565))
    assert not permitted(2, (565, 565))
    assert permitted(2, (565, 565), unobjected=565)
    assert not permitted(2, (565, 565), unobjected=564)
    assert permitted(2, (565, 565), purpose=1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "CPabc",
        "C" * 5_000,
        "BOEFEAyOEFEAyAHABDENAI4AAAB9vABAASA",  # version 1
        "COwxsONOwxsONKpAAAENAdCAAMAAAAAAAAAAAAAAA",
        tc_string({1, 10}, {565})[:-40],
        "CO+xsONOwxsONKpAAAENAdCAAMAAAAAAAAAAAAAAAAAA",
        "CÖwxsONOwxsONKpAAAENAdCAAMAAAAAAAAAAAAAAAAAA",
        tc_string({1, 10}, {565}, version=3),
    ],
)
def test_what_is_no_tc_string_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        permits(text, 565, (1, 10))
