"""What every store of sources promises: a partition has one reader, and nothing that it noted is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from arke.errors import Fenced
from arke.storage.ports.sources import REFUSED_KEPT, PartitionKey, Progress, RefusedEvent

if TYPE_CHECKING:
    from pathlib import Path

    from arke.storage.ports.directory import Directory
    from conformance.conftest import OpenDirectory

CLICKS = PartitionKey("team", "clicks", 3)
NOW = 1_800_000_000
FIVE = Progress(next=5, end=9, topic_id="t1", life=1, events=4, refused=1, skipped=2)


def refused(offset: int, item: int = 0) -> RefusedEvent:
    return RefusedEvent(*CLICKS, offset, item, NOW, "bad_json", "not a JSON object")


async def test_a_partition_begins_where_nothing_is_known(directory: Directory) -> None:
    taken = await directory.sources.take(CLICKS, "node-1", NOW)
    assert (taken.progress, taken.claim) == (Progress(), b"")
    assert await directory.sources.holds(CLICKS, taken.epoch)


async def test_it_goes_on_where_the_reader_before_was(directory: Directory) -> None:
    sources = directory.sources
    first = await sources.take(CLICKS, "node-1", NOW)
    await sources.advance(CLICKS, first.epoch, FIVE, NOW + 5, claim=b"decided", claimed_at=NOW + 1)
    second = await sources.take(CLICKS, "node-2", NOW + 2)
    assert second.epoch > first.epoch
    assert (second.progress, second.claim, second.claimed_at) == (FIVE, b"decided", NOW + 1)
    (state,) = await sources.partitions()
    assert (state.key, state.reader, state.progress) == (CLICKS, "node-2", FIVE)


async def test_who_lost_it_changes_nothing(directory: Directory) -> None:
    sources = directory.sources
    first = await sources.take(CLICKS, "node-1", NOW)
    second = await sources.take(CLICKS, "node-2", NOW)
    assert not await sources.holds(CLICKS, first.epoch)
    with pytest.raises(Fenced):
        await sources.advance(CLICKS, first.epoch, FIVE, NOW, refused=[refused(1)])
    await sources.release(CLICKS, first.epoch)
    (state,) = await sources.partitions()
    assert (state.reader, state.progress) == ("node-2", Progress())
    assert await sources.refused(10) == []
    await sources.release(CLICKS, second.epoch)
    (state,) = await sources.partitions()
    assert state.reader == ""


async def test_partitions_are_each_their_own(directory: Directory) -> None:
    sources = directory.sources
    others = [CLICKS._replace(number=4), CLICKS._replace(topic="views"), CLICKS._replace(group="other")]
    epochs = {key: (await sources.take(key, "node-1", NOW)).epoch for key in [CLICKS, *others]}
    await sources.advance(CLICKS, epochs[CLICKS], FIVE, NOW)
    found = {state.key: state.progress for state in await sources.partitions()}
    assert found == {CLICKS: FIVE, **dict.fromkeys(others, Progress())}
    assert list(found) == sorted(found)


async def test_what_was_refused_is_kept_once_the_newest_first(directory: Directory) -> None:
    sources = directory.sources
    epoch = (await sources.take(CLICKS, "node-1", NOW)).epoch
    await sources.advance(CLICKS, epoch, FIVE, NOW, refused=[refused(1), refused(1, 1)])
    await sources.advance(CLICKS, epoch, FIVE, NOW, refused=[refused(1, 1), refused(2)])
    assert await sources.refused(10) == [refused(2), refused(1, 1), refused(1)]
    assert await sources.refused(1) == [refused(2)]


async def test_of_what_was_refused_so_much_is_kept(directory: Directory) -> None:
    sources = directory.sources
    epoch = (await sources.take(CLICKS, "node-1", NOW)).epoch
    await sources.advance(
        CLICKS, epoch, FIVE, NOW, refused=[refused(offset) for offset in range(REFUSED_KEPT)]
    )
    await sources.advance(CLICKS, epoch, FIVE, NOW, refused=[refused(REFUSED_KEPT)])
    kept = await sources.refused(2 * REFUSED_KEPT)
    assert [one.offset for one in kept] == list(range(REFUSED_KEPT, 0, -1))


async def test_old_decisions_are_forgotten(directory: Directory) -> None:
    sources = directory.sources
    epoch = (await sources.take(CLICKS, "node-1", NOW)).epoch
    await sources.advance(CLICKS, epoch, FIVE, NOW + 9, claim=b"decided", claimed_at=NOW)
    await sources.forget_claims(NOW)
    assert (await sources.take(CLICKS, "node-1", NOW)).claim == b"decided"
    await sources.forget_claims(NOW + 1)
    taken = await sources.take(CLICKS, "node-1", NOW)
    assert (taken.claim, taken.progress) == (b"", FIVE)


async def test_it_is_there_when_the_store_is_opened_again(lasting: OpenDirectory, tmp_path: Path) -> None:
    async with lasting(tmp_path) as directory:
        epoch = (await directory.sources.take(CLICKS, "node-1", NOW)).epoch
        await directory.sources.advance(CLICKS, epoch, FIVE, NOW, claim=b"decided", refused=[refused(1)])
    async with lasting(tmp_path) as directory:
        taken = await directory.sources.take(CLICKS, "node-1", NOW)
        assert (taken.progress, taken.claim) == (FIVE, b"decided")
        assert taken.epoch > epoch
        assert await directory.sources.refused(10) == [refused(1)]
