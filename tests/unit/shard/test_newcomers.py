"""Devices that nobody knew, of which a file says the same, come out as each would by itself."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import msgspec
import pytest

from arke.domain.catalog import Catalog, DataSource, Destination, Mapping, Segment, Trait
from arke.domain.event import Event
from arke.domain.file_lines import Said
from arke.domain.stored_profile import decode_head, decode_profile, encode_profile
from arke.shard.commands import (
    MAX_FILE_LINES,
    CountMembers,
    Evaluated,
    FileDevice,
    Onboard,
    Onboarded,
    Seen,
    Sight,
)
from arke.shard.handlers import files
from arke.shard.ruling import Ruling
from arke.shard.runner import GroupRunner
from arke.shard.sizes import ALL, NONE
from arke.storage.committer import InlineCommitter
from arke.storage.sqlite.connection import MEMORY
from arke.storage.sqlite.store import SqliteShardStore

if TYPE_CHECKING:
    from arke.domain.change import Change
    from arke.domain.profile import Profile
    from arke.shard.newcomers import Newcomer
    from arke.storage.ports.shard import GroupWrites

NOW = 1_777_600_020
DPID = 501
EXTERNAL = (900, 901)
CATALOG = Catalog(
    data_sources=(DataSource(id=DPID),),
    traits=tuple(
        Trait(id=number, kind="onboarded", data_source=DPID, ttl_days=number % 3 * 10)
        for number in range(1, 13)
    ),
    segments=(
        *(
            Segment(id=100 + n, rule=f"{n}T AND NOT {n % 12 + 1}T OR {(n + 5) % 12 + 1}T")
            for n in range(1, 13)
        ),
        *(Segment(id=number) for number in EXTERNAL),
    ),
    destinations=(
        Destination(
            id=7,
            client_id="seven",
            url="https://partner.example/in",
            user_dpids=(DPID,),
            segments=(Mapping(segment=101), Mapping(segment=105), Mapping(segment=EXTERNAL[0])),
        ),
    ),
)


def uuid(number: int) -> str:
    return f"{number:038d}"


async def runner() -> GroupRunner:
    store = SqliteShardStore(MEMORY, committer=InlineCommitter(), key=b"k" * 16)
    made = GroupRunner(store, Ruling(CATALOG, 1, {}))
    await made.start()
    return made


def some_said(choice: random.Random) -> tuple[Said, ...]:
    traits = range(1, 14)  # one of them is not in the catalog
    return tuple(
        Said(
            tuple(sorted(choice.sample(traits, choice.randint(0, 4)))),
            tuple(sorted(choice.sample(traits, choice.randint(0, 2)))),
            {number: choice.randint(0, 1) for number in EXTERNAL if choice.random() < 0.4},
        )
        for _ in range(6)
    )


def some_devices(choice: random.Random, said: int) -> tuple[FileDevice, ...]:
    devices, line = [], 0
    for number in range(80):
        lines = range(line + 1, line + 1 + choice.choice((1, 1, 1, 2, 3)))
        line = lines[-1]
        devices.append(FileDevice(uuid(number), tuple(lines), tuple(choice.randrange(said) for _ in lines)))
    return tuple(devices)


def outcome(writes: GroupWrites) -> dict[str, tuple[bytes, list[Change], tuple[int, int] | None]]:
    """What became of each device."""
    changes: dict[int, list[Change]] = {}
    for record in writes.journal:
        assert (record.at, record.kind, record.destinations) == (NOW, "file", ())
        changes.setdefault(record.uid, []).extend(record.changes)
    return {
        decode_head(body).uuid: (body, changes.get(uid, []), writes.wakes.get(uid))
        for uid, body in stored(writes).items()
    }


def stored(writes: GroupWrites) -> dict[int, bytes]:
    """What is stored of each device."""
    assert not writes.profiles.keys() & writes.encoded.keys()
    return {uid: encode_profile(profile) for uid, profile in writes.profiles.items()} | writes.encoded


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("overwrites", [None, DPID])
async def test_alike_is_as_each_by_itself(seed: int, overwrites: int | None) -> None:
    choice = random.Random(seed)
    said = some_said(choice)
    command = Onboard(3, NOW - 50, NOW, said, some_devices(choice, len(said)), overwrites)
    together = await (await runner()).run([command])
    each: dict[str, tuple[bytes, list[Change], tuple[int, int] | None]] = {}
    realised: set[int] = set()
    sizes: dict[int, int] = {}
    by_itself = await runner()  # which stores nothing
    for device in command.devices:
        alone = msgspec.structs.replace(command, devices=(device,))
        # Named twice in a group, a device goes the way of those that are known.
        result = await by_itself.run([alone, alone])
        assert result.results == [Onboarded(devices=1)] * 2
        each |= outcome(result.writes)
        realised |= result.writes.realised.keys()
        for segment, count in result.writes.sizes.items():
            sizes[segment] = sizes.get(segment, 0) + count
    assert together.results == [Onboarded(devices=len(command.devices))]
    assert outcome(together.writes) == each
    assert together.writes.encoded
    for body in together.writes.encoded.values():
        assert body == encode_profile(decode_profile(body))
    assert together.writes.realised.keys() == realised
    assert together.writes.sizes == {segment: count for segment, count in sizes.items() if count}


async def test_what_is_remembered_does_not_outlive_its_moment_its_file_or_its_catalog() -> None:
    shard = await runner()
    said, line = (Said((1,)),), ((1,), (0,))
    remembered: list[Newcomer] = []

    async def profile(command: Onboard) -> Profile:
        (body,) = (await shard.run([command])).writes.encoded.values()
        remembered.extend(shard._newcomers._known.values())
        return decode_profile(body)

    first = await profile(Onboard(1, NOW, NOW, said, (FileDevice(uuid(1), *line),)))
    same = await profile(Onboard(1, NOW, NOW + 59, said, (FileDevice(uuid(2), *line),)))
    assert (same.evaluated, same.segments) == (first.evaluated, first.segments)
    assert remembered[1] is remembered[0]
    later = await profile(Onboard(1, NOW, NOW + 60, said, (FileDevice(uuid(3), *line),)))
    assert later.evaluated == NOW + 60
    other = await profile(Onboard(2, NOW + 60, NOW + 60, said, (FileDevice(uuid(4), *line),)))
    assert (other.heard, other.traits[1].last) == (NOW + 60, NOW + 60)
    assert 101 in other.segments
    edited = msgspec.structs.replace(CATALOG, segments=(Segment(id=300, rule="1T"),), destinations=())
    shard.ruling = Ruling(edited, 2, {})
    under_another = await profile(Onboard(2, NOW + 60, NOW + 60, said, (FileDevice(uuid(5), *line),)))
    assert set(under_another.segments) == {300}
    assert len({id(one) for one in remembered}) == 4


async def test_what_is_heard_of_a_new_device_in_the_same_group_is_its_own() -> None:
    """Others of which the file says the same do not have it."""
    shard = await runner()
    devices = tuple(FileDevice(uuid(number), (number,), (0,)) for number in (1, 2, 3))
    seen = Sight(Event(uuid=uuid(2), at=NOW, ts=NOW, memberships={EXTERNAL[1]: 1}))
    result = await shard.run([Onboard(1, NOW, NOW, (Said((1,)),), devices), seen])
    assert isinstance(result.results[1], Seen)
    members = {one.uuid: sorted(one.segments) for one in map(decode_profile, stored(result.writes).values())}
    assert members[uuid(1)] == members[uuid(3)] == [101, 107]
    assert members[uuid(2)] == [101, 107, EXTERNAL[1]]


async def test_of_many_memberships_too_the_stored_form_is_the_profile_s() -> None:
    """They are packed there. With a file of no number there is no mark."""
    segments = tuple(Segment(id=1_000 + number, rule="1T") for number in range(100))
    shard = await runner()
    shard.ruling = Ruling(msgspec.structs.replace(CATALOG, segments=segments, destinations=()), 2, {})
    for file in (0, 1):
        devices = tuple(FileDevice(uuid(10 * file + number), (number,), (0,)) for number in (1, 2))
        writes = (await shard.run([Onboard(file, NOW, NOW, (Said((1,)),), devices)])).writes
        assert len(writes.encoded) == 2
        for body in writes.encoded.values():
            assert body == encode_profile(decode_profile(body))
            assert len(decode_profile(body).segments) == 100


async def test_members_are_counted_of_new_devices_too_where_the_count_comes_by_in_the_same_group() -> None:
    shard = await runner()
    shard._counted_to = NONE  # a store of an earlier version
    devices = tuple(FileDevice(uuid(number), (number,), (0,)) for number in (1, 2, 3))
    counting = CountMembers(NONE, 10)
    result = await shard.run([Onboard(1, NOW, NOW, (Said((1,)),), devices), counting])
    assert result.results[1] == Evaluated(0, ALL)
    assert result.writes.sizes == {101: 3, 107: 3}


async def test_of_too_many_lines_the_first_ones_count() -> None:
    shard = await runner()
    many = tuple(range(1, MAX_FILE_LINES + 3))
    said = (Said((1,)), Said((2,)))
    places = (0,) * MAX_FILE_LINES + (1, 1)
    (answer,) = (
        await shard.run(
            [
                Onboard(
                    1, NOW, NOW, said, (FileDevice(uuid(1), many, places), FileDevice(uuid(2), (999,), (1,)))
                )
            ]
        )
    ).results
    assert answer == Onboarded(devices=2, kept_until={0: MAX_FILE_LINES})


async def test_a_moment_is_never_after_now_nor_before_the_file() -> None:
    shard = await runner()
    for at, ts, moment in (
        (NOW + 7, NOW + 3, NOW + 3),
        (NOW + 7, NOW - 3, NOW),
        (NOW + 7, NOW + 90, NOW + 7),
    ):
        command = Onboard(1, ts, at, (Said((3,)),), (FileDevice(uuid(at + ts), (1,), (0,)),))
        (body,) = (await shard.run([command])).writes.encoded.values()
        assert decode_profile(body).evaluated == moment
    assert files.ALIKE_S == 60
