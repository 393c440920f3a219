"""Identity under faults: what is acknowledged leans on durable links only, and moves are followed to the end."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from arke.clock import SeededEntropy
from arke.domain.event import DeclaredId
from arke.engine.identity import Identity
from arke.errors import StoreUnavailable
from arke.storage.committer import ThreadCommitter
from arke.storage.sqlite.directory import SqliteDirectory
from e2e.catalogs import DPID, device
from patience import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path


class SlowDirectory(SqliteDirectory):
    """A directory whose writes wait until they are let through, and then work or fail."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.may_write = threading.Event()
        self.writing = threading.Event()
        self.broken = False

    def link(self, *arguments: Any) -> None:
        self.writing.set()
        assert self.may_write.wait(PATIENCE_S)
        if self.broken:
            raise StoreUnavailable("the disk is full")
        super().link(*arguments)


def ids(*partners: str) -> tuple[DeclaredId, ...]:
    return tuple(DeclaredId(DPID, partner) for partner in partners)


async def begun(event: threading.Event) -> None:
    await asyncio.get_running_loop().run_in_executor(None, event.wait, PATIENCE_S)


@pytest.mark.parametrize("broken", [False, True])
def test_nobody_leans_on_a_link_that_is_not_durable(tmp_path: Path, *, broken: bool) -> None:
    """A second event of the same new id, while the first one's link is being written, shares its fate."""

    async def main() -> None:
        directory = SlowDirectory(tmp_path / "directory.db")
        directory.broken = broken
        committer = ThreadCommitter("directory")
        identity = Identity(directory, committer, SeededEntropy(1))
        first = identity.resolve(None, ids("new"), 100)
        writing = asyncio.create_task(identity.flush())
        await begun(directory.writing)
        assert identity.resolve(None, ids("new"), 100).uuid == first.uuid
        second = asyncio.create_task(identity.flush())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not second.done()
        directory.may_write.set()
        outcomes = await asyncio.gather(writing, second, return_exceptions=True)
        assert [isinstance(outcome, StoreUnavailable) for outcome in outcomes] == [broken, broken]
        owner = identity.owner((DPID, "new"))
        assert (owner.uuid if owner is not None else None) == (None if broken else first.uuid)
        committer.close()
        directory.close()

    asyncio.run(main())


def test_a_move_stands_from_its_flush_until_it_is_followed(tmp_path: Path) -> None:
    """Before it is durable nobody may follow it; and a new process finds it where the old one left it."""

    async def main() -> None:
        directory = SqliteDirectory(tmp_path / "directory.db")
        committer = ThreadCommitter("directory")
        identity = Identity(directory, committer, SeededEntropy(1))
        identity.resolve(device(1), ids("a"), 100)
        assert identity.resolve(device(2), ids("a"), 200).arriving == ((DPID, "a"),)
        assert identity.next_move((DPID, "a")) is None
        await identity.flush()
        move = identity.next_move((DPID, "a"))
        assert move is not None
        assert (move.old_uuid, move.new_uuid) == (device(1), device(2))
        again = Identity(directory, committer, SeededEntropy(2))
        assert again.next_move((DPID, "a")) == move
        await again.moved(move)
        assert (again.next_move((DPID, "a")), directory.moves()) == (None, [])
        assert again.resolve(device(2), ids("a"), 300).arriving == ()
        committer.close()
        directory.close()

    asyncio.run(main())


def test_whose_an_id_was_first_is_known_for_good(tmp_path: Path) -> None:
    """Taken over, given on, taken back, and after it was forgotten with a device that had it later."""

    async def main() -> None:
        directory = SqliteDirectory(tmp_path / "directory.db")
        committer = ThreadCommitter("directory")
        key = (DPID, "a")

        def claimed(identity: Identity, number: int) -> bool:
            identity.resolve(device(number), ids("a"), 100)
            return identity.came_from_elsewhere(key, device(number))

        identity = Identity(directory, committer, SeededEntropy(1))
        assert [claimed(identity, number) for number in (1, 1, 2, 3, 1, 2)] == [
            False,
            False,
            True,
            True,
            False,
            True,
        ]
        assert identity.came_from_elsewhere(key, device(1)), "it is not its own while another one has it"
        await identity.flush()
        again = Identity(directory, committer, SeededEntropy(2))
        assert claimed(again, 2)
        directory.finish_privacy({}, [device(2)], [], 200)
        later = Identity(directory, committer, SeededEntropy(3))
        assert [claimed(later, number) for number in (4, 1)] == [True, False]
        committer.close()
        directory.close()

    asyncio.run(main())


def test_an_id_from_elsewhere_leads_to_no_device_that_has_left(tmp_path: Path) -> None:
    """Alone on an event, though the device is suppressed, it is a new one's. What was the device's own first
    leads to it, so the event is refused.
    """

    async def main() -> None:
        directory = SqliteDirectory(tmp_path / "directory.db")
        committer = ThreadCommitter("directory")
        identity = Identity(directory, committer, SeededEntropy(1))
        identity.resolve(device(1), ids("taken"), 100)
        identity.resolve(device(2), ids("taken", "own"), 100)
        await identity.suppress({1: [device(2)]}, 100)
        assert identity.resolve(None, ids("own"), 200).suppressed
        assert identity.resolve(None, ids("taken", "own"), 200).suppressed
        alone = identity.resolve(None, ids("taken"), 200)
        assert not alone.suppressed
        assert alone.uuid not in (device(1), device(2))
        assert alone.arriving == ((DPID, "taken"),), "with what was told about it"
        assert identity.resolve(device(1), ids("taken"), 200).uuid == device(1)
        committer.close()
        directory.close()

    asyncio.run(main())
