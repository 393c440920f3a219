"""Identity under faults: what is acknowledged leans on durable links only, and moves are followed to the end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from arke.domain.event import DeclaredId
from arke.domain.identity import Claims, Owner
from arke.errors import StoreUnavailable
from e2e.catalogs import DPID, device
from integration.engine.identities import directory_in, identity_on, resolve
from patience import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path

    from arke.domain.identity import IdKey
    from arke.engine.identity import Identity
    from arke.storage.ports.identities import Identities


class SlowIdentities:
    """Identities whose writes wait until they are let through, and then work or fail."""

    def __init__(self, inner: Identities, *, broken: bool) -> None:
        self._inner = inner
        self.broken = broken
        self.may_write = asyncio.Event()
        self.writing = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def link(self, claims: Claims, *, promised: bool = False) -> set[IdKey]:
        self.writing.set()
        async with asyncio.timeout(PATIENCE_S):
            await self.may_write.wait()
        if self.broken:
            raise StoreUnavailable("the disk is full")
        return await self._inner.link(claims, promised=promised)


def ids(*partners: str) -> tuple[DeclaredId, ...]:
    return tuple(DeclaredId(DPID, partner) for partner in partners)


def test_what_is_decided_and_not_stored_yet_is_known_where_many_ids_are_asked_for(tmp_path: Path) -> None:
    async def main() -> None:
        directory = directory_in(tmp_path)
        identity = await identity_on(directory)
        first = await resolve(identity, None, ids("stored", "moved"), 100)
        await identity.flush()
        second = await resolve(identity, device(2), ids("moved", "new"), 200)
        asked = ["stored", "moved", "new", "nobody's"]
        found = {"stored": first.uuid, "moved": second.uuid, "new": second.uuid}
        assert await identity.devices_of(DPID, asked) == found
        await identity.flush()
        assert await identity.devices_of(DPID, asked) == found
        await directory.close()

    asyncio.run(main())


@pytest.mark.parametrize("broken", [False, True])
def test_nobody_leans_on_a_link_that_is_not_durable(tmp_path: Path, *, broken: bool) -> None:
    """A second event of the same new id, while the first one's link is being written, shares its fate."""

    async def main() -> None:
        directory = directory_in(tmp_path)
        slow = SlowIdentities(directory.identities, broken=broken)
        directory.identities = slow  # type: ignore[assignment]
        identity = await identity_on(directory)
        first = await resolve(identity, None, ids("new"), 100)
        writing = asyncio.create_task(identity.flush())
        await slow.writing.wait()
        assert (await resolve(identity, None, ids("new"), 100)).uuid == first.uuid
        second = asyncio.create_task(identity.flush())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not second.done()
        slow.may_write.set()
        outcomes = await asyncio.gather(writing, second, return_exceptions=True)
        assert [isinstance(outcome, StoreUnavailable) for outcome in outcomes] == [broken, broken]
        owner = await identity.owner((DPID, "new"))
        assert (owner.uuid if owner is not None else None) == (None if broken else first.uuid)
        await directory.close()

    asyncio.run(main())


def test_what_was_decided_on_top_of_a_write_that_fails_fails_with_it(tmp_path: Path) -> None:
    """Else a move would begin at a device that never had the id; and afterwards all starts from what is stored."""

    async def main() -> None:
        directory = directory_in(tmp_path)
        await directory.identities.link(Claims(50, {(DPID, "a"): Owner(device(1), 1)}))
        slow = SlowIdentities(directory.identities, broken=True)
        directory.identities = slow  # type: ignore[assignment]
        identity = await identity_on(directory)
        await resolve(identity, device(2), ids("a"), 100)
        first = asyncio.create_task(identity.flush())
        await slow.writing.wait()
        await resolve(identity, device(3), ids("a", "new"), 100)
        second = asyncio.create_task(identity.flush())
        await asyncio.sleep(0)
        slow.may_write.set()
        outcomes = await asyncio.gather(first, second, return_exceptions=True)
        assert [isinstance(outcome, StoreUnavailable) for outcome in outcomes] == [True, True]
        assert (identity.next_move((DPID, "a")), await identity.owner((DPID, "new"))) == (None, None)
        slow.broken = False
        assert (await resolve(identity, None, ids("a"), 200)).uuid == device(1)
        await resolve(identity, device(3), ids("a"), 200)
        await identity.flush()
        (move,) = await directory.identities.moves()
        assert (move.old_uuid, move.new_uuid) == (device(1), device(3))
        await directory.close()

    asyncio.run(main())


