"""A message of the log as bytes: what a later version wrote, and what nobody wrote."""

from __future__ import annotations

import msgspec
import pytest

from arke.domain.event import Event
from arke.shard.commands import Sight
from arke.transport.message import encode_sight, packed, unpacked


def sight(name: str) -> Sight:
    return Sight(Event(uuid="1" * 38, at=1, ts=1, event_id=name), arriving=((1, "a"),))


def test_what_was_packed_is_unpacked() -> None:
    sights = tuple(sight(f"{n}") for n in range(70_000))
    message, bad = unpacked("log", 3, 9, packed([encode_sight(one) for one in sights]))
    assert (message.shard, message.position, message.sights, bad) == (3, 9, sights, [])


def test_a_field_that_a_later_version_adds_is_passed_over() -> None:
    later = {**msgspec.to_builtins(sight("a")), "added": {"later": [1]}}
    message, bad = unpacked("log", 0, 1, packed([msgspec.msgpack.encode(later)]))
    assert (message.sights, bad) == ((sight("a"),), [])


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "unknown_format"),
        (b"\x02\x90", "unknown_format"),
        (b"\x01", "not_an_array"),
        (b"\x01\x81\xa1a\x01", "not_an_array"),
        (b"\x01\xdd\xff\xff\xff\xff", "not_an_array"),
        (b"\x01" + b"\x91" * 100_000, "not_an_array"),
        (packed([encode_sight(sight("a"))])[:-1], "not_an_array"),
    ],
)
def test_what_is_no_message_is_refused_whole(body: bytes, reason: str) -> None:
    message, bad = unpacked("log", 2, 5, body)
    assert message.sights == ()
    assert [(one.item, one.reason, one.body) for one in bad] == [(-1, reason, body)]


def test_one_bad_sighting_costs_no_other() -> None:
    good = encode_sight(sight("a"))
    not_text = good.replace(b"\xa1a", b"\xa1\xff", 1)
    message, bad = unpacked("log", 2, 5, packed([good, b"\xc0", not_text, good]))
    assert message.sights == (sight("a"), sight("a"))
    assert [(one.position, one.item, one.body) for one in bad] == [(5, 1, b"\xc0"), (5, 2, not_text)]
