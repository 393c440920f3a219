"""What each command does to a group: one function a command, by subject."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from arke.shard.commands import (
    Adopt,
    BeginBatch,
    Erase,
    Forget,
    LaneReport,
    Link,
    Onboard,
    Readmit,
    Refresh,
    Replay,
    Scrub,
    Sight,
    Sweep,
    Unlink,
    Withdraw,
)
from arke.shard.handlers import files, lanes, moves, privacy, sightings, walks

if TYPE_CHECKING:
    from collections.abc import Callable

    from arke.shard.commands import Command

HANDLERS: dict[type[Command], Callable[..., Any]] = {
    Sight: sightings.sight,
    Onboard: files.onboard,
    Link: files.link_unseen,
    Unlink: moves.unlink,
    Adopt: moves.adopt,
    Forget: moves.forget,
    Withdraw: privacy.withdraw,
    Readmit: privacy.readmit,
    Scrub: privacy.scrub,
    Erase: privacy.erase,
    Replay: lanes.replay,
    Sweep: walks.sweep,
    Refresh: walks.refresh,
    BeginBatch: lanes.begin_batch,
    LaneReport: lanes.report,
}
"""Each takes the group and the command, and returns the command's result."""
