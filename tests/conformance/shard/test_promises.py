"""Mappings that a shard keeps until the directory has them on disk. A cluster's directory has them always."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from arke.domain.identity import Mapped
from arke.domain.profile import PartnerId, Profile
from arke.storage.ports.shard import GroupWrites
from conformance.shard.stores import IN_POSTGRES, in_a_file, in_memory, put, uuid

if TYPE_CHECKING:
    from pathlib import Path

    from arke.storage.ports.shard import ShardStore
    from conformance.shard.stores import Open

KEEPING = pytest.mark.parametrize("opened", [in_a_file, in_memory])


def linked(number: int, **generations: int) -> Profile:
    ids = [PartnerId(1, name, 0, 50, generation) for name, generation in generations.items()]
    return Profile(uuid(number), ids=ids)


async def promised(store: ShardStore, after: int = 0) -> list[Mapped]:
    return sorted(await store.promised(after), key=lambda one: one.generation)


@KEEPING
async def test_the_ids_of_a_profile_are_kept_up_to_the_promised_mapping(opened: Open, tmp_path: Path) -> None:
    """Those that come later are on disk, or have a promise of their own."""
    store = await opened(tmp_path)
    uids = await put(store, linked(1, a=7, b=8, c=9), linked(2, d=10))
    await store.commit(GroupWrites(promised=[(8, uids[uuid(1)]), (10, uids[uuid(2)])]))
    a, b = Mapped(1, "a", uuid(1), 7, 50), Mapped(1, "b", uuid(1), 8, 50)
    d = Mapped(1, "d", uuid(2), 10, 50)
    assert await promised(store) == [a, b, d]
    assert await promised(store, after=7) == [b, d]
    assert await promised(store, after=8) == [d]
    await store.close()


@KEEPING
async def test_they_go_once_the_directory_has_them(opened: Open, tmp_path: Path) -> None:
    store = await opened(tmp_path)
    uids = await put(store, linked(1, a=7), linked(2, b=8))
    await store.commit(GroupWrites(promised=[(7, uids[uuid(1)]), (8, uids[uuid(2)])]))
    await store.commit(GroupWrites(promised=[(8, uids[uuid(2)])], settled=7))
    assert [one.id for one in await promised(store)] == ["b"]
    await store.commit(GroupWrites(promised=[(9, uids[uuid(2)])], settled=8))
    assert [one.id for one in await promised(store)] == ["b"]  # by the later promise
    await store.close()


@KEEPING
async def test_who_is_erased_is_not_kept(opened: Open, tmp_path: Path) -> None:
    """Nor is an id that has left its profile."""
    store = await opened(tmp_path)
    uids = await put(store, linked(1, a=7), linked(2, b=8, c=9))
    await store.commit(GroupWrites(promised=[(7, uids[uuid(1)]), (9, uids[uuid(2)])]))
    await store.commit(GroupWrites(erased=[uids[uuid(1)]]))
    await put(store, linked(2, c=9))
    assert [one.id for one in await promised(store)] == ["c"]
    await put(store, linked(1, a=7))
    assert [one.id for one in await promised(store)] == ["c"]
    await store.close()


async def test_they_are_there_when_the_store_is_opened_again(tmp_path: Path) -> None:
    store = await in_a_file(tmp_path)
    uids = await put(store, linked(1, a=7))
    await store.commit(GroupWrites(promised=[(7, uids[uuid(1)])]))
    await store.close()
    again = await in_a_file(tmp_path)
    assert [one.id for one in await promised(again)] == ["a"]
    await again.close()


@pytest.mark.parametrize("opened", IN_POSTGRES)
async def test_a_cluster_promises_nothing(opened: Open, tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await put(store, linked(1, a=7))
    assert await promised(store) == []
    await store.close()
