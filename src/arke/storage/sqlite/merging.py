"""What becomes one where several shards do: cursors, batch runs, keys, the walk of the backfill. Pure."""

from __future__ import annotations

from functools import reduce
from math import lcm
from typing import TYPE_CHECKING, Final

import msgspec

from arke.domain.batch import WALK, BatchCounts, BatchRun
from arke.errors import InvalidInput
from arke.storage.keyed_hash import KEY_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.domain.change import JournalRecord

TOLD_ONCE: Final = frozenset({"changes", "full", "catch_up"})
"""Modes of runs that tell nothing twice when they begin anew."""


class Source(msgspec.Struct):
    """A shard that goes into another one: its journal's positions are `offset` higher there, up to `end`. `cursors`
    and `runs` by destination, with the positions that they have there.
    """

    offset: int
    end: int = 0
    cursors: dict[int, int] = {}
    runs: dict[int, BatchRun] = {}
    refreshed: bytes | None = None


def moved_run(run: BatchRun, offset: int) -> BatchRun:
    """A run whose journal begins `offset` later."""
    if not offset:
        return run

    def moved(position: tuple[int, int]) -> tuple[int, int]:
        phase, key = position
        return (phase, key + offset) if run.mode == "changes" and phase == WALK and key >= 0 else position

    return msgspec.structs.replace(
        run,
        from_seq=run.from_seq + offset,
        to_seq=run.to_seq + offset,
        position=moved(run.position),
        read_to=moved(run.read_to),
    )


def merged_cursors(sources: Sequence[Source]) -> dict[int, int]:
    """The position from which each destination goes on: the first that it is not past, of any source."""
    found = {}
    for destination in sorted({number for source in sources for number in source.cursors}):
        behind = [
            source.cursors[destination]
            for source in sources
            if source.cursors.get(destination, source.end) < source.end
        ]
        found[destination] = min(behind, default=sources[-1].end)
    return found


def still_named(record: JournalRecord, sources: Sequence[Source]) -> JournalRecord:
    """A record without the destinations that are past it: their cursor stands before another source's records."""
    source = next(one for one in sources if record.seq <= one.end)
    past = {number for number in record.destinations if source.cursors.get(number, source.end) >= record.seq}
    if not past:
        return record
    return msgspec.structs.replace(
        record,
        destinations=tuple(number for number in record.destinations if number not in past),
        catch_up=tuple(number for number in record.catch_up if number not in past),
    )


def merged_run(destination: int, sources: Sequence[Source], where: str) -> BatchRun:
    """One run for those of all sources. Raises InvalidInput where it would tell twice."""
    runs = [source.runs.get(destination) for source in sources]
    known = [run for run in runs if run is not None]
    newest = max(known, key=lambda run: run.number)
    going = [run for run in known if run.finished_at is None]
    counts = sum((run.counts for run in known if run.number == newest.number), BatchCounts())
    if not going:
        whole = len(known) == len(sources) and len({run.number for run in known}) == 1
        to_seq = min(run.to_seq for run in known)
        return msgspec.structs.replace(
            newest,
            # After a catch-up the next batch goes through everything.
            mode=newest.mode if whole and all(run.mode != "catch_up" for run in known) else "catch_up",
            from_seq=0,
            to_seq=to_seq,
            mark=newest.mark if len({run.mark for run in known}) == 1 else 0,
            position=(WALK, to_seq),
            read_to=(WALK, to_seq),
            counts=counts,
            finished_at=max(run.finished_at or 0 for run in known),
        )
    if any(run.mode not in TOLD_ONCE or run.read_to > run.position for run in going):
        raise InvalidInput(
            f"{where}: batch {newest.number} of destination {destination} is under way, and what it has told would "
            "be told twice: start the engine, let the batch end (`arke batch status`), stop it, and try again"
        )
    return msgspec.structs.replace(
        newest,
        mode="catch_up" if all(run.mode == "catch_up" for run in going) else "full",
        from_seq=0,
        to_seq=sources[-1].end,
        position=(WALK, -1),
        read_to=(WALK, -1),
        counts=counts,
        finished_at=None,
    )


def merged_keys(keys: Sequence[bytes]) -> bytes:
    """The keys of all shards that devices came from, so that a device's is found by its UUID: see
    `DeviceHashes`.
    """
    if len(set(keys)) == 1:
        return keys[0]
    each = [[key[start : start + KEY_BYTES] for start in range(0, len(key), KEY_BYTES)] for key in keys]
    many = reduce(lcm, [len(keys), *(len(own) for own in each)])
    return b"".join(
        each[number % len(keys)][number % len(each[number % len(keys)])] for number in range(many)
    )


def merged_refreshed(sources: Sequence[Source]) -> bytes | None:
    """Where the walk of the backfill goes on: at the lowest uid that any has come to. None: it begins anew."""
    walks = [
        msgspec.msgpack.decode(source.refreshed, type=tuple[int, int | None])
        for source in sources
        if source.refreshed is not None
    ]
    if len(walks) < len(sources) or len({fingerprint for fingerprint, _ in walks}) > 1:
        return None
    reached = [uid for _, uid in walks if uid is not None]
    return msgspec.msgpack.encode((walks[0][0], min(reached, default=None)))
