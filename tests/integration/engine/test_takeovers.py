"""Who may move ids at the public door: how many a day, which not at all, and who is never asked."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import apsw
import pytest

from arke.domain.event import DeclaredId
from arke.domain.time import DAY_S
from arke.errors import StoreUnavailable
from e2e.catalogs import DPID, device
from integration.engine.identities import identity_in, resolve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from arke.engine.identity import Identity, Resolved

PERSON, ACCOUNT = 700, 701
"""Two cross-device sources: anybody declares the first, a token the second, as the cookies of CRM."""
CRM = 702
NOW = 100 * DAY_S
STRANGER, OTHER = device(900), device(901)


@asynccontextmanager
async def identity_of(folder: Path, limit: int = 3) -> AsyncIterator[Identity]:
    async with identity_in(folder, takeovers_per_device=limit) as identity:
        identity.know(frozenset({PERSON, ACCOUNT}), frozenset({ACCOUNT, CRM}))
        yield identity


def one(dpid: int, name: str, state: int = 0) -> DeclaredId:
    return DeclaredId(dpid, name, state)


def cookies(*numbers: int) -> tuple[DeclaredId, ...]:
    return tuple(one(DPID, f"p{number}") for number in numbers)


async def owned(identity: Identity, count: int) -> None:
    """Each id with a device of its own."""
    for number in range(count):
        await resolve(identity, device(number), cookies(number), NOW)


def names(ids: tuple[DeclaredId, ...]) -> list[str]:
    return [declared.id for declared in ids]


async def owner_of(identity: Identity, key: tuple[int, str]) -> str | None:
    owner = await identity.owner(key)
    return None if owner is None else owner.uuid


def test_a_device_takes_over_so_many_ids_a_day(tmp_path: Path) -> None:
    """Each id counts in its turn; one that nobody has does not; what is left out is said, and never arrives."""

    async def main() -> None:
        async with identity_of(tmp_path) as identity:
            await owned(identity, 6)
            first = await resolve(identity, STRANGER, cookies(0, 1), NOW, public=True)
            assert names(first.ids) == ["p0", "p1"]
            second = await resolve(identity, STRANGER, cookies(2, 3, 77), NOW, public=True)
            assert names(second.ids) == ["p2", "p77"]
            assert names(second.withheld.takeovers) == ["p3"]
            assert (DPID, "p3") not in second.arriving
            assert await owner_of(identity, (DPID, "p3")) == device(3)
            assert identity.takeovers_refused == 1
            again = await resolve(identity, STRANGER, cookies(0), NOW, public=True)
            assert names(again.ids) == ["p0"]  # its own by now
            assert names((await resolve(identity, OTHER, cookies(3), NOW, public=True)).ids) == ["p3"]
            tomorrow = await resolve(identity, STRANGER, cookies(4), NOW + DAY_S, public=True)
            assert names(tomorrow.ids) == ["p4"]

    asyncio.run(main())


def test_a_token_files_and_commands_are_not_bounded(tmp_path: Path) -> None:
    """Nor do they use up what the device may take at the public door."""

    async def main() -> None:
        async with identity_of(tmp_path) as identity:
            await owned(identity, 20)
            for number in range(15):
                assert names((await resolve(identity, STRANGER, cookies(number), NOW)).ids) == [f"p{number}"]
            assert names((await resolve(identity, STRANGER, cookies(15), NOW, public=True)).ids) == ["p15"]

    asyncio.run(main())


def test_with_0_none_is_taken_and_new_ids_are(tmp_path: Path) -> None:
    async def main() -> None:
        async with identity_of(tmp_path, limit=0) as identity:
            await owned(identity, 1)
            result = await resolve(identity, STRANGER, cookies(0, 8), NOW, public=True)
            assert (names(result.ids), names(result.withheld.takeovers)) == (["p8"], ["p0"])

    asyncio.run(main())


def test_the_count_outlives_a_restart_and_not_the_day(tmp_path: Path) -> None:
    async def main() -> None:
        async with identity_of(tmp_path) as identity:
            await owned(identity, 9)
            await resolve(identity, STRANGER, cookies(0, 1, 2), NOW, public=True)
            await identity.flush()
            assert names((await resolve(identity, STRANGER, cookies(3), NOW, public=True)).ids) == []
        async with identity_of(tmp_path) as identity:
            assert names((await resolve(identity, STRANGER, cookies(3), NOW, public=True)).ids) == []
            assert names((await resolve(identity, STRANGER, cookies(3), NOW + DAY_S, public=True)).ids) == [
                "p3"
            ]
            await identity.flush()
        connection = apsw.Connection(str(tmp_path / "directory.db"))
        assert list(connection.execute("SELECT day, count FROM takeover")) == [(101, 1)]
        connection.close()

    asyncio.run(main())


def test_a_takeover_that_was_not_written_down_is_not_counted(tmp_path: Path) -> None:
    async def main() -> None:
        async with identity_of(tmp_path, limit=1) as identity:
            await owned(identity, 2)
            await identity.flush()
            identities: Any = identity._mappings._identities
            link = identities.link

            async def full(*_: object, **__: object) -> None:
                raise StoreUnavailable("disk full")

            identities.link = full
            await resolve(identity, STRANGER, cookies(0), NOW, public=True)
            with pytest.raises(StoreUnavailable):
                await identity.flush()
            identities.link = link
            assert names((await resolve(identity, STRANGER, cookies(1), NOW, public=True)).ids) == ["p1"]

    asyncio.run(main())


async def login(identity: Identity, uuid: str, name: str, *, public: bool = True) -> bool:
    """Whether the id was taken."""
    taken = await resolve(identity, uuid, (one(PERSON, name, 1),), NOW, public=public)
    return taken.withheld.takeovers == ()


def test_to_become_a_device_of_somebody_else_counts_and_to_take_turns_does_not(tmp_path: Path) -> None:
    """To speak for a person's id, or to share it, is one takeover; between devices that have it, it goes freely."""

    async def main() -> None:
        async with identity_of(tmp_path, limit=2) as identity:
            for name in ("ann", "bob", "cat"):
                await login(identity, OTHER, name, public=False)
            assert [await login(identity, STRANGER, name) for name in ("ann", "bob", "cat")] == [
                True,
                True,
                False,
            ]
            assert await owner_of(identity, (PERSON, "cat")) == OTHER
            assert await identity.devices([(PERSON, "cat")]) == {(PERSON, "cat"): [OTHER]}
            for _ in range(5):
                assert await login(identity, OTHER, "ann")
                assert await owner_of(identity, (PERSON, "ann")) == OTHER
                assert await login(identity, STRANGER, "ann")
                assert await owner_of(identity, (PERSON, "ann")) == STRANGER
            quiet = await resolve(
                identity, device(3), (one(PERSON, "ann"), one(PERSON, "bob")), NOW, public=True
            )
            assert names(quiet.ids) == ["ann", "bob"]  # shared: others speak for them
            third = await resolve(identity, device(3), (one(PERSON, "cat"),), NOW, public=True)
            assert names(third.withheld.takeovers) == ["cat"]

    asyncio.run(main())


