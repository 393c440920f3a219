"""Decides how a batch run begins. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.domain.batch import OWED, WALK, BatchRun

if TYPE_CHECKING:
    from arke.domain.batch import Mode


def begin(
    before: BatchRun | None,
    *,
    destination: int,
    number: int,
    at: int,
    everything: bool,
    last_seq: int,
    first_seq: int,
    mark: int,
) -> BatchRun:
    """Make the run that follows `before`, which has finished (None: there was none). `first_seq` is the oldest
    journal position that is still stored, `last_seq` the newest; `everything` asks for a resync.
    """
    from_seq = before.to_seq if before is not None else 0
    mode: Mode = "changes"
    if everything:
        mode = "resync"
    elif before is None or before.mark != mark or (from_seq < last_seq and first_seq > from_seq + 1):
        mode = "full"
    start = (OWED if mode == "changes" else WALK, -1)
    return BatchRun(destination, number, at, mode, from_seq, last_seq, mark, start, start)
