"""Runs groups of commands on one shard, one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from arke.shard.commands import (
    Adopt,
    Erase,
    Failed,
    Forget,
    Link,
    Onboard,
    Readmit,
    Result,
    Sight,
    Unlink,
    Withdraw,
)
from arke.shard.group import Group
from arke.shard.handlers import HANDLERS
from arke.storage.ports.shard import GroupWrites

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.shard.commands import Command
    from arke.shard.ruling import Ruling
    from arke.storage.ports.shard import ShardStore


class GroupResult(msgspec.Struct, frozen=True):
    """Answers in the order of the commands, the writes to commit, and the journal records for the lanes."""

    results: list[Result]
    writes: GroupWrites


class GroupRunner:
    """Runs groups on one shard. `ruling` is switched between groups."""

    def __init__(self, store: ShardStore, ruling: Ruling) -> None:
        self._store = store
        self.ruling = ruling
        self._next_seq = max(store.last_seq(), *store.cursors().values(), 0) + 1

    def run(self, commands: Sequence[Command]) -> GroupResult:
        """Run a group. A command that raises costs only itself."""
        broken: dict[int, Failed] = {}
        while True:
            group = Group(self.ruling, self._store, self._next_seq)
            group.load([_uuid_of(command) for command in commands])
            results: list[Result] = []
            for number, command in enumerate(commands):
                if number in broken:
                    results.append(broken[number])
                    continue
                try:
                    results.append(HANDLERS[type(command)](group, command))
                except Exception as error:  # noqa: BLE001 - whatever it is, the others go on without it
                    broken[number] = Failed("internal", f"{type(error).__name__} while applying the command")
                    break
            else:
                return GroupResult(results, group.finish())

    def committed(self, result: GroupResult) -> None:
        """Called once the group's writes are durable."""
        if result.writes.journal:
            self._next_seq = result.writes.journal[-1].seq + 1


def _uuid_of(command: Command) -> str | None:
    match command:
        case Sight():
            return command.event.uuid
        case Onboard() | Link() | Unlink() | Adopt() | Forget() | Withdraw() | Readmit() | Erase():
            return command.uuid
        case _:
            return None
