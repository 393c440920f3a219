"""What every store of batch runs does: newest first, bounded, and since when schedules are in force."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.domain.batch import BatchCounts, BatchRecord
from arke.storage.ports.directory import BATCH_RUNS_KEPT

if TYPE_CHECKING:
    from arke.storage.ports.directory import Directory


async def test_batch_runs_newest_first(directory: Directory) -> None:
    runs = directory.runs
    for number in (1, 2, 3):
        slot = 1_000 if number == 2 else None
        await runs.save(BatchRecord(1, number, number * 10, "schedule", slot))
    await runs.save(BatchRecord(1, 2, 20, "schedule", 1_000, 25, BatchCounts(4, 3, 1, 2, 1), "full"))
    assert [record.number for record in await runs.newest(1, 2)] == [3, 2]
    assert (await runs.newest(1, 1, up_to=2))[0].counts == BatchCounts(4, 3, 1, 2, 1)
    assert [record.number for record in await runs.unfinished()] == [1, 3]
    assert (await runs.last_slot(1), await runs.last_slot(2)) == (1_000, None)


async def test_old_runs_make_room_and_the_newest_slot_stays(directory: Directory) -> None:
    runs = directory.runs
    for number in range(1, BATCH_RUNS_KEPT + 11):
        slot = number if number in (3, 5) else None
        await runs.save(BatchRecord(1, number, number, "command", slot, number))
    numbers = [record.number for record in await runs.newest(1, 5_000)]
    assert numbers == [*range(BATCH_RUNS_KEPT + 10, 10, -1), 5]


async def test_how_destinations_stand(directory: Directory) -> None:
    await directory.runs.note_presence({1: "on", 2: "away"})
    await directory.runs.note_presence({1: "away", 3: "back"})
    assert await directory.runs.presence() == {1: "away", 3: "back"}


async def test_since_when_schedules_are_in_force(directory: Directory) -> None:
    await directory.runs.schedule_since({1: 100, 2: 200})
    await directory.runs.schedule_since({2: 200, 3: 300})
    assert await directory.runs.scheduled_since() == {2: 200, 3: 300}


async def test_a_run_begins_once_and_only_after_the_one_before(directory: Directory) -> None:
    runs = directory.runs
    assert await runs.begin(BatchRecord(1, 1, 10, "command"))
    assert not await runs.begin(BatchRecord(1, 1, 11, "resync"))
    assert not await runs.begin(BatchRecord(1, 2, 12, "schedule", 1_000))
    assert await runs.begin(BatchRecord(2, 1, 13, "schedule", 1_000))
    assert [(one.destination, one.number, one.at) for one in await runs.unfinished()] == [
        (1, 1, 10),
        (2, 1, 13),
    ]
    await runs.save(BatchRecord(1, 1, 10, "command", finished_at=14))
    assert not await runs.begin(BatchRecord(1, 1, 15, "command"))
    assert await runs.begin(BatchRecord(1, 2, 16, "schedule", 2_000))
    assert await runs.last_slot(1) == 2_000
    assert [(one.destination, one.number) for one in await runs.newest_of_each()] == [(1, 2), (2, 1)]
