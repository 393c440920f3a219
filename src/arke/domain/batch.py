"""A batch run as one shard knows it: what it covers, how far it has come, and its counts (SPEC section 3)."""

from __future__ import annotations

from typing import Literal

import msgspec

MOST_UID = 1 << 62
"""Device numbers lie below this; they are hashes, so a walk through them goes evenly."""

Mode = Literal["changes", "full", "resync"]
"""`changes`: the owed, then the journal since the last run. `full`: every stored device, because the journal
does not tell all that has changed. `resync`: every stored device, and everything that holds is told again.
"""

Place = tuple[int, int]
"""Where a run stands: (phase, key). OWED goes by uid; WALK by journal position, or by uid over all devices."""

OWED = 0
WALK = 1


class BatchCounts(msgspec.Struct, array_like=True, frozen=True):
    """What a run told. `users` counts entries (a device under one partner id): acknowledged and owed ones add
    up to it. `messages` are those sent, `messages_acknowledged` those of them that were.
    """

    users: int = 0
    acknowledged: int = 0
    owed: int = 0
    messages: int = 0
    messages_acknowledged: int = 0

    def __add__(self, other: BatchCounts) -> BatchCounts:
        return BatchCounts(
            self.users + other.users,
            self.acknowledged + other.acknowledged,
            self.owed + other.owed,
            self.messages + other.messages,
            self.messages_acknowledged + other.messages_acknowledged,
        )


class BatchRun(msgspec.Struct, array_like=True, frozen=True):
    """One destination's newest run on one shard. Times in epoch seconds.

    It covers the journal after `from_seq` up to `to_seq`, under the state of the mappings `mark`. Everything up
    to `place` is done; what lies between it and `reach` may be under way.
    """

    destination: int
    number: int
    at: int
    mode: Mode
    from_seq: int
    to_seq: int
    mark: int
    place: Place
    reach: Place
    counts: BatchCounts = BatchCounts()
    finished_at: int | None = None

    @property
    def needs_after(self) -> int:
        """The journal position behind which this run, or the next one, still reads."""
        return self.from_seq if self.finished_at is None and self.mode == "changes" else self.to_seq

    @property
    def share(self) -> float:
        """About how much of the run is done, 0 to 1."""
        if self.finished_at is not None:
            return 1.0
        phase, key = self.place
        if phase == OWED:
            return 0.0
        if self.mode == "changes":
            length = self.to_seq - self.from_seq
            return min(1.0, max(0, key - self.from_seq) / length) if length else 1.0
        return max(0, key) / MOST_UID

    def moved(self, progress: BatchProgress) -> BatchRun:
        """The run after a report about it; one about another run changes nothing."""
        if progress.number != self.number or self.finished_at is not None:
            return self
        return msgspec.structs.replace(
            self,
            place=max(self.place, progress.place),
            reach=self.reach if progress.reach is None else progress.reach,
            counts=self.counts + progress.counts,
            finished_at=progress.finished_at,
        )


class BatchProgress(msgspec.Struct, array_like=True, frozen=True):
    """What has changed about run `number`; `counts` come on top. `reach` None: as before."""

    number: int
    place: Place
    reach: Place | None = None
    counts: BatchCounts = BatchCounts()
    finished_at: int | None = None


class BatchRecord(msgspec.Struct, frozen=True):
    """One batch run of a destination over all shards. Times in epoch seconds.

    `slot` is when it was due, None where a person asked for it; `trigger` is `schedule`, `command` or `resync`.
    `counts` are filled in when it has finished. `abandoned`: its destination left the catalog before the end.
    """

    destination: int
    number: int
    at: int
    trigger: str
    slot: int | None = None
    finished_at: int | None = None
    counts: BatchCounts = BatchCounts()
    mode: str = ""
    abandoned: bool = False
