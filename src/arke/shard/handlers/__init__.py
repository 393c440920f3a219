"""What each command does to a group, and whether it must know a device's rows for it: by subject."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from arke.shard.commands import (
    Adopt,
    Backfill,
    BeginBatch,
    CountMembers,
    Erase,
    Forget,
    Join,
    Link,
    Onboard,
    Readmit,
    RecordDeliveries,
    Replay,
    Scrub,
    Sight,
    Sweep,
    Unlink,
    Withdraw,
)
from arke.shard.handlers import files, lanes, moves, people, privacy, sightings, walks

if TYPE_CHECKING:
    from collections.abc import Callable

    from arke.shard.commands import Command
    from arke.shard.ruling import Ruling

HANDLERS: dict[type[Command], Callable[..., Any]] = {
    Sight: sightings.sight,
    Onboard: files.onboard,
    Join: people.join,
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
    Backfill: walks.backfill,
    CountMembers: walks.count_members,
    BeginBatch: lanes.begin_batch,
    RecordDeliveries: lanes.report,
}
"""Each takes the group and the command, and returns the command's result."""


def _always(_: Ruling, __: int, ___: Command) -> bool:
    return True


ASK_ROWS: dict[type[Command], Callable[[Ruling, int, Any], bool]] = {
    Sight: sightings.asks_ledger,
    Unlink: _always,
    Adopt: _always,
    Forget: _always,
    Withdraw: _always,
    Erase: _always,
}
"""Commands that may have to know what was told and is owed of their device, and when they do, by the `routing_mark`
of its profile: asked before any command of the group has changed it.
"""

ONE_BY_ONE: Final = frozenset((Sight, RecordDeliveries))
"""Commands that ask for a device by `Group.device` alone, so that it need not be decoded before."""
