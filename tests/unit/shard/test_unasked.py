"""Keys that no rule asks for: frequent ones are kept, nothing else grows, no name that is not fit to show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.domain.event import Event
from arke.shard.commands import Sight, Sweep
from arke.shard.unasked import EVENTS_LOOKED_AT, KEYS_LOOKED_AT, MAX_NAME_CHARS, MAX_NAMES, UnaskedKeys

if TYPE_CHECKING:
    from collections.abc import Sequence


def sight(*keys: str) -> Sight:
    return Sight(Event(uuid="1" * 38, at=1, ts=1, signals={key: ["secret"] for key in keys}))


def seen(*groups: Sequence[Sight | Sweep], asked: Sequence[str] = ("c_asked",)) -> dict[str, int]:
    keys = UnaskedKeys()
    for group in groups:
        keys.look(group, asked)
    return keys.shown(asked)


def test_names_and_how_often_they_came() -> None:
    assert seen([sight("c_asked", "c_a")], [sight("c_a", "c_b"), Sweep(1, 1)]) == {"c_a": 2, "c_b": 1}


def test_what_a_rule_asks_for_by_now_is_not_shown() -> None:
    keys = UnaskedKeys()
    keys.look([sight("c_a", "c_b")], ())
    assert keys.shown(("c_a",)) == {"c_b": 1}


def test_what_is_not_fit_to_show_is_not_kept() -> None:
    odd = ("h_user-agent", "x" * (MAX_NAME_CHARS + 1), "jane@example.com", "a\x1b[2J", "a\nb")
    data = ("4111111111111111", "tel-0612345678", "6d92078a-8246-4ba4-ae5b-76104861e7dc", "ab" * 16)
    assert seen([sight(*data, "c_a")]) == {"c_a": 1}
    assert seen([sight(*odd, "c_a")]) == {"c_a": 1}


def test_a_frequent_name_stays_among_many_that_come_once() -> None:
    groups = [[sight("c_often", *(f"x{group}-{n}" for n in range(10)))] for group in range(500)]
    found = seen(*groups)
    assert found["c_often"] > 100
    assert len(found) <= MAX_NAMES


def test_only_so_much_of_a_group_is_looked_at() -> None:
    assert sum(seen([sight("c_a")] * 512).values()) == EVENTS_LOOKED_AT
    assert len(seen([sight(*(f"k{n}" for n in range(256)))])) == KEYS_LOOKED_AT