def test_a_move_stands_from_its_flush_until_it_is_followed(tmp_path: Path) -> None:
    """Before it is durable nobody may follow it; and a new process finds it where the old one left it."""

    async def main() -> None:
        directory = directory_in(tmp_path)
        identity = await identity_on(directory)
        await resolve(identity, device(1), ids("a"), 100)
        assert (await resolve(identity, device(2), ids("a"), 200)).arriving == ((DPID, "a"),)
        assert identity.next_move((DPID, "a")) is None
        await identity.flush()
        move = identity.next_move((DPID, "a"))
        assert move is not None
        assert (move.old_uuid, move.new_uuid) == (device(1), device(2))
        again = await identity_on(directory, 2)
        assert again.next_move((DPID, "a")) == move
        await again.moved(move)
        assert (again.next_move((DPID, "a")), await directory.identities.moves()) == (None, [])
        assert (await resolve(again, device(2), ids("a"), 300)).arriving == ()
        await directory.close()

    asyncio.run(main())


def test_whose_an_id_was_first_is_known_for_good(tmp_path: Path) -> None:
    """Taken over, given on, taken back, and after it was forgotten with a device that had it later."""

    async def main() -> None:
        directory = directory_in(tmp_path)
        key = (DPID, "a")

        async def claimed(identity: Identity, number: int) -> bool:
            await resolve(identity, device(number), ids("a"), 100)
            owner = await identity.owner(key)
            assert owner is not None
            return owner.came_from_elsewhere(device(number))

        identity = await identity_on(directory)
        assert [await claimed(identity, number) for number in (1, 1, 2, 3, 1, 2)] == [
            False,
            False,
            True,
            True,
            False,
            True,
        ]
        owner = await identity.owner(key)
        assert owner is not None
        assert owner.came_from_elsewhere(device(1)), "it is not its own while another one has it"
        await identity.flush()
        again = await identity_on(directory, 2)
        assert await claimed(again, 2)
        await directory.requests.finish({}, [device(2)], [], 200)
        later = await identity_on(directory, 3)
        assert [await claimed(later, number) for number in (4, 1)] == [True, False]
        await directory.close()

    asyncio.run(main())


def test_an_id_from_elsewhere_leads_to_no_device_that_has_left(tmp_path: Path) -> None:
    """Alone on an event, though the device is suppressed, it is a new one's. What was the device's own first
    leads to it, so the event is refused.
    """

    async def main() -> None:
        directory = directory_in(tmp_path)
        identity = await identity_on(directory)
        await resolve(identity, device(1), ids("taken"), 100)
        await resolve(identity, device(2), ids("taken", "own"), 100)
        await identity.suppress({1: [device(2)]}, 100)
        assert (await resolve(identity, None, ids("own"), 200)).suppressed
        assert (await resolve(identity, None, ids("taken", "own"), 200)).suppressed
        alone = await resolve(identity, None, ids("taken"), 200)
        assert not alone.suppressed
        assert alone.uuid not in (device(1), device(2))
        assert alone.arriving == ((DPID, "taken"),), "with what was told about it"
        assert (await resolve(identity, device(1), ids("taken"), 200)).uuid == device(1)
        await directory.close()

    asyncio.run(main())
