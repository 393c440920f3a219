"""Files that were sent to any node: whole or not at all, in their order, gone once they are loaded."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest

from arke.errors import InvalidInput
from arke.onboarding.inbox import BUFFER_BYTES, Waiting
from arke.onboarding.names import parse_name
from arke.onboarding.receipt import Receipt
from arke.onboarding.shared_inbox import SharedInbox
from arke.storage.postgres.connection import Server
from arke.storage.postgres.database import Database
from arke.storage.postgres.schema import initialise
from arke.storage.postgres.uploads import PostgresUploads

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

NAME = parse_name("ftp_dpm_12345_1777600000.sync")
JOB = Waiting(NAME.name, None, "test")
CONTENT = b"p1\td_sid=1000\n" * (3 * BUFFER_BYTES // 14)


@pytest.fixture
def database(dsn: str) -> Iterator[Database]:
    server = Server(dsn)
    with server.connect() as connection:
        initialise(connection, 16, server.name)
    found = Database(server)
    yield found
    found.close()


async def sent(content: bytes, *, breaks: bool = False) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 100_000):
        yield content[start : start + 100_000]
    if breaks:
        raise ConnectionError("the sender has gone")


def test_what_one_node_takes_another_one_loads(database: Database, tmp_path: Path) -> None:
    async def play() -> None:
        taker, leader = (SharedInbox(PostgresUploads(database), tmp_path / name) for name in "ab")
        tickets = [await taker.receive(NAME, JOB, sent(CONTENT + bytes([number]))) for number in range(2)]
        assert await leader.waiting() == tickets
        assert await leader.job(tickets[0]) == JOB
        assert (await leader.fetch(tickets[1])).read_bytes() == CONTENT + b"\x01"
        assert (await taker.progress(tickets[1]), await taker.receipt(tickets[1])) == (None, None)
        await leader.show(tickets[1], 7, 9)
        assert await taker.progress(tickets[1]) == (7, 9)
        await leader.finish(tickets[1], Receipt(file="first", kind="trait", state="done"))
        await taker.finish(tickets[1], Receipt(file="second", kind="trait", state="done"))
        receipt = await taker.receipt(tickets[1])
        assert receipt is not None
        assert receipt.file == "first"
        assert await taker.waiting() == tickets[:1]
        assert not list((tmp_path / "b").iterdir())
        assert await database.rows("SELECT DISTINCT ticket FROM upload_part") == [(tickets[0],)]

    asyncio.run(play())


def test_what_another_node_has_loaded_meanwhile_is_not_half_loaded(
    database: Database, tmp_path: Path
) -> None:
    class Interrupted(PostgresUploads):
        """The leader before is still there while the next one brings a file."""

        async def part(self, ticket: str, number: int) -> bytes | None:
            if number == 1:
                await self.finish(ticket, msgspec.json.encode(receipt))
            return await super().part(ticket, number)

    async def play() -> None:
        inbox = SharedInbox(Interrupted(database), tmp_path)
        ticket = await inbox.receive(NAME, JOB, sent(CONTENT))
        with pytest.raises(InvalidInput, match="there is no file"):
            await inbox.fetch(ticket)
        assert not list(tmp_path.iterdir())

    receipt = Receipt(file="first", kind="trait", state="done")
    asyncio.run(play())


def test_what_breaks_off_was_never_there(database: Database, tmp_path: Path) -> None:
    async def play() -> None:
        inbox = SharedInbox(PostgresUploads(database), tmp_path)
        with pytest.raises(ConnectionError):
            await inbox.receive(NAME, JOB, sent(CONTENT, breaks=True))
        assert await database.rows("SELECT ticket FROM upload") == []
        assert await database.rows("SELECT ticket FROM upload_part") == []
        with pytest.raises(InvalidInput, match="there is no file"):
            await inbox.receipt("nobodys")

    asyncio.run(play())


def test_old_receipts_go_and_so_does_what_a_dead_node_had_begun(database: Database, tmp_path: Path) -> None:
    async def play() -> None:
        uploads = PostgresUploads(database)
        inbox = SharedInbox(uploads, tmp_path)
        done, waits = [await inbox.receive(NAME, JOB, sent(b"p1\t1\n")) for _ in range(2)]
        await inbox.finish(done, Receipt(file="old", kind="trait", state="done"))
        await uploads.begin("begun", b"")
        await uploads.add("begun", 0, b"some of it")
        await inbox.prune(0)
        assert len(await database.rows("SELECT ticket FROM upload")) == 3
        await database.rows("UPDATE upload SET touched = touched - interval '2 hours'")
        await inbox.prune(0)
        assert {ticket for (ticket,) in await database.rows("SELECT ticket FROM upload")} == {done, waits}
        await database.rows("UPDATE upload SET touched = touched - interval '15 days'")
        await inbox.prune(0)
        assert await inbox.waiting() == [waits]
        assert len(await database.rows("SELECT ticket FROM upload")) == 1

    asyncio.run(play())
