"""A defect that every event meets, or nearly: a shard says that nothing can be stored, and what it has waits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from structlog.testing import capture_logs

from arke.defects import HELD, MAX_DEFECTS
from arke.domain.stored_profile import decode_profile
from arke.errors import InvalidInput, StoreUnavailable
from arke.shard import group as group_
from arke.shard import runner as runner_
from arke.shard.commands import Failed, Seen, Sight
from arke.shard.feed import GROUP, Answers, Feed
from arke.shard.handlers import HANDLERS
from arke.shard.protocol import AskStatus
from e2e.catalogs import device
from integration.engine.shards import NotingPoster, open_store, running_shard, sight
from patience import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from arke.shard.commands import Command, Result
    from arke.shard.group import Group
    from arke.shard.shard import Shard


class Defect(Exception):
    """What nobody foresaw."""


class Breaks:
    """Which devices' events fail, until it is `mended`, and how often a handler was run meanwhile."""

    def __init__(self, *uuids: str) -> None:
        self.uuids = frozenset(uuids)
        self.mended = False
        self.error: Exception = Defect()
        self.times = 0

    def at(self, uuid: str | None) -> bool:
        return uuid is not None and not self.mended and (not self.uuids or uuid in self.uuids)


def as_they_are_loaded(breaks: Breaks, patch: pytest.MonkeyPatch) -> None:
    load = runner_.GroupRunner._load

    async def loads(self: Any, commands: Any) -> Group:
        breaks.times += len(commands)
        if any(breaks.at(one.key) for one in commands):
            raise breaks.error
        return await load(self, commands)

    patch.setattr(runner_.GroupRunner, "_load", loads)


def as_they_are_applied(breaks: Breaks, patch: pytest.MonkeyPatch) -> None:
    apply = HANDLERS[Sight]

    def applies(group: Group, command: Any) -> Any:
        breaks.times += 1
        if breaks.at(command.key):
            raise breaks.error
        return apply(group, command)

    patch.setitem(HANDLERS, Sight, applies)


def as_they_are_stored(breaks: Breaks, patch: pytest.MonkeyPatch) -> None:
    apply = HANDLERS[Sight]

    def applies(group: Group, command: Any) -> Any:
        breaks.times += 1
        result = apply(group, command)
        if breaks.at(command.key):
            _, profile = group.device(command.key)
            profile.opted_out = object()  # type: ignore[assignment]
        return result

    patch.setitem(HANDLERS, Sight, applies)


PLACES = [as_they_are_loaded, as_they_are_applied, as_they_are_stored]
MANY = 400
Place = Any


def play(folder: Path, part: Callable[[Shard], Coroutine[Any, Any, None]]) -> None:
    async def played() -> None:
        async with running_shard(
            open_store(folder), NotingPoster(), delivering=False, housekeeping=False
        ) as shard:
            await part(shard)

    asyncio.run(played())


@pytest.mark.parametrize("place", PLACES)
def test_nobody_is_refused_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Place) -> None:
    """Nothing is stored, it is found out soon, and once it is mended all is taken."""
    breaks = Breaks()
    place(breaks, monkeypatch)

    async def part(shard: Shard) -> None:
        for _ in range(2):
            breaks.times = 0
            with pytest.raises(StoreUnavailable, match="in a row met a defect"):
                await shard.append([sight(number) for number in range(MANY)])
            assert breaks.times < 5 * MANY
            assert not (await shard.call(AskStatus())).ready
        assert await shard.store.count_profiles() == 0
        breaks.mended = True
        assert [type(one) for one in await shard.append([sight(n) for n in range(MANY)])] == [Seen] * MANY
        assert (await shard.call(AskStatus())).ready

    with capture_logs() as said:
        play(tmp_path, part)
    failed = [line for line in said if line["event"] == "group_failed"]
    assert [line["reason"] for line in failed] == [HELD, HELD]
    assert all("Error" in line["place"] or "Defect in " in line["place"] for line in failed)


@pytest.mark.parametrize("place", PLACES)
def test_nor_are_more_than_a_few_that_come_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Place
) -> None:
    """Until one comes that is sound: then it is for what they say."""
    breaks = Breaks(*map(device, range(100)))
    place(breaks, monkeypatch)

    async def part(shard: Shard) -> None:
        for number in range(MAX_DEFECTS):
            (answer,) = await shard.append([sight(number)])
            assert isinstance(answer, Failed)
        for number in range(MAX_DEFECTS, 2 * MAX_DEFECTS):
            with pytest.raises(StoreUnavailable):
                await shard.append([sight(number)])
        assert [type(one) for one in await shard.append([sight(100)])] == [Seen]
        assert [type(one) for one in await shard.append([sight(99)])] == [Failed]

    play(tmp_path, part)


