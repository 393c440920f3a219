"""Declared ids: every spelling, every limit, every code (dossier 13 and 14)."""

from __future__ import annotations

import pytest

from arke.domain.event import DeclaredId
from arke.intake.declared_ids import check, collect
from unit.intake.directory import Directory

IDFA = "AEBE52E7-03EE-455A-B3C4-E57283966239"


def read(**parameters: list[str]) -> tuple[tuple[DeclaredId, ...], list[int]]:
    ids, errors = check(collect(parameters), Directory.ids)
    return ids, [error.code for error in errors]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"d_cid": ["123\x01987"]}, DeclaredId(123, "987")),
        ({"d_cid": ["123\x01987\x010"]}, DeclaredId(123, "987", 0)),
        ({"d_cid": ["123\x01987\x011"]}, DeclaredId(123, "987", 1)),
        ({"d_cid": ["123\x01987\x012"]}, DeclaredId(123, "987", 2)),
        ({"d_cid": ["123\x01987\x01"]}, DeclaredId(123, "987", 0)),
        ({"d_cid_ic": ["acme\x01987\x011"]}, DeclaredId(123, "987", 1)),
        ({"d_cid_ic": [f"DSID_20915\x01{IDFA}"]}, DeclaredId(20915, IDFA)),
        ({"d_cid": [f"20915\x01{IDFA}"]}, DeclaredId(20915, IDFA)),
        ({"d_dpid": ["123"], "d_dpuuid": ["987"]}, DeclaredId(123, "987")),
        ({"dpid": ["123"], "dpuuid": ["987"]}, DeclaredId(123, "987")),
        ({"d_cid": ["123\x01with space:%,"]}, DeclaredId(123, "with space:%,")),
    ],
)
def test_every_spelling_of_an_id(parameters: dict[str, list[str]], expected: DeclaredId) -> None:
    assert read(**parameters) == ((expected,), [])


def test_spellings_mix_and_repeat() -> None:
    ids, codes = read(
        d_cid=["100\x01a", "101\x01b"], d_cid_ic=["acme\x01c"], d_dpid=["102"], d_dpuuid=["d"], dpid=["103"],
        dpuuid=["e"],
    )  # fmt: skip
    assert [(item.dpid, item.id) for item in ids] == [
        (100, "a"), (101, "b"), (123, "c"), (102, "d"), (103, "e"),
    ]  # fmt: skip
    assert codes == []


@pytest.mark.parametrize(
    ("parameters", "codes"),
    [
        ({"d_cid": ["123"]}, [300, 104]),
        ({"d_cid": ["123\x01"]}, [300, 104]),
        ({"d_cid": ["\x01987"]}, [300, 104]),
        ({"d_cid": ["abc\x01987"]}, [300, 104]),
        ({"d_cid": ["0\x01987"]}, [300, 104]),
        ({"d_cid": ["123\x01987\x013"]}, [300, 104]),
        ({"d_cid": ["123\x01987\x011\x01x"]}, [300, 104]),
        ({"d_cid": ["123\x01a\nb"]}, [300, 104]),
        ({"d_cid": ["4\x01987"]}, [300, 104]),
        ({"d_cid_ic": ["nobody\x01987"]}, [300, 104]),
        ({"d_cid_ic": ["acme\x01\x011"]}, [300, 104]),
        ({"d_dpid": ["123"]}, [300, 104]),
        ({"d_dpuuid": ["987"]}, [300, 104]),
        ({"d_cid": ["999\x01987"]}, [302, 104]),
        ({"d_cid": ["20915\x01a53cc5a2-6aa1-4210-8ded-a88b29b6212z"]}, [300, 312, 104]),
        ({"d_cid": ["20914\x01" + IDFA]}, [300, 312, 104]),
        ({"d_cid_ic": ["DSID_20915\x011"]}, [300, 312, 104]),
        ({"d_cid": ["20915\x0100000000-0000-0000-0000-000000000000"]}, [303, 104]),
        ({"d_cid": ["123\x01ok", "123\x01"]}, [300]),
        ({}, []),
    ],
)
def test_a_bad_id_is_told_and_costs_only_itself(parameters: dict[str, list[str]], codes: list[int]) -> None:
    ids, found = read(**parameters)
    assert found == codes
    assert bool(ids) is (bool(parameters) and 104 not in codes)


def test_the_fourth_id_of_a_name_space_is_dropped() -> None:
    ids, codes = read(d_cid=[f"123\x01{n}" for n in range(1, 6)])
    assert [item.id for item in ids] == ["1", "2", "3"]
    assert codes == [310, 310]


def test_beyond_ten_ids_each_dropped_one_is_named_once() -> None:
    ids, codes = read(d_cid=[f"{100 + n}\x01x{n}" for n in range(12)])
    assert len(ids) == 10
    assert codes == [301, 309, 309]
    _, errors = check(collect({"d_cid": [f"{100 + n}\x01x{n}" for n in range(12)]}), Directory.ids)
    assert "Found is 12" in errors[0].msg
    assert "x11" in errors[2].msg


def test_the_same_id_twice_counts_once_and_the_later_state_wins() -> None:
    ids, codes = read(d_cid=["123\x01a\x010", "123\x01a\x011", "123\x01b", "123\x01c"])
    assert ids == (DeclaredId(123, "a", 1), DeclaredId(123, "b"), DeclaredId(123, "c"))
    assert codes == []


def test_what_is_echoed_is_short_and_printable() -> None:
    _, errors = check(collect({"d_cid": ["123\x01" + "\n" * 9_999]}), Directory.ids)
    assert len(errors[0].msg) < 200
    assert errors[0].msg.isprintable()
