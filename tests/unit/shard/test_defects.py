"""How many of the newest events a shard may fail on before it says that nothing can be stored."""

from __future__ import annotations

import pytest

from arke.defects import MAX_DEFECTS
from arke.domain.event import Event
from arke.errors import StoreUnavailable
from arke.shard.commands import Command, Sight, Sweep
from arke.shard.defects import WITHIN, Newest

DEFECT = KeyError("abc")


def sights(count: int) -> list[Command]:
    return [Sight(Event(uuid=f"{number:038d}", at=1, ts=1)) for number in range(count)]


def failing(*places: int) -> dict[int, Exception]:
    return dict.fromkeys(places, DEFECT)


def test_so_many_may_follow_each_other_and_one_more_may_not() -> None:
    newest = Newest().after(sights(MAX_DEFECTS), failing(*range(MAX_DEFECTS)), acknowledged=False)
    with pytest.raises(StoreUnavailable) as held:
        newest.after(sights(1), failing(0), acknowledged=False)
    assert held.value.__cause__ is DEFECT


def test_what_could_not_be_stored_is_not_among_them() -> None:
    """Whoever is asked again once it is mended goes on from where he was."""
    newest = Newest()
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            newest.after(
                sights(2 * MAX_DEFECTS), failing(*range(MAX_DEFECTS - 1, 2 * MAX_DEFECTS)), acknowledged=False
            )
    newest.after(sights(MAX_DEFECTS), failing(*range(MAX_DEFECTS)), acknowledged=False)


def test_of_those_that_are_told_none_has_to_wait_as_long_as_one_is_sound_now_and_then() -> None:
    newest = Newest()
    for _ in range(5 * MAX_DEFECTS):
        newest = newest.after(sights(MAX_DEFECTS), failing(*range(1, MAX_DEFECTS)), acknowledged=False)


def test_of_those_whose_senders_were_told_that_they_are_taken_no_more_may_fail_among_many() -> None:
    newest = Newest()
    for _ in range(MAX_DEFECTS):
        newest = newest.after(sights(3), failing(1), acknowledged=True)
    with pytest.raises(StoreUnavailable):
        newest.after(sights(3), failing(1), acknowledged=True)


def test_those_of_long_ago_count_no_more() -> None:
    newest = Newest()
    for _ in range(3 * MAX_DEFECTS):
        newest = newest.after(sights(WITHIN // MAX_DEFECTS + 1), failing(0), acknowledged=True)
    newest = newest.after(sights(WITHIN), {}, acknowledged=True)
    newest.after(sights(MAX_DEFECTS), failing(*range(MAX_DEFECTS)), acknowledged=True)


def test_what_a_shard_does_by_itself_says_nothing_of_events() -> None:
    newest = Newest().after(sights(MAX_DEFECTS), failing(*range(MAX_DEFECTS)), acknowledged=False)
    newest = newest.after([Sweep(1, 1)], {}, acknowledged=False)
    newest = newest.after([Sweep(1, 1)], failing(0), acknowledged=False)
    with pytest.raises(StoreUnavailable):
        newest.after(sights(1), failing(0), acknowledged=False)
