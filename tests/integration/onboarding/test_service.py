"""Files that were sent to the admin API, when the disk they wait on does not do what it should."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from arke.background import Pause
from arke.clock import SystemClock
from arke.onboarding import service
from arke.onboarding.inbox import PART, FolderInbox, Waiting, no_file
from arke.onboarding.service import Onboarding
from integration.onboarding.desk import COOKIES, open_desk
from patience import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import pytest

    from arke.onboarding.receipt import Receipt

FILE = f"ftp_dpm_{COOKIES}_1777600000.sync"


async def sent(content: bytes) -> AsyncIterator[bytes]:
    yield content


def test_a_receipt_that_cannot_be_written_is_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is not forgotten meanwhile, other files are loaded, and it is not loaded twice."""
    monkeypatch.setattr(service, "PAUSE", Pause(0.05))

    async def work() -> None:
        async with open_desk(tmp_path) as desk:
            await desk.see(1, (COOKIES, "abc"))
            onboarding = Onboarding(desk.loader, FolderInbox(tmp_path / "inbox"), SystemClock())
            first = await onboarding.receive(FILE, None, sent(b"abc\td_sid=1\n"), actor="test")
            second = await onboarding.receive(
                FILE.replace("600000", "600001"), None, sent(b"abc\td_sid=2\n"), actor="test"
            )
            in_its_place = tmp_path / "inbox" / first / PART
            in_its_place.mkdir()
            await onboarding.start()
            try:

                async def receipt_of(ticket: str) -> Receipt | None:
                    return (await onboarding.state(ticket)).receipt

                await eventually(lambda: receipt_of(second), "the second file")
                assert await receipt_of(first) is None
                in_its_place.rmdir()
                await eventually(lambda: receipt_of(first), "the receipt")
                receipt = await receipt_of(first)
                assert receipt is not None
                assert (receipt.state, receipt.stored, receipt.repeated) == ("done", 1, True)
                assert await desk.traits(1) == {1, 2}
            finally:
                await onboarding.stop()

    asyncio.run(work())


def test_a_file_that_is_withdrawn_when_its_turn_comes_holds_up_no_other(tmp_path: Path) -> None:
    class WithGhost(FolderInbox):
        """Its list was asked for a moment before one of the files was withdrawn."""

        async def waiting(self) -> list[str]:
            return ["withdrawn", *await super().waiting()]

        async def job(self, ticket: str) -> Waiting:
            if ticket == "withdrawn":
                raise no_file(ticket)
            return await super().job(ticket)

    async def work() -> None:
        async with open_desk(tmp_path) as desk:
            await desk.see(1, (COOKIES, "abc"))
            onboarding = Onboarding(desk.loader, WithGhost(tmp_path / "inbox"), SystemClock())
            await onboarding.start()
            try:
                ticket = await onboarding.receive(FILE, None, sent(b"abc\td_sid=1\n"), actor="test")

                async def loaded() -> bool:
                    return (await onboarding.state(ticket)).state == "done"

                await eventually(loaded, "the other file")
            finally:
                await onboarding.stop()

    asyncio.run(work())
