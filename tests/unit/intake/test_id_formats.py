"""Device ids of the global data sources, and ids in general (dossier 13)."""

from __future__ import annotations

import pytest

from arke.intake.id_formats import device_id_ok, is_nobody, parse_dpid, well_formed

UPPER = "AEBE52E7-03EE-455A-B3C4-E57283966239"
LOWER = "e4fe9bde-caa0-47b6-908d-ffba3fa184f2"


@pytest.mark.parametrize(
    ("dpid", "value", "ok"),
    [
        (20915, UPPER, True),
        (20915, UPPER.lower(), False),
        (20915, UPPER + "\n", False),
        (20915, "1", False),
        (20914, LOWER, True),
        (20914, LOWER.upper(), False),
        (20914, LOWER.replace("-", ""), False),
        (121963, LOWER, True),
        (488258, LOWER, True),
        (1171485, LOWER, True),
        (1171485, "z" + LOWER[1:], False),
        (389146, "AbC123", True),
        (389146, "no spaces", False),
        (963906, LOWER, True),
        (1171489, "--", False),
        (1171489, "\u0661\u0662", False),
        (12345, "anything goes: %!", True),
    ],
)
def test_each_global_data_source_has_its_form(dpid: int, value: str, ok: bool) -> None:
    assert device_id_ok(dpid, value) is ok


@pytest.mark.parametrize(
    ("value", "ok"),
    [("a", True), ("x" * 512, True), ("x" * 513, False), ("", False), ("a\nb", False), ("a\x00", False),
     ("é ü", True), ("a\x7f", False), ("a\x01b", False)],
)  # fmt: skip
def test_an_id_has_no_control_characters(value: str, ok: bool) -> None:
    assert well_formed(value) is ok


def test_the_all_zero_advertising_id_names_nobody() -> None:
    zeros = "00000000-0000-0000-0000-000000000000"
    assert is_nobody(20914, zeros)
    assert is_nobody(20915, zeros)
    assert not is_nobody(12345, zeros)
    assert not is_nobody(20914, LOWER)


@pytest.mark.parametrize(
    ("text", "dpid"),
    [("1", 1), ("2147483647", 2**31 - 1), ("2147483648", None), ("0", None), ("-1", None), ("+1", None),
     ("1_0", None), ("", None), (" 1", None), ("\u0661", None), ("9" * 5000, None)],
)  # fmt: skip
def test_a_dpid_is_a_plain_positive_number(text: str, dpid: int | None) -> None:
    assert parse_dpid(text) == dpid
