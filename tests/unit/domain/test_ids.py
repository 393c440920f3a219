"""What an id may be: of the global data sources, and in general (dossier 13)."""

from __future__ import annotations

import pytest

from arke.domain.ids import IdProblem, id_problem, parse_dpid

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
    assert (id_problem(dpid, value) is None) is ok


@pytest.mark.parametrize(
    ("value", "ok"),
    [("a", True), ("x" * 512, True), ("x" * 513, False), ("", False), ("a\nb", False), ("a\x00", False),
     ("é ü", True), ("a\x7f", False), ("a\x01b", False)],
)  # fmt: skip
def test_an_id_has_no_control_characters(value: str, ok: bool) -> None:
    assert id_problem(12345, value) is (None if ok else IdProblem.MALFORMED)


def test_the_all_zero_advertising_id_names_nobody() -> None:
    zeros = "00000000-0000-0000-0000-000000000000"
    assert id_problem(20914, zeros) is IdProblem.NOBODY
    assert id_problem(20915, zeros) is IdProblem.NOBODY
    assert id_problem(12345, zeros) is None
    assert id_problem(20914, LOWER) is None


@pytest.mark.parametrize("dpid", [0, 4])
def test_the_device_and_the_ecid_are_uuids(dpid: int) -> None:
    assert id_problem(dpid, "1" * 38) is None
    assert id_problem(dpid, "1" * 37) is IdProblem.NOT_A_UUID
    assert id_problem(dpid, "\u0661" * 38) is IdProblem.NOT_A_UUID


@pytest.mark.parametrize(
    ("text", "dpid"),
    [("1", 1), ("2147483647", 2**31 - 1), ("2147483648", None), ("0", None), ("-1", None), ("+1", None),
     ("1_0", None), ("", None), (" 1", None), ("\u0661", None), ("9" * 5000, None)],
)  # fmt: skip
def test_a_dpid_is_a_plain_positive_number(text: str, dpid: int | None) -> None:
    assert parse_dpid(text) == dpid
