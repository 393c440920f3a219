"""What stays of a device that is erased where late events may come: it is found by who is to change the device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from arke.domain.homes import home_of
from arke.domain.profile import Bar, Profile
from arke.domain.traces import trace_of
from arke.storage.keyed_hash import KeyedHash
from arke.storage.ports.shard import GroupWrites, Needs
from conformance.shard.stores import held, load, put, uuid

if TYPE_CHECKING:
    from arke.storage.ports.shard import ShardStore

HOME = home_of((7, "ann"))


async def erase(store: ShardStore, uid: int, profile: Profile, edition: int = 5) -> None:
    """As a group does it that leaves a trace."""
    await store.load(Needs(devices=[profile.uuid]))
    trace = trace_of(store.hash_of(profile.uuid, profile.uuid), profile, edition)
    await store.commit(GroupWrites(erased=[uid], traces={uid: trace}))


def left(uuid: str) -> Profile:
    return Profile(uuid, opted_out=9, bar=Bar(5, erased=True))


def gone(number: int) -> Profile:
    profile = held(number)
    profile.opted_out = 9
    return profile


async def test_a_trace_is_no_device_but_for_who_is_to_change_it(store: ShardStore) -> None:
    person = Profile(HOME, opted_out=9)
    uids = await put(store, gone(1), person, held(2))
    for profile in (gone(1), person):
        await erase(store, uids[profile.uuid], profile)
        assert await store.device(profile.uuid) is None
        assert await store.find_uid(profile.uuid) is None
        loaded = await store.load(Needs(devices=[profile.uuid], known={profile.uuid}))
        assert loaded.devices == {profile.uuid: (uids[profile.uuid], left(profile.uuid))}
        assert loaded.fresh == {uids[profile.uuid]}
        assert loaded.known == {}
    assert (await store.count_profiles(), await store.count_people()) == (1, 0)
    bodies = [body for _, body in await store.profile_bodies(-1, 9)]
    assert not any(name.encode() in body for body in bodies for name in (uuid(1), HOME, "ann"))


async def test_who_comes_back_has_the_same_place_and_counts_again(store: ShardStore) -> None:
    uids = await put(store, gone(1))
    await erase(store, uids[uuid(1)], gone(1))
    back = held(1, seen=20)
    back.bar = Bar(5)
    assert await put(store, back) == uids
    assert (await load(store, 1))[uuid(1)] == (uids[uuid(1)], back)
    assert await store.count_profiles() == 1


async def test_a_trace_is_found_among_others_of_the_same_hash(
    store: ShardStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(KeyedHash, "uid", lambda _, uuid: int(uuid) % 3)
    uids = await put(store, gone(0), gone(3), gone(6))
    for number in (0, 6, 3):
        await erase(store, uids[uuid(number)], gone(number))
    found = await load(store, 0, 3, 6, 9)
    assert {found[uuid(number)][0] for number in (0, 3, 6)} == {*uids.values()}
    for number in (0, 3, 6):
        assert found[uuid(number)] == (uids[uuid(number)], left(uuid(number)))
    assert found[uuid(9)][0] not in uids.values()
    assert found[uuid(9)][1] == Profile(uuid(9))
    assert await store.count_profiles() == 0


async def test_a_device_that_came_and_went_within_a_group_leaves_a_trace(store: ShardStore) -> None:
    (uid, _) = (await load(store, 1))[uuid(1)]
    trace = trace_of(store.hash_of(uuid(1), uuid(1)), gone(1), 5)
    await store.commit(GroupWrites(profiles={uid: gone(1)}, erased=[uid], traces={uid: trace}))
    assert (await load(store, 1))[uuid(1)] == (uid, left(uuid(1)))
    assert await store.count_profiles() == 0