def looked(identity: Identity, result: Resolved) -> tuple[str, bool, list[str], list[str]]:
    return result.uuid, result.by_id, names(result.ids), names(result.withheld.ids)


def test_an_id_that_a_token_declares_is_read_and_nothing_else(tmp_path: Path) -> None:
    """Known, it says whose event it is, if nothing else does; unknown, it stays so; another's, it stays there."""

    async def main() -> None:
        async with identity_of(tmp_path) as identity:
            mine = one(CRM, "mine")
            await resolve(identity, OTHER, (mine,), NOW)
            assert looked(identity, await resolve(identity, None, (mine,), NOW, public=True)) == (
                OTHER,
                True,
                [],
                ["mine"],
            )
            assert looked(identity, await resolve(identity, STRANGER, (mine,), NOW, public=True)) == (
                STRANGER,
                False,
                [],
                ["mine"],
            )
            assert await owner_of(identity, (CRM, "mine")) == OTHER
            fresh = await resolve(identity, None, (one(CRM, "unknown"),), NOW, public=True)
            assert (fresh.by_id, names(fresh.ids), names(fresh.withheld.ids)) == (False, [], ["unknown"])
            assert await identity.owner((CRM, "unknown")) is None
            assert identity.takeovers_refused == 0
            assert names((await resolve(identity, STRANGER, (mine,), NOW)).ids) == ["mine"]  # with a token

    asyncio.run(main())


def test_a_person_whom_a_token_declares_hears_of_no_state_and_no_device(tmp_path: Path) -> None:
    async def main() -> None:
        async with identity_of(tmp_path) as identity:
            await resolve(identity, OTHER, (one(ACCOUNT, "ann"),), NOW)
            for state in (0, 1, 2):
                for uuid in (OTHER, STRANGER, None):
                    ann = (DeclaredId(ACCOUNT, "ann", state),)
                    assert names((await resolve(identity, uuid, ann, NOW, public=True)).ids) == []
            owner = await identity.owner((ACCOUNT, "ann"))
            assert owner is not None
            assert (owner.uuid, owner.state) == (OTHER, 0)
            assert await identity.devices([(ACCOUNT, "ann")]) == {(ACCOUNT, "ann"): [OTHER]}

    asyncio.run(main())


def test_a_stranger_puts_no_ids_of_his_own_on_a_device_that_he_can_only_name(tmp_path: Path) -> None:
    """They would be told what it is in. What the device has already it may be named under."""

    async def main() -> None:
        async with identity_of(tmp_path) as identity:
            await resolve(identity, OTHER, (one(CRM, "victim"), *cookies(1)), NOW)
            await resolve(identity, STRANGER, cookies(2), NOW)
            both = (one(CRM, "victim"), *cookies(1, 2, 3), one(PERSON, "ann", 1))
            result = await resolve(identity, None, both, NOW, public=True)
            assert looked(identity, result) == (OTHER, True, ["p1"], ["victim", "p2", "p3", "ann"])
            assert await owner_of(identity, (DPID, "p2")) == STRANGER
            assert await identity.owner((DPID, "p3")) is None
            assert await identity.devices([(PERSON, "ann")]) == {}

    asyncio.run(main())
