"""Devices of people in the directory: newest first, bounded, durable, and what is suppressed."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from arke.domain.event import DeclaredId
from arke.domain.identity import MAX_DEVICES, Owner
from e2e.catalogs import DPID, device
from integration.engine.identities import identity_in, resolve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from arke.domain.identity import IdKey
    from arke.engine.identity import Identity

PERSON = 700
ANN = (PERSON, "ann")


@asynccontextmanager
async def identity_of(folder: Path) -> AsyncIterator[Identity]:
    async with identity_in(folder) as identity:
        identity.know(frozenset({PERSON}))
        yield identity


async def devices(identity: Identity, key: IdKey) -> list[str]:
    return (await identity.devices([key])).get(key, [])


async def login(identity: Identity, number: int, state: int = 1) -> bool:
    """A device declares the person's id; whether it speaks for it, moves under way left aside."""
    await resolve(identity, device(number), (DeclaredId(*ANN, state),), 100 + number)
    owner = await identity.owner(ANN)
    return owner is not None and owner.uuid == device(number)


def test_devices_are_listed_newest_first_before_and_after_they_are_durable(tmp_path: Path) -> None:
    """And by a new process as by the old one."""

    async def main() -> None:
        async with identity_of(tmp_path) as identity:
            assert [await login(identity, 1), await login(identity, 2), await login(identity, 3, 0)] == [
                True,
                True,
                False,
            ]
            expected = [device(3), device(2), device(1)]
            assert await devices(identity, ANN) == expected
            await identity.flush()
            assert await devices(identity, ANN) == expected
            await login(identity, 1)
            assert await devices(identity, ANN) == [device(1), device(3), device(2)]
            await identity.flush()
        async with identity_of(tmp_path) as again:
            assert await devices(again, ANN) == [device(1), device(3), device(2)]
            assert await devices(again, (DPID, "nobody")) == []
            assert not await login(again, 2, 0), "the state of who speaks is remembered too"

    asyncio.run(main())


def test_the_oldest_device_goes_but_never_the_one_that_speaks(tmp_path: Path) -> None:
    """100 are kept; a device of long ago that authenticated stays in charge among many unknown ones."""

    async def main() -> None:
        async with identity_of(tmp_path) as identity:
            assert await login(identity, 1)
            for number in range(2, MAX_DEVICES + 20):
                assert not await login(identity, number, 0)
                await identity.flush()
            found = await devices(identity, ANN)
            assert len(found) == MAX_DEVICES
            assert found[0] == device(MAX_DEVICES + 19)
            assert device(1) in found
            assert device(2) not in found
            owner = await identity.owner(ANN)
            assert owner is not None
            assert owner.uuid == device(1)

    asyncio.run(main())


def test_what_is_declared_again_writes_nothing(tmp_path: Path) -> None:
    """Neither by the device that speaks nor by a silent one, also after a restart."""

    async def main() -> None:
        async with identity_of(tmp_path) as identity:
            await login(identity, 1)
            await login(identity, 2, 0)
            await identity.flush()
        async with identity_of(tmp_path) as identity:
            speaker = Owner(device(1), 0)
            before = identity.generation_after(speaker)
            for _ in range(3):
                await login(identity, 1)
                await login(identity, 2, 0)
                await login(identity, 1, 0)
            assert identity.generation_after(speaker) == before + 1

    asyncio.run(main())


def test_who_logs_in_while_an_heir_takes_over_speaks_in_the_end(tmp_path: Path) -> None:
    """The heir's shard was told that it speaks: that is taken back by a move from there, under a newer mapping."""

    async def main() -> None:
        async with identity_of(tmp_path) as identity:
            await login(identity, 1)
            await login(identity, 2, 0)
            await identity.flush()
            speaker = await identity.owner(ANN)
            assert speaker is not None
            generation = identity.generation_after(speaker)
            assert await login(identity, 3), "before the heir, device 2, is in the directory"
            await identity.inherit(ANN, device(2), generation, speaker, 200)
            owner = await identity.owner(ANN)
            assert owner is not None
            assert (owner.uuid, owner.generation > generation) == (device(3), True)
            moves = [identity.moving.oldest(ANN)]
            assert moves[0] is not None
            await identity.moved(moves[0])
            moves.append(identity.moving.oldest(ANN))
            assert [(one.old_uuid, one.new_uuid) for one in moves if one is not None] == [
                (device(1), device(3)),
                (device(2), device(3)),
            ]

    asyncio.run(main())


def test_suppression_is_known_by_uuid_and_by_id(tmp_path: Path) -> None:
    """For whoever reads files or walks stores: nothing may be taken about these."""

    async def main() -> None:
        async with identity_of(tmp_path) as identity:
            await identity.suppress({1: [device(1), f"{ANN[0]}:{ANN[1]}"]}, 100)
        async with identity_of(tmp_path) as again:
            assert again.suppressed.device(device(1))
            assert again.suppressed.id(ANN)
            assert not again.suppressed.device(device(2))
            assert not again.suppressed.id((PERSON, "bob"))
            assert (await resolve(again, device(2), (DeclaredId(*ANN, 1),), 100)).suppressed

    asyncio.run(main())
