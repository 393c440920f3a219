"""What a shard has counted since it started: nothing that is stored."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

import msgspec

from arke.domain.homes import is_home
from arke.domain.memberships import count_of
from arke.histogram import Histogram
from arke.shard.commands import Sight
from arke.shard.protocol import NOTHING_COUNTED, LaneStatus
from arke.shard.unasked import UnaskedKeys

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Sequence

    from arke.delivery.observer import FiguresObserver
    from arke.shard.commands import Command
    from arke.shard.protocol import ShardStatus
    from arke.shard.runner import GroupResult


class Counts:
    """Of groups here; `observer` has what lanes counted."""

    def __init__(self, observer: FiguresObserver) -> None:
        self.observer = observer
        self.events = self.changes = self.groups = 0
        self.unasked = UnaskedKeys()
        self._repeated = self._late = 0
        self._commits = Histogram()
        self.name = secrets.randbits(48)
        self.since = 0.0

    def start(self) -> None:
        self.since = asyncio.get_running_loop().time()

    def committed(self, took_s: float) -> None:
        """The store took so long to commit a group."""
        self._commits.add(took_s)

    def group(self, commands: Sequence[Command], result: GroupResult, asked: Collection[str]) -> None:
        """A group is done. `asked` are the keys that some rule asks for."""
        self.groups += 1
        self.events += sum(
            # What the home of a person hears beside a device is the same event.
            isinstance(one, Sight) and not (one.arriving and is_home(one.event.uuid))
            for one in commands
        )
        self._repeated += result.repeated
        self._late += result.late
        journal = result.writes.journal
        self.changes += sum(len(entry.changes) + count_of(entry.turned) for entry in journal) - result.unheard
        self.unasked.look(commands, asked)

    def status(self, latencies: int = 0, but: Container[int] = ()) -> ShardStatus:
        """As a status with nothing that is stored. Every destination but these is taken for one that is off by now.
        `latencies` as in `AskStatus`.
        """
        lanes = [
            LaneStatus(number, 0, 0, "closed", self.observer.figures(number, latencies=latencies))
            for number in self.observer.destinations
            if number not in but
        ]
        return msgspec.structs.replace(
            NOTHING_COUNTED,
            events=self.events,
            repeated=self._repeated,
            late=self._late,
            changes=self.changes,
            groups=self.groups,
            commits=self._commits.copy(),
            lanes=lanes,
        )
