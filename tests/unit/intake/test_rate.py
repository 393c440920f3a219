"""Turns a minute, by address: counted from the first, bounded in memory, whatever the clock does."""

from __future__ import annotations

from typing import Any

import pytest

from arke.clock import ManualClock
from arke.intake import opt_outs
from arke.intake.opt_outs import PerMinute, visitor_address


def test_an_address_has_its_turns_and_again_a_minute_later() -> None:
    clock = ManualClock(1_000)
    turns = PerMinute(3, clock)
    assert [turns.wait_s("a") for _ in range(4)] == [0, 0, 0, 60]
    assert turns.wait_s("b") == 0
    clock.set(1_059.5)
    assert turns.wait_s("a") == 1
    clock.set(1_060)
    assert [turns.wait_s("a") for _ in range(4)] == [0, 0, 0, 60]


def test_a_clock_that_is_put_back_locks_nobody_out() -> None:
    clock = ManualClock(1_000)
    turns = PerMinute(1, clock)
    assert turns.wait_s("a") == 0
    clock.set(10)
    assert [turns.wait_s("a"), turns.wait_s("a")] == [0, 60]


def test_ever_new_addresses_take_no_more_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one counted the longest is forgotten; who came back since is not."""
    monkeypatch.setattr(opt_outs, "MAX_ADDRESSES", 3)
    clock = ManualClock(1_000)
    turns = PerMinute(1, clock)
    for number, address in enumerate(("a", "b", "c")):
        clock.set(1_000 + number)
        assert turns.wait_s(address) == 0
    clock.set(1_060)
    assert turns.wait_s("a") == 0  # a new window: now b is the oldest
    assert turns.wait_s("d") == 0
    assert [turns.wait_s("a") > 0, turns.wait_s("c") > 0, turns.wait_s("b")] == [True, True, 0]
    assert len(turns._seen) == 3


@pytest.mark.parametrize(
    ("client", "address"),
    [
        (("203.0.113.7", 1), "203.0.113.7"),
        (("::ffff:203.0.113.7", 1), "203.0.113.7"),
        (("2001:db8:1:2:3:4:5:6", 1), "2001:db8:1:2::/64"),
        (("2001:db8:1:2::9", 1), "2001:db8:1:2::/64"),
        (("fe80::1%eth0", 1), "fe80::/64"),
        (("somewhere", 1), "somewhere"),
        (None, ""),
    ],
)
def test_whose_turn_it_is(client: tuple[str, int] | None, address: str) -> None:
    scope: Any = {"client": client}
    assert visitor_address(scope) == address
