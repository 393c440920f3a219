"""A group that decodes a device when a command comes to it and encodes it after the last one stores the same."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from arke.delivery.report import RecordDeliveries
from arke.domain.catalog import Catalog, DataSource, Destination, Mapping, Segment, Trait
from arke.domain.event import DeclaredId, Event
from arke.domain.ledger import Owed
from arke.domain.profile import Profile, ProfileHead
from arke.domain.stored_profile import decode_head, encode_profile
from arke.shard.commands import Failed, Sight
from arke.shard.handlers import HANDLERS
from arke.shard.ruling import Ruling
from arke.shard.runner import GroupRunner
from arke.shard.watch import Watch
from arke.storage.committer import InlineCommitter
from arke.storage.ports.shard import GroupWrites, Needs
from arke.storage.sqlite.connection import MEMORY
from arke.storage.sqlite.store import SqliteShardStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.shard.commands import Command, Result
    from arke.shard.group import Group

NOW = 1_777_600_020
DESTINATION = 7
CATALOG = Catalog(
    data_sources=(DataSource(id=501),),
    traits=tuple(Trait(id=number, rule=f'k == "{number}"') for number in range(1, 13)),
    segments=tuple(
        Segment(id=100 + n, rule=f"{n}T AND NOT {n % 12 + 1}T OR FREQUENCY([{(n + 5) % 12 + 1}T]) >= 2")
        for n in range(1, 13)
    ),
    destinations=(
        Destination(
            id=DESTINATION,
            client_id="seven",
            url="https://partner.example/in",
            user_dpids=(501,),
            segments=(Mapping(segment=101), Mapping(segment=105)),
        ),
    ),
)


def uuid(number: int) -> str:
    return f"{number:038d}"


def sight(number: int, trait: int, at: int = NOW, **said: object) -> Sight:
    event = Event(uuid=uuid(number), at=at, ts=at, signals={"k": [str(trait)]}, **said)  # type: ignore[arg-type] # as given
    return Sight(event)


def reminder(number: int, uid: int) -> RecordDeliveries:
    owed = Owed(DESTINATION, uid, NOW, 1, "timeout", tried=float(NOW))
    return RecordDeliveries(DESTINATION, owed=(owed,), remind=(uuid(number),))


class Shard:
    """A runner and its store."""

    def __init__(self) -> None:
        self.store = SqliteShardStore(MEMORY, committer=InlineCommitter(), key=b"k" * 16)
        self.runner = GroupRunner(self.store, Ruling(CATALOG, 1, {}))

    async def run(self, commands: Sequence[Command]) -> tuple[list[Result], GroupWrites]:
        result = await self.runner.run(commands)
        await self.store.commit(result.writes)
        self.runner.committed(result)
        return result.results, result.writes

    async def bodies(self) -> dict[int, bytes]:
        return dict(await self.store.profile_bodies(-1, 1_000))

    async def profile(self, number: int) -> Profile:
        found = await self.store.device(uuid(number))
        assert found is not None
        return found.profile


async def started() -> Shard:
    made = Shard()
    await made.runner.start()
    return made


def test_a_profile_begins_with_its_head() -> None:
    profile = Profile(uuid(1), 2, 3, 4, 5, 6, ids=[], regions=[7])
    head = decode_head(encode_profile(profile))
    assert head == ProfileHead(uuid(1), 2, 3, 4, 5, 6)
    count = len(ProfileHead.__struct_fields__)
    assert Profile.__struct_fields__[:count] == ProfileHead.__struct_fields__
    assert Profile.__struct_defaults__[: count - 1] == ProfileHead.__struct_defaults__


def test_groups_of_any_size_store_the_same() -> None:
    async def stored(size: int) -> tuple[dict[int, bytes], list[object], int]:
        shard = await started()
        choice, away = random.Random(5), 0
        commands: list[Command] = []
        for step in range(400):
            ids = (DeclaredId(501, f"p{step}", generation=step),) if choice.random() < 0.1 else ()
            commands.append(sight(choice.randrange(12), choice.randrange(1, 14), NOW + step, ids=ids))
        answers: list[object] = []
        for start in range(0, len(commands), size):
            results, writes = await shard.run(commands[start : start + size])
            assert not writes.profiles.keys() & writes.encoded.keys()
            away += len(writes.encoded)
            answers += results
        return await shard.bodies(), answers, away

    alone, some, many = (asyncio.run(stored(size)) for size in (1, 7, 80))
    assert alone[:2] == some[:2] == many[:2]
    assert min(alone[2], some[2], many[2]) > 0


async def test_who_is_to_be_told_stays_as_it_is_and_others_are_put_away() -> None:
    shard = await started()
    await shard.run([sight(1, 1), sight(2, 2)])
    _, writes = await shard.run([sight(1, 13), sight(2, 6), sight(2, 6), sight(3, 13)])
    told = {record.uid for record in writes.journal if record.destinations}
    names = {profile.uuid for profile in writes.profiles.values()}
    assert names == {uuid(3)} | {
        decode_head(body).uuid for uid, body in (await shard.bodies()).items() if uid in told
    }
    assert uuid(1) in {decode_head(body).uuid for body in writes.encoded.values()}


async def test_a_device_that_was_put_away_is_found_as_it_was_left() -> None:
    shard = await started()
    await shard.run([sight(1, 1)])
    uid = await shard.store.find_uid(uuid(1))
    assert uid is not None
    _, writes = await shard.run([sight(1, 13, NOW + 9), reminder(1, uid)])
    assert uid in writes.profiles
    assert uid not in writes.encoded
    profile = await shard.profile(1)
    assert profile.seen == NOW + 9
    assert profile.sends[DESTINATION].untold


async def test_a_command_that_breaks_costs_itself_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    shard = await started()
    await shard.run([sight(1, 1), sight(2, 2)])
    real = HANDLERS[Sight]

    def breaks(group: Group, command: Sight) -> object:
        answer = real(group, command)
        if command.event.signals == {"k": ["0"]}:
            raise RuntimeError
        return answer

    monkeypatch.setitem(HANDLERS, Sight, breaks)
    results, _ = await shard.run([sight(1, 3), sight(1, 4), sight(1, 0, NOW + 99), sight(2, 5)])
    assert [isinstance(result, Failed) for result in results] == [False, False, True, False]
    profile = await shard.profile(1)
    assert sorted(profile.traits) == [1, 3, 4]
    assert profile.seen == NOW


async def test_an_event_that_counted_changes_nothing_again() -> None:
    shard = await started()
    await shard.run([sight(1, 1, event_id="e")])
    await shard.run([sight(1, 2, NOW + 1, event_id="e"), sight(1, 3, NOW + 2, event_id="f")])
    await shard.run([sight(1, 4, NOW + 3, event_id="f")])
    assert sorted((await shard.profile(1)).traits) == [1, 3]


async def test_homes_are_decoded_at_once() -> None:
    shard = await started()
    home = Sight(Event(uuid="501:person", at=NOW, ts=NOW, signals={"k": ["1"]}))
    await shard.run([home])
    _, writes = await shard.run([home, sight(1, 1)])
    assert not writes.encoded


async def test_who_watches_sees_whose_membership_changed() -> None:
    shard = await started()
    await shard.run([sight(1, 1)])
    commands = [sight(1, 8), sight(1, 8)]
    results, writes = await shard.run(commands)
    assert writes.journal
    assert writes.encoded
    watch = Watch(10)
    watch.group(commands, results, writes, NOW)
    found = watch.since({}, (0, 0, 0), NOW).entries
    assert {one.uuid for one in found if one.kind == "change"} == {uuid(1)}


async def test_of_a_device_that_shares_its_place_each_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    shard = await started()
    monkeypatch.setattr(shard.store.hashes, "uid", lambda _: 5)
    monkeypatch.setattr(shard.store.hashes, "uids", lambda uuids: [5] * len(uuids))
    await shard.run([sight(1, 1), sight(2, 2)])
    await shard.run([sight(1, 3), sight(2, 4)])
    assert sorted((await shard.profile(1)).traits) == [1, 3]
    assert sorted((await shard.profile(2)).traits) == [2, 4]


async def test_what_may_stay_as_stored_is_what_would_have_been_decoded() -> None:
    shard = await started()
    await shard.run([sight(1, 1), sight(2, 2)])
    names = [uuid(1), uuid(2), uuid(3)]
    decoded = await shard.store.load(Needs(devices=names))
    as_stored = await shard.store.load(Needs(devices=names, as_stored=True))
    assert as_stored.devices.keys() == {uuid(3)}
    assert as_stored.fresh == decoded.fresh
    for name, (uid, body, mark) in as_stored.stored.items():
        profile = decoded.devices[name][1]
        assert (uid, body, mark) == (decoded.devices[name][0], encode_profile(profile), profile.routing_mark)
