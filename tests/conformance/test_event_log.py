"""What every way of commands into a shard does: in order, durable once answered, each sighting once.

An adapter joins by a line in `LOGS`.
"""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

import pytest

from arke.domain.event import Event
from arke.errors import InvalidInput, ShardDown
from arke.settings import Settings
from arke.shard.commands import Done, Seen, Sight, Taken, Withdraw
from arke.shard.protocol import AskProfile, AskStatus, Prepare, ShardPort, Submit, Switch
from arke.shard_app import open_shard
from arke.transport.remote_shard import RemoteShard
from patience import eventually
from started import starter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from arke.shard.commands import Command, Result

UUID = f"{7:038d}"
NOW = 1_800_000_000
CATALOG = b'{"traits": [{"id": 1, "rule": "c_k == 1"}]}'


class CatchUp:
    """Gives a shard that has started its catalog."""

    async def bring(self, shard: ShardPort) -> None:
        await shard.call(Prepare(1, CATALOG, {}))
        await shard.call(Switch(1))


@asynccontextmanager
async def in_this_process(path: Path) -> AsyncIterator[ShardPort]:
    shard = open_shard(path, Settings())
    await shard.start()
    await CatchUp().bring(shard)
    try:
        yield shard
    finally:
        await shard.stop()


@asynccontextmanager
async def in_its_own(path: Path) -> AsyncIterator[ShardPort]:
    shard = RemoteShard(path, Settings(), CatchUp(), starter())
    await shard.start()
    try:
        yield shard
    finally:
        await shard.stop()


class Opened(Protocol):
    """Opens the same log again each time."""

    def __call__(self) -> AbstractAsyncContextManager[ShardPort]: ...


class Log(Protocol):
    """Opens a log; where there was one before, it goes on."""

    def __call__(self, path: Path) -> AbstractAsyncContextManager[ShardPort]: ...


LOGS: Final[list[Log]] = [in_this_process, in_its_own]


@pytest.fixture(params=LOGS, ids=["in_this_process", "in_its_own"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Opened:
    log: Log = request.param
    return lambda: log(tmp_path / "shard-00.db")


def sight(number: int) -> Sight:
    return Sight(Event(uuid=UUID, at=NOW + number, ts=NOW + number, signals={"c_k": ["1"]}))


async def times_seen(log: ShardPort) -> int:
    profile = (await log.call(AskProfile(UUID))).profile
    return 0 if profile is None or 1 not in profile.traits else profile.realisations


async def taken(log: ShardPort) -> int:
    return (await log.call(AskStatus())).taken


def test_each_command_has_its_result_in_its_place(opened: Opened) -> None:
    async def play() -> None:
        async with opened() as log:
            commands: list[Command] = [sight(1), Withdraw(f"{8:038d}", NOW, "opt_out"), sight(2)]
            kinds = [type(result) for result in await log.append(commands)]
            assert kinds == [Seen, Done, Seen]
            assert await times_seen(log) == 2

    asyncio.run(play())


def test_what_is_answered_is_there_in_the_next_life_and_the_numbers_go_on(opened: Opened) -> None:
    async def play() -> None:
        async with opened() as log:
            await log.append([sight(1), sight(2)])
            await log.append([sight(3)])
            assert await taken(log) == 3
        async with opened() as log:
            assert (await taken(log), await times_seen(log)) == (3, 3)
            assert [type(result) for result in await log.append([sight(4)])] == [Seen]
            assert (await taken(log), await times_seen(log)) == (4, 4)

    asyncio.run(play())


def test_a_log_that_is_read_again_applies_no_sighting_twice(opened: Opened) -> None:
    """Read again from before the place it was taken to, as after a crash; what is new in it is applied."""

    async def play() -> None:
        async with opened() as log:
            await log.append([sight(1), sight(2), sight(3)])
        async with opened() as log:
            results = await log.call(Submit([sight(number) for number in range(2, 6)], 2))
            assert [type(result) for result in results] == [Taken, Taken, Seen, Seen]
            assert (await taken(log), await times_seen(log)) == (5, 5)

    asyncio.run(play())


def test_what_may_be_repeated_is(opened: Opened) -> None:
    """An answer that was lost is wanted: only what counts when it is done is not done again."""

    async def play() -> None:
        commands: list[Command] = [Withdraw(UUID, NOW, "opt_out"), sight(1)]
        async with opened() as log:
            await log.append(commands)
        async with opened() as log:
            results = await log.call(Submit(commands, 1))
            assert [type(result) for result in results] == [Done, Taken]

    asyncio.run(play())


def test_a_number_that_comes_too_late_is_refused(opened: Opened) -> None:
    """Taken for known, it would be lost."""

    async def play() -> None:
        async with opened() as log:
            await log.call(Submit([sight(5)], 5))
            with pytest.raises(InvalidInput, match="the log is at 5"):
                await log.call(Submit([sight(4)], 4))
            assert await times_seen(log) == 1

    asyncio.run(play())


def _is_back(log: RemoteShard, restarts: int) -> bool:
    return log.restarts > restarts and log._up


def test_a_process_that_is_killed_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """What was in flight is read again by the next process; whoever waits hears of it then."""

    async def play() -> None:
        async with in_its_own(tmp_path / "shard-00.db") as log:
            assert isinstance(log, RemoteShard)
            results: list[Result] = []
            refused = 0

            async def send(first: int) -> None:
                nonlocal refused
                try:
                    results.extend(await log.append([sight(number) for number in range(first, first + 5)]))
                except ShardDown:  # while nobody reads: nothing of it was taken
                    refused += 5

            sent = 0
            for _ in range(3):
                waiting = []
                for _ in range(40):
                    waiting.append(asyncio.create_task(send(sent)))
                    sent += 5
                await asyncio.sleep(0)
                process, restarts = log._process, log.restarts
                assert process is not None
                assert process.pid is not None
                os.kill(process.pid, signal.SIGKILL)
                await asyncio.gather(*waiting)
                await eventually(partial(_is_back, log, restarts), "the next process")
            assert {type(result) for result in results} <= {Seen, Taken}
            assert len(results) == sent - refused
            assert await times_seen(log) == len(results)
            assert len(results) > 0

    asyncio.run(play())


def test_a_file_that_is_gone_is_waited_for_and_not_begun_anew(tmp_path: Path) -> None:
    async def play() -> None:
        file, elsewhere = tmp_path / "shard-00.db", tmp_path / "elsewhere"
        async with in_its_own(file) as log:
            assert isinstance(log, RemoteShard)
            await log.append([sight(1)])
            file.rename(elsewhere)
            assert log._process is not None
            assert log._process.pid is not None
            os.kill(log._process.pid, signal.SIGKILL)
            await eventually(lambda: log.restarts > 1, "another look for the file")
            assert not file.exists()
            with pytest.raises(ShardDown):
                await log.append([sight(2)])
            elsewhere.rename(file)
            await eventually(lambda: log._up, "the next process")
            assert await times_seen(log) == 1

    asyncio.run(play())


def test_a_process_that_never_came_up_is_not_restarted(tmp_path: Path) -> None:
    """The engine does not start without it, and does not say that somebody is at it."""

    async def play() -> None:
        file = tmp_path / "shard-00.db"
        file.write_bytes(b"no database" * 1_000)
        log = RemoteShard(file, Settings(), CatchUp(), starter())
        with pytest.raises(ShardDown) as raised:
            await log.start()
        await log.stop()
        assert str(raised.value) == "shard-00.db: the shard's process does not start: shard-00 went away"

    asyncio.run(play())
