"""Batch runs as data: what a run covers, its progress, and its counts (SPEC section 3)."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

MOST_UID = 1 << 62
"""Device numbers lie below this; they are hashes, so a walk through them goes evenly."""

Mode = Literal["changes", "full", "catch_up", "resync", "restate"]
"""`changes`: the owed, then the journal since the last run. `full`: every stored device, because the journal
does not tell all that has changed. `catch_up`: every stored device, and only what it has not acknowledged is told.
`resync`: every stored device, and everything that holds is told again. `restate`: every stored device, and of every
mapped alias whether it holds, whatever was told before.
"""

Scope = Literal["changes", "catch_up", "resync", "restate"]
"""What a run is asked for. Whether `changes` come down to the mode `full` is each shard's finding."""

TRIGGERED: Final[dict[str, Scope]] = {
    "resync": "resync",
    "restate": "restate",
    "restore": "restate",
    "return": "catch_up",
}
"""The scope of runs by what set them off; of others it is the changes."""

Presence = Literal["on", "away", "back", "doubted", "doubted_away"]
"""A destination is on in the catalog in force; it was on and is not now; it is on again, and what changed meanwhile
is still to be told; it is on, or away, and what it was told is not known since the engine came out of a backup: all
is still to be restated.
"""

Position = tuple[int, int]
"""A run's position: (phase, key). The key is a uid in the phase OWED; in WALK it is a journal position, or a uid
where the run goes through all stored devices.
"""

OWED = 0
WALK = 1


class BatchCounts(msgspec.Struct, array_like=True, frozen=True):
    """Counts of a run. `users` counts entries, each a device under one partner id: those acknowledged and those
    owed add up to it. `messages` were sent, and `messages_acknowledged` of them acknowledged.
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
    """The newest run of a destination on one shard, as the shard stores it. Times in epoch seconds.

    It covers the journal after position `from_seq` up to `to_seq`, under the mappings that `mark` stands for.
    Everything up to `position` is done; what lies between `position` and `read_to` may be in flight.
    """

    destination: int
    number: int
    at: int
    mode: Mode
    from_seq: int
    to_seq: int
    mark: int
    position: Position
    read_to: Position
    counts: BatchCounts = BatchCounts()
    finished_at: int | None = None

    @staticmethod
    def after(
        before: BatchRun | None,
        *,
        destination: int,
        number: int,
        at: int,
        scope: Scope,
        last_seq: int,
        first_seq: int,
        mark: int,
    ) -> BatchRun:
        """Make the run that follows `before`, which has finished (None: there was none). `first_seq` is the oldest
        journal position that is still stored, `last_seq` the newest. The batch after a
        catch-up is full: that one did not say all that a batch says.
        """
        from_seq = before.to_seq if before is not None else 0
        mode: Mode = "changes"
        if scope != "changes":
            mode = scope
        elif (
            before is None
            or before.mode == "catch_up"
            or before.mark != mark
            or (from_seq < last_seq and first_seq > from_seq + 1)
        ):
            mode = "full"
        start = (OWED if mode == "changes" else WALK, -1)
        return BatchRun(destination, number, at, mode, from_seq, last_seq, mark, start, start)

    @property
    def needs_after(self) -> int:
        """The journal position after which this run, or the next one, still has to read."""
        return self.from_seq if self.finished_at is None and self.mode == "changes" else self.to_seq

    @property
    def progress(self) -> float:
        """The run's progress, 0 to 1, estimated from its position."""
        if self.finished_at is not None:
            return 1.0
        phase, key = self.position
        if phase == OWED:
            return 0.0
        if self.mode == "changes":
            length = self.to_seq - self.from_seq
            return min(1.0, max(0, key - self.from_seq) / length) if length else 1.0
        return max(0, key) / MOST_UID

    def advanced(self, progress: BatchProgress) -> BatchRun:
        """The run with this progress applied. Progress of another run, or after the end, changes nothing."""
        if progress.number != self.number or self.finished_at is not None:
            return self
        return msgspec.structs.replace(
            self,
            position=max(self.position, progress.position),
            read_to=self.read_to if progress.read_to is None else progress.read_to,
            counts=self.counts + progress.counts,
            finished_at=progress.finished_at,
        )


class BatchProgress(msgspec.Struct, array_like=True, frozen=True):
    """Progress of run `number`. `counts` are added to the run's; `read_to` None leaves the run's as it is."""

    number: int
    position: Position
    read_to: Position | None = None
    counts: BatchCounts = BatchCounts()
    finished_at: int | None = None


class BatchRecord(msgspec.Struct, frozen=True):
    """One batch run of a destination over all shards, as the directory stores it. Times in epoch seconds.

    `slot` is when the run was due, None where a person asked for it; `trigger` is `schedule`, `command`,
    `resync`, `restate`, `return` (the destination is on again) or `restore` (the engine came out of a backup).
    `counts` are filled in when the run has finished. `abandoned` says that the destination left the catalog
    before the run's end.
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
