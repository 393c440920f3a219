"""Devices of an id are counted a day, exactly while there are few, and in bounded memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.domain.identity import SharedId
from arke.domain.time import DAY_S
from arke.engine.identity import sharing
from arke.engine.identity.sharing import Sharing
from arke.storage.keyed_hash import KeyedHash

if TYPE_CHECKING:
    import pytest

KEY = (12345, "everybodys")
NOW = 1_767_225_600
TODAY = NOW // DAY_S
HASHES = KeyedHash(b"k" * 32)


def pass_on(counter: Sharing, devices: int, key: tuple[int, str] = KEY, now: int = NOW) -> list[SharedId]:
    """The id goes from device to device; what is to be stored of that."""
    told = [counter.note(key, f"d{n}", f"d{n + 1}", now) for n in range(devices - 1)]
    return [one for one in told if one is not None]


def test_more_devices_than_may_share_an_id_are_told_once_and_at_each_doubling() -> None:
    counter = Sharing(3, HASHES)
    assert pass_on(counter, 3) == []
    assert counter.of([KEY]) == {}
    assert [one.devices for one in pass_on(counter, 20)] == [4, 8, 16]
    assert counter.of([KEY, (1, "x")]) == {KEY: SharedId(12345, 20, TODAY)}
    assert counter.lately(NOW) == [SharedId(12345, 20, TODAY)]


def test_two_devices_that_take_turns_are_two() -> None:
    counter = Sharing(3, HASHES)
    assert [counter.note(KEY, *turn, NOW) for turn in (("a", "b"), ("b", "a")) * 50] == [None] * 100


def test_every_day_is_counted_anew_and_a_report_ends_after_a_week() -> None:
    counter = Sharing(3, HASHES)
    for day in range(5):
        assert pass_on(counter, 3, now=NOW + day * DAY_S) == []
    assert pass_on(counter, 4)
    assert counter.lately(NOW + 7 * DAY_S)
    assert counter.lately(NOW + 8 * DAY_S) == []
    assert counter.of([KEY])


def test_what_was_stored_is_known_again() -> None:
    counter = Sharing(3, HASHES)
    counter.start([(HASHES.digest("12345:everybodys"), SharedId(12345, 9, TODAY))])
    assert counter.of([KEY]) == {KEY: SharedId(12345, 9, TODAY)}
    pass_on(counter, 5)
    assert counter.of([KEY])[KEY].devices == 9


def test_memory_is_bounded_and_the_most_shared_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many ids change hands once."""
    monkeypatch.setattr(sharing, "MAX_ENTRIES", 1_000)
    counter = Sharing(300, HASHES)
    assert pass_on(counter, 200) == []
    for n in range(5_000):
        counter.note((1, f"once{n}"), "a", "b", NOW)
    assert counter._entries <= 1_000
    told = [counter.note(KEY, f"d{n}", f"d{n + 1}", NOW) for n in range(200, 301)]
    assert [one.devices for one in told if one is not None] == [301]


def test_one_id_alone_is_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "COUNTED_DEVICES", 50)
    counter = Sharing(3, HASHES)
    pass_on(counter, 1_000)
    assert counter.of([KEY])[KEY].devices == 50
