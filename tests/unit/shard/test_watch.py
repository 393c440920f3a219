"""What a shard keeps for those who watch: a few of each second, for a minute, and no more of any."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.delivery.channel import Delivery, Message
from arke.domain.catalog import Destination
from arke.domain.change import Change, JournalRecord, Turned
from arke.domain.event import Accepted, DeclaredId, Event
from arke.domain.profile import Profile
from arke.shard.commands import Seen, Sight
from arke.shard.watch import KEPT, KEPT_S, SHOWN, TEXT_CHARS, Watch
from arke.storage.ports.shard import GroupWrites

if TYPE_CHECKING:
    from arke.shard.passing import Passed

UUID = "1" * 38
NOW = 1_000_000.25


def sight(**said: object) -> Sight:
    return Sight(Event(uuid=UUID, at=int(NOW), ts=int(NOW), **said))  # type: ignore[arg-type] # as given


def seen(*traits: int) -> Seen:
    return Seen(Accepted(uuid=UUID, traits=traits))


def entries(watch: Watch, now: float = NOW) -> list[Passed]:
    return watch.since({}, (0, 0, 0), now).entries


def test_of_a_second_a_few_are_kept_and_of_the_next_again() -> None:
    watch = Watch(3)
    for _ in range(10):
        watch.group([sight(), sight()], [seen(), seen()], GroupWrites(), NOW)
    assert len(entries(watch)) == 3
    watch.group([sight()] * 10, [seen()] * 10, GroupWrites(), NOW + 1)
    assert len(entries(watch)) == 6


def test_changes_name_the_device_they_are_about() -> None:
    watch = Watch(3)
    journal = [
        JournalRecord(1, int(NOW), 7, (Change(10, 1, "rule"), Change(11, 0, "ttl")), (), "sweep"),
        JournalRecord(2, int(NOW), 8, (Change(10, 1, "rule"),), ()),
        JournalRecord(3, int(NOW), 7, (), (), turned=(Turned(1, b"\2", b""),)),
    ]
    watch.group([], [], GroupWrites(profiles={7: Profile(UUID)}, journal=journal), NOW)
    assert [(one.uuid, one.segment, one.status, one.reason, one.cause) for one in entries(watch)] == [
        (UUID, 10, 1, "rule", "sweep"),
        (UUID, 11, 0, "ttl", "sweep"),
        (UUID, 1_025, 1, "rule", "realtime"),
    ]


def test_who_asks_again_gets_what_came_since() -> None:
    watch = Watch(100)
    watch.group([sight(ids=(DeclaredId(7, "a"),))], [seen(1)], GroupWrites(), NOW)
    first = watch.since({}, (1, 0, 0), NOW)
    assert [(one.kind, one.ids, one.traits) for one in first.entries] == [("event", ["7:a"], [1])]
    watch.group([sight(ids=(DeclaredId(7, "b"),))], [seen()], GroupWrites(), NOW)
    second = watch.since({first.ring: first.number, 99: 1_000}, (2, 0, 0), NOW)
    assert [one.ids for one in second.entries] == [["7:b"]]
    assert not watch.since({first.ring: second.number}, (2, 0, 0), NOW).entries


def test_what_is_kept_is_bounded_in_number_in_size_and_in_time() -> None:
    watch = Watch(10_000)
    signals = {f"c_{number}": ["x" * 10_000] * 100 for number in range(100)}
    ids = tuple(DeclaredId(7, "y" * 10_000) for _ in range(100))
    watch.group([sight(signals=signals, ids=ids)] * 500, [seen(*range(1_000))] * 500, GroupWrites(), NOW)
    kept = entries(watch)
    assert len(kept) == KEPT
    assert (len(kept[0].signals), len(kept[0].ids), len(kept[0].traits)) == (SHOWN, SHOWN, SHOWN)
    assert len(kept[0].signals["c_0"]) == SHOWN
    assert len(kept[0].signals["c_0"][0]) == TEXT_CHARS
    assert len(kept[0].ids[0]) == TEXT_CHARS + 2
    assert not entries(watch, NOW + KEPT_S + 1)


def test_a_message_of_nobody_is_nothing_to_see() -> None:
    watch = Watch(3)
    destination = Destination(id=1, url="https://a.example", client_id="1")
    watch.message([], Message(destination, "m", "batch", b"", NOW), Delivery(True, "200", 1), NOW)
    assert not entries(watch)
