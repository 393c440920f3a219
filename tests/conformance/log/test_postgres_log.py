"""What only the log in PostgreSQL does: it is trimmed, its server dies, and leases share out the shards."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from arke.errors import ShardDown, StoreUnavailable
from arke.transport.packing import Bounds
from arke.transport.ports import Unreadable
from arke.transport.postgres import leases
from arke.transport.postgres.leases import LeaseAssignment
from arke.transport.postgres.refused import PostgresRefused
from conformance.log.logs import SHARDS, Kept, opened
from conformance.log.places import PostgresPlace
from conformance.log.test_log import ONE_EACH, names, read, sight
from patience import PATIENCE_S, eventually
from servers.postgres import KINDS, PostgresServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arke.transport.ports import LogWriter


class Owner:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.shards: set[int] = set()
        self.told: list[str] = []

    def assigned(self, shards: frozenset[int]) -> None:
        self.told.append("assigned")
        self.shards |= shards

    async def revoked(self, shards: frozenset[int]) -> None:
        self.told.append("revoked")
        self.shards -= shards

    def lost(self, shards: frozenset[int]) -> None:
        self.told.append("lost")
        self.shards -= shards


class Slow(Owner):
    """Does not finish what is revoked."""

    async def revoked(self, shards: frozenset[int]) -> None:
        self.told.append("revoked")
        await asyncio.Event().wait()


@pytest.fixture
def mortal() -> Iterator[PostgresServer]:
    if KINDS == ("given",):
        pytest.skip("a server that was given is not killed")
    server = PostgresServer(KINDS[-1], fsync="on")
    server.start()
    yield server
    server.close()


FULL = """
CREATE FUNCTION full_disk() RETURNS trigger AS $$
BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END
$$ LANGUAGE plpgsql;
CREATE TRIGGER full_disk BEFORE INSERT ON log FOR EACH ROW EXECUTE FUNCTION full_disk()
"""


async def test_a_server_that_takes_no_messages_does_not_answer_until_it_does(postgres: PostgresPlace) -> None:
    """Whoever asks whether it is there would be told so: its disk is full, and it answers all questions."""
    log = await postgres.fresh()
    async with opened(log, Kept()) as ends:
        await ends.writer.append(0, [sight("before")])
        postgres.run(FULL)
        await ends.writer.check()  # nobody has found out
        with pytest.raises(StoreUnavailable, match="No space left"):
            await ends.writer.append(0, [sight("refused")])
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="No space left"):
                await ends.writer.check()
        postgres.run("DROP TRIGGER full_disk ON log")
        await ends.writer.check()
        await ends.writer.append(0, [sight("after")])
        assert names(await read(ends.reader.open(0, 0), 2)) == ["before", "after"]
        assert postgres.rows("SELECT count(*) FROM log WHERE number < 0") == [(0,)]


async def test_what_was_taken_is_deleted_and_its_numbers_stay_used(postgres: PostgresPlace) -> None:
    log = await postgres.fresh()
    async with opened(log, Kept(), ONE_EACH) as ends:
        await ends.writer.append(0, [sight(f"{n}") for n in range(5)])
        stream = ends.reader.open(0, 0)
        await read(stream, 5)
        stream.taken(3)
        await eventually(lambda: postgres.rows("SELECT count(*) FROM log") == [(2,)], "rows to be deleted")
        assert postgres.rows("SELECT shard, number FROM log_end") == [(0, 5)]
        assert await ends.writer.append(0, [sight("next")]) == 6
        assert names(await read(ends.reader.open(0, 3), 3)) == ["3", "4", "next"]


async def test_after_a_fail_over_to_an_older_state_nothing_is_deleted_by_what_was_stored_before(
    mortal: PostgresServer,
) -> None:
    """The numbers of messages that were lost are given again, to others."""
    place = PostgresPlace(mortal.dsn())
    async with opened(await place.fresh(), Kept(), ONE_EACH) as ends:
        await ends.writer.append(0, [sight("kept")])
        await asyncio.to_thread(mortal.stop)
        older = mortal.clone(port=mortal.port)
        await asyncio.to_thread(mortal.start)
        stream = ends.reader.open(0, 0)
        await eventually_appended(ends.writer, 4)
        await read(stream, 5)
        await asyncio.to_thread(mortal.kill)
        await asyncio.to_thread(older.start)
        try:
            stream.taken(5)  # its answer comes late
            await eventually_appended(ends.writer, 3)
            other = ends.reader.open(1, 0)
            await ends.writer.append(1, [sight("trimmed")])
            await read(other, 1)
            other.taken(1)
            left = PostgresPlace(older.dsn())
            await eventually(
                lambda: left.rows("SELECT count(*) FROM log WHERE shard = 1") == [(0,)], "a trim of the other"
            )
            assert left.rows("SELECT count(*) FROM log WHERE shard = 0") == [(4,)]
        finally:
            older.close()


async def eventually_appended(writer: LogWriter, count: int) -> None:
    """To shard 0, one by one, over a connection that may be the first to a server."""
    for number in range(count):
        while True:
            try:
                await writer.append(0, [sight(f"{number}")])
            except (ShardDown, StoreUnavailable):
                continue
            break


async def test_refused_messages_are_kept_once(postgres: PostgresPlace) -> None:
    log = await postgres.fresh()
    session = log.session("refused")
    refused = PostgresRefused(session)
    bad = [Unreadable("postgresql", 1, 7, item, "not_a_sighting", b"\x00\xff") for item in (0, 3)]
    await refused.refuse(bad)
    await refused.refuse([*bad, Unreadable("arke-events", 1, 7, 0, "unknown_format", b"")])
    kept = postgres.rows(
        "SELECT source, shard, position, item, reason, body FROM refused ORDER BY source, item"
    )
    assert kept == [
        ("arke-events", 1, 7, 0, "unknown_format", b""),
        ("postgresql", 1, 7, 0, "not_a_sighting", b"\x00\xff"),
        ("postgresql", 1, 7, 3, "not_a_sighting", b"\x00\xff"),
    ]
    await session.close()


class Stubborn:
    """Appends to all shards and goes on when it fails."""

    def __init__(self, writer: LogWriter) -> None:
        self._writer = writer
        self._stopping = False
        self.acknowledged: set[str] = set()
        self.failed: set[str] = set()

    async def run(self) -> None:
        for number in itertools.count():
            if self._stopping:
                return
            await asyncio.gather(*[self._append(n % SHARDS, f"{number}-{n}") for n in range(100)])

    async def _append(self, shard: int, name: str) -> None:
        try:
            await self._writer.append(shard, [sight(name)])
            self.acknowledged.add(name)
        except (ShardDown, StoreUnavailable):
            self.failed.add(name)

    async def more(self) -> None:
        """More is acknowledged than was."""
        before = len(self.acknowledged)
        await eventually(lambda: len(self.acknowledged) > before + 1_000, "more to be acknowledged")

    def stop(self) -> None:
        self._stopping = True


async def test_a_server_killed_under_load_has_all_it_acknowledged_once(mortal: PostgresServer) -> None:
    """What was not acknowledged may be there or not; its sender heard that nobody knows, or that it is not."""
    place = PostgresPlace(mortal.dsn())
    async with opened(await place.fresh(), Kept(), Bounds(message_events=3)) as ends:
        load = Stubborn(ends.writer)
        running = asyncio.create_task(load.run())
        for _ in range(2):
            await load.more()
            mortal.kill()
            failed = len(load.failed)
            await eventually(lambda failed=failed: len(load.failed) > failed, "something to fail")  # type: ignore[misc]
            await asyncio.to_thread(mortal.start)
            await load.more()
        load.stop()
        await running
        found: Counter[str] = Counter()
        for shard, end in place.rows("SELECT shard, number FROM log_end"):
            stream, position = ends.reader.open(shard, 0), 0
            while position < end:
                messages = await stream.read()
                position = messages[-1].position
                found.update(names(messages))
        assert {found[name] for name in load.acknowledged} == {1}
        assert set(found) <= load.acknowledged | load.failed


@pytest.fixture
def lasting_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """None ends by itself, however slow the machine is."""
    monkeypatch.setattr(leases, "LEASE_S", PATIENCE_S)


@pytest.mark.usefixtures("lasting_leases")
async def test_leases_are_shared_out_evenly_and_given_back(postgres: PostgresPlace) -> None:
    log = await postgres.fresh()
    owners = [Owner() for _ in range(5)]
    assignments = [LeaseAssignment(log.session("leases"), f"w{n}", 16) for n in range(5)]

    def sizes() -> list[int]:
        return sorted(len(owner.shards) for owner in owners)

    for assignment, owner in zip(assignments, owners, strict=True):
        await assignment.start(owner)
    await eventually(lambda: sizes() == [3, 3, 3, 3, 4], "even shares")
    assert set.union(*[owner.shards for owner in owners]) == set(range(16))
    before = time.monotonic()
    shard = min(owners[2].shards)
    await eventually(lambda: (assignments[2].proved_at(shard) or 0) > before, "a renewal")
    assert assignments[1].proved_at(shard) is None
    for assignment in assignments[:3]:
        await assignment.stop()
    await eventually(lambda: sizes() == [0, 0, 0, 8, 8], "even shares of two")
    assert not any("lost" in owner.told for owner in owners)
    for assignment in assignments[3:]:
        await assignment.stop()
    assert postgres.rows("SELECT count(*) FROM shard_lease WHERE worker IS NOT NULL") == [(0,)]


async def test_who_cannot_renew_loses_all_and_gets_it_anew(
    mortal: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the table says afterwards: others may have had it meanwhile."""
    monkeypatch.setattr(leases, "LEASE_S", 1.0)
    monkeypatch.setattr(leases, "RENEW_S", 0.1)
    log = await PostgresPlace(mortal.dsn()).fresh()
    owner = Owner()
    assignment = LeaseAssignment(log.session("leases"), "w", SHARDS)
    await assignment.start(owner)
    await eventually(lambda: len(owner.shards) == SHARDS, "all shards")
    mortal.kill()
    await eventually(lambda: not owner.shards, "all to be lost")
    assert assignment.proved_at(0) is None
    await asyncio.to_thread(mortal.start)
    await eventually(lambda: len(owner.shards) == SHARDS, "all shards again")
    assert owner.told[::2] == ["assigned"] * (len(owner.told) // 2 + 1), "each time anew"
    assert owner.told[1::2] == ["lost"] * (len(owner.told) // 2), "once, or more often on a slow machine"
    await assignment.stop()


@pytest.mark.usefixtures("lasting_leases")
async def test_an_owner_that_does_not_finish_loses_what_was_revoked(
    postgres: PostgresPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "FINISH_S", 0.05)
    log = await postgres.fresh()
    slow, other = Slow(), Owner()
    ours, theirs = (LeaseAssignment(log.session("leases"), name, SHARDS) for name in "ab")
    await ours.start(slow)
    await eventually(lambda: len(slow.shards) == SHARDS, "all shards")
    await theirs.start(other)
    await eventually(lambda: len(slow.shards) == len(other.shards) == SHARDS // 2, "even shares")
    assert slow.told == ["assigned", "revoked", "lost"]
    await ours.stop()
    await theirs.stop()
