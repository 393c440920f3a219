"""What the ledger remembers of a delivery, acknowledged or not."""

from __future__ import annotations

import pytest
from msgspec import Raw

from arke.domain.ledger import (
    MAYBE_0,
    MAYBE_1,
    TOLD_0,
    TOLD_1,
    TRIES_KEPT,
    LedgerEntry,
    Try,
    decode_entry,
    encode_entry,
)
from arke.domain.recording import record


def attempt(at: int, answer: str = "200") -> Raw:
    return Try(at, f"message-{at}", answer, "realtime").stored()


def after(before: dict[str, int], one: bool, acknowledged: bool) -> int:
    """The state of alias `a` after it was told 1 or 0."""
    entry = LedgerEntry(5, dict(before), [])
    ones, zeros = (("a",), ()) if one else ((), ("a",))
    return record(entry, ones, zeros, attempt(9), acknowledged=acknowledged, seq=9).told["a"]


@pytest.mark.parametrize("before", [{}, {"a": TOLD_0}, {"a": TOLD_1}, {"a": MAYBE_0}, {"a": MAYBE_1}])
def test_an_acknowledgement_settles_it(before: dict[str, int]) -> None:
    """Whatever was known or guessed before."""
    assert after(before, one=True, acknowledged=True) == TOLD_1
    assert after(before, one=False, acknowledged=True) == TOLD_0


@pytest.mark.parametrize(
    ("before", "then"),
    [({}, MAYBE_1), ({"a": TOLD_0}, MAYBE_1), ({"a": TOLD_1}, TOLD_1), ({"a": MAYBE_0}, MAYBE_1)],
)
def test_a_1_that_was_not_acknowledged_may_have_arrived(before: dict[str, int], then: int) -> None:
    """Only where a 1 was acknowledged before it is certain."""
    assert after(before, one=True, acknowledged=False) == then


@pytest.mark.parametrize("before", [{"a": TOLD_1}, {"a": MAYBE_1}, {"a": MAYBE_0}])
def test_a_0_that_was_not_acknowledged_may_not_have_arrived(before: dict[str, int]) -> None:
    """The destination may still believe 1."""
    assert after(before, one=False, acknowledged=False) == MAYBE_0


def test_aliases_that_were_not_told_keep_their_state() -> None:
    """And the entry before is not changed in place: a message under way still refers to it."""
    before = LedgerEntry(5, {"a": TOLD_1, "b": TOLD_0}, [])
    entry = record(before, ("c",), (), attempt(9), acknowledged=True, seq=9)
    assert entry.told == {"a": TOLD_1, "b": TOLD_0, "c": TOLD_1}
    assert before.told == {"a": TOLD_1, "b": TOLD_0}


def test_positions_never_go_back() -> None:
    """A message built from an older record than the last one acknowledged."""
    assert record(LedgerEntry(9, {}, []), (), (), attempt(1), acknowledged=True, seq=5).seq == 9
    assert record(None, ("a",), (), attempt(1), acknowledged=True, seq=5).seq == 5


def test_an_id_from_another_device_keeps_position_0_until_acknowledged() -> None:
    """Until then its stamps are those of its former device."""
    adopted = LedgerEntry(0, {"a": TOLD_1}, [attempt(1)])
    assert record(adopted, (), ("a",), attempt(2, "500"), acknowledged=False, seq=7).seq == 0
    assert record(adopted, (), ("a",), attempt(2), acknowledged=True, seq=7).seq == 7


def test_the_last_tries_are_kept() -> None:
    """Enough for `explain`, bounded for the store."""
    entry = None
    for at in range(TRIES_KEPT + 3):
        entry = record(entry, ("a",), (), attempt(at), acknowledged=True, seq=at)
    assert entry is not None
    assert [one.at for one in entry.tries] == list(range(3, TRIES_KEPT + 3))
    assert decode_entry(encode_entry(entry)) == entry
