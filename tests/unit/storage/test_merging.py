"""Shards that become one: where lanes and batches go on, and whose keys are whose."""

from __future__ import annotations

import pytest

from arke.domain.batch import WALK, BatchCounts, BatchRun, Mode
from arke.domain.change import JournalRecord
from arke.domain.placement import shard_of
from arke.errors import InvalidInput
from arke.storage.keyed_hash import DeviceHashes, KeyedHash
from arke.storage.sqlite.merging import (
    Source,
    merged_cursors,
    merged_keys,
    merged_run,
    moved_run,
    still_named,
)

A, B = 1, 2


def run(
    number: int = 1, mode: Mode = "changes", *, to: int = 10, done: bool = True, **fields: object
) -> BatchRun:
    position = (WALK, to)
    return BatchRun(
        A, number, 100, mode, 0, to, 7, position, position, BatchCounts(2, 2), 200 if done else None
    )


def two(first: BatchRun | None, second: BatchRun | None) -> list[Source]:
    runs = [{} if one is None else {A: one} for one in (first, second)]
    return [Source(0, 20, {}, runs[0]), Source(21, 40, {}, runs[1])]


def test_a_lane_goes_on_where_it_is_not_past_and_is_not_told_what_it_was() -> None:
    sources = [Source(0, 20, {A: 20, B: 5}), Source(21, 40, {A: 30, B: 40})]
    assert merged_cursors(sources) == {A: 30, B: 5}
    record = JournalRecord(35, 1, 9, (), (A, B), "realtime", (B,))
    assert (still_named(record, sources).destinations, still_named(record, sources).catch_up) == ((A,), ())
    early = JournalRecord(8, 1, 9, (), (A, B), "realtime")
    assert still_named(early, sources).destinations == (B,)


def test_one_that_is_past_everything_begins_behind_everything() -> None:
    assert merged_cursors([Source(0, 20, {A: 20}), Source(21, 40, {})]) == {A: 40}


def test_runs_that_ended_reach_as_far_as_the_shortest() -> None:
    one = merged_run(A, two(run(to=18), moved_run(run(to=9), 21)), "x")
    assert (one.number, one.mode, one.to_seq, one.counts.users, one.finished_at) == (1, "changes", 18, 4, 200)


@pytest.mark.parametrize("other", [None, run(2), run(1, "catch_up")])
def test_the_next_is_full_where_they_do_not_agree(other: BatchRun | None) -> None:
    assert merged_run(A, two(run(), other), "x").mode == "catch_up"


def test_one_that_goes_on_begins_anew_and_one_that_would_tell_twice_is_refused() -> None:
    one = merged_run(A, two(run(2), run(2, done=False)), "x")
    assert (one.mode, one.position, one.to_seq, one.finished_at) == ("full", (WALK, -1), 40, None)
    with pytest.raises(InvalidInput, match="let the batch end"):
        merged_run(A, two(run(2), run(2, "resync", done=False)), "x")


def test_a_device_keeps_the_key_of_the_shard_that_it_was_in_first() -> None:
    """Over three shards, then one, then whatever: the list of keys stays the same."""
    keys = [bytes([n]) * 16 for n in range(3)]
    together = DeviceHashes(merged_keys(keys))
    for number in range(50):
        uuid = f"{number:038d}"
        own = KeyedHash(keys[shard_of(uuid, 3)])
        assert together.uid(uuid) == own.uid(uuid)
        assert together.of(uuid).name("1:a") == own.name("1:a")
    assert merged_keys([together.keys] * 5) == together.keys
    assert merged_keys([keys[0]] * 4) == keys[0]
    assert DeviceHashes(merged_keys([keys[0], keys[1], keys[0], keys[1]])).uid("1" * 38) == (
        DeviceHashes(keys[0] + keys[1]).uid("1" * 38)
    )