@pytest.mark.parametrize("error", [Defect(), InvalidInput("a rule of ours")])
@pytest.mark.parametrize("place", PLACES)
def test_many_of_a_group_that_are_not_in_a_row_cost_themselves_and_little_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Place, error: Exception
) -> None:
    breaks = Breaks(*(device(number) for number in range(MANY) if number % 4))
    breaks.error = error
    place(breaks, monkeypatch)

    async def part(shard: Shard) -> None:
        answers = await shard.append([sight(number) for number in range(MANY)])
        assert [isinstance(one, Failed) for one in answers] == [number % 4 > 0 for number in range(MANY)]
        assert await shard.store.count_profiles() == MANY // 4
        assert breaks.times < 25 * MANY

    play(tmp_path, part)


@pytest.mark.parametrize("error", [MemoryError(), StoreUnavailable("disk full")])
def test_what_is_no_defect_refuses_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    breaks = Breaks(device(3))
    breaks.error = error
    as_they_are_applied(breaks, monkeypatch)

    async def part(shard: Shard) -> None:
        with pytest.raises(StoreUnavailable):
            await shard.append([sight(number) for number in range(5)])
        assert await shard.store.count_profiles() == 0

    play(tmp_path, part)


# --- of a log, whose senders were told that their events are taken ---------------------------------------


class Message(NamedTuple):
    position: int
    sights: list[Sight]


def messages(events: int, each: int) -> list[Message]:
    return [
        Message(start + each, [sight(number) for number in range(start, start + each)])
        for start in range(0, events, each)
    ]


async def fed(
    shard: Shard, given: list[Message], breaks: Breaks, held: Callable[[Feed], None]
) -> list[Result]:
    """What becomes of these once the feed was `held`, and it is mended."""
    answers = Answers(0)
    feed = Feed("0", shard, answers, lambda: None)
    running = asyncio.create_task(feed.run())
    feed.offer(given)

    await eventually(lambda: feed.held, "the feed to be held")
    held(feed)
    breaks.mended = True
    found = [await answers.of(message.position, 60) or {} for message in given]
    assert not feed.held
    feed.close()
    await running
    return [result for one in found for result in one.values()]


@pytest.mark.parametrize("place", PLACES)
def test_a_log_waits_until_it_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Place
) -> None:
    """Nothing of it is passed by."""
    breaks = Breaks()
    place(breaks, monkeypatch)
    count = 3 * GROUP

    async def part(shard: Shard) -> None:
        def held(_: Feed) -> None:
            assert shard.taken == 0

        results = await fed(shard, messages(count, 64), breaks, held)
        assert [type(one) for one in results] == [Seen] * count
        assert shard.taken == count
        assert await shard.store.count_profiles() == count

    play(tmp_path, part)


@pytest.mark.parametrize("each", [1, 100])
@pytest.mark.parametrize("place", PLACES)
def test_a_log_also_waits_where_some_of_its_events_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Place, each: int
) -> None:
    """One in five: what a newer worker has stored, say. A few are passed by at most."""
    count = 1_000
    breaks = Breaks(*(device(number) for number in range(0, count, 5)))
    place(breaks, monkeypatch)

    async def part(shard: Shard) -> None:
        results = await fed(shard, messages(count, each), breaks, lambda _: None)
        assert sum(isinstance(one, Failed) for one in results) <= MAX_DEFECTS

    with capture_logs() as said:
        play(tmp_path, part)
    assert len([line for line in said if line["event"] == "command_failed"]) <= 1


@pytest.mark.parametrize("place", PLACES)
def test_a_log_passes_by_what_fails_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Place
) -> None:
    count = 1_000
    breaks = Breaks(device(300), device(301), device(800))
    place(breaks, monkeypatch)

    async def part(shard: Shard) -> None:
        answers = Answers(0)
        feed = Feed("0", shard, answers, lambda: None)
        running = asyncio.create_task(feed.run())
        feed.offer(given := messages(count, 100))
        found = [await answers.of(message.position, 60) or {} for message in given]
        results = [result for one in found for result in one.values()]
        assert [type(one) for one in results].count(Failed) == 3
        assert shard.taken == count
        assert await shard.store.count_profiles() == count - 3
        feed.close()
        await running

    with capture_logs() as said:
        play(tmp_path, part)
    assert len([line for line in said if line["log_level"] != "info"]) == 1


def test_a_format_that_is_newer_than_this_shard_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every profile that is stored cannot be read; those of new devices can be made."""
    broken = False

    def decodes(body: bytes) -> Any:
        if broken:
            raise Defect
        return decode_profile(body)

    monkeypatch.setattr(group_, "decode_profile", decodes)

    async def part(shard: Shard) -> None:
        nonlocal broken
        await shard.append([sight(number) for number in range(0, GROUP, 2)])
        broken = True
        commands: list[Command] = [sight(number) for number in range(GROUP)]
        with pytest.raises(StoreUnavailable):
            await shard.submit(commands, GROUP)
        broken = False
        assert [type(one) for one in await shard.submit(commands, GROUP)] == [Seen] * GROUP

    play(tmp_path, part)
