"""Runs groups of commands on one shard, one after the other: load what they need, apply them, say what to write."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from arke.defects import MAX_DEFECTS
from arke.domain.homes import is_home
from arke.domain.ledger import encode_entry
from arke.domain.stored_profile import encode_profile
from arke.errors import Unavailable
from arke.shard.alike import Alike
from arke.shard.commands import Failed, Onboard, Result
from arke.shard.group import Group
from arke.shard.handlers import ASK_ROWS, HANDLERS, ONE_BY_ONE
from arke.shard.newcomers import Newcomers
from arke.shard.sizes import ALL, NONE
from arke.storage.ports.shard import GroupWrites, Needs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from arke.shard.commands import Command
    from arke.shard.ruling import Ruling
    from arke.storage.ports.shard import Loaded, ShardStore

_encode = msgspec.msgpack.Encoder().encode


class GroupResult(msgspec.Struct, frozen=True):
    """Answers in the order of the commands, and the writes to commit; `closed`, `repeated`, `unheard` and `late` as
    in `Group`, as is `passed_over`. `broke`: which commands met a defect, by their places, and what it was.
    """

    results: list[Result]
    writes: GroupWrites
    closed: list[int]
    repeated: int = 0
    unheard: int = 0
    late: int = 0
    broke: dict[int, Exception] = {}
    passed_over: list[Exception] = []


class GroupRunner:
    """Runs groups on one shard: `start`, then `run`, and `committed` once the writes are. `ruling` is switched
    between groups.
    """

    def __init__(self, store: ShardStore, ruling: Ruling) -> None:
        self._store = store
        self._ruling = ruling
        self._next_seq = 0
        self._marks: dict[int, int] = {}
        self._realised: set[int] = set()
        self._counted_to: int | None = None
        self._profiles = True
        self._newcomers = Newcomers()
        self._alike = Alike()

    @property
    def ruling(self) -> Ruling:
        return self._ruling

    @ruling.setter
    def ruling(self, ruling: Ruling) -> None:
        ruling.compiled.follow(self._ruling.compiled)
        self._ruling = ruling
        self._recall()

    def _recall(self) -> None:
        """Which traits were realised under the rules in force."""
        marks = self._ruling.compiled.rule_marks
        self._realised = {trait for trait, mark in self._marks.items() if marks.get(trait) == mark}

    @property
    def unrealised(self) -> list[int]:
        """The traits that nobody has realised since their rule is as it is."""
        return sorted(self._ruling.compiled.traits.keys() - self._realised)

    async def start(self) -> None:
        """Find where the journal goes on, what was realised, and who is counted. Before the first group."""
        cursors = await self._store.cursors()
        self._next_seq = max(await self._store.last_seq(), *cursors.values(), 0) + 1
        self._marks = await self._store.realised_traits()
        self._counted_to = await self._store.members_counted_to()
        self._profiles = await self._store.count_profiles() > 0
        self._recall()

    @property
    def counted_to(self) -> int:
        """Up to which uid the members of segments are counted. Where nobody is stored, nobody need be counted."""
        if self._counted_to is not None:
            return self._counted_to
        return NONE if self._profiles else ALL

    async def run(
        self,
        commands: Sequence[Command],
        broke: Mapping[int, Exception] | None = None,
        *,
        most: int = MAX_DEFECTS,
    ) -> GroupResult:
        """Run a group. A command that raises costs only itself; nothing is done about those that `broke` before.
        Each makes the group begin anew: where more than `most` do, it raises what the last of them did.
        """
        broken = dict(broke) if broke else {}
        most += len(broken)
        while True:
            sound = [one for n, one in enumerate(commands) if n not in broken] if broken else commands
            group = await self._load(sound)
            last = {command.key: number for number, command in enumerate(commands)}
            results: list[Result] = []
            for number, command in enumerate(commands):
                if number in broken:
                    results.append(_failed(broken[number]))
                    continue
                try:
                    results.append(HANDLERS[type(command)](group, command))
                    if (key := command.key) is not None and last[key] == number:
                        group.put_away(key)
                except (Unavailable, MemoryError):  # not for what it says
                    raise
                except Exception as error:
                    broken[number] = error
                    if len(broken) > most:
                        raise
                    break  # the others go on without it, whatever it is
            else:
                writes = group.finish()
                counted_to = group.sizes.counted_to
                if counted_to != self.counted_to or not (writes.empty or counted_to == self._counted_to):
                    writes.counted_to = counted_to
                return GroupResult(
                    results,
                    writes,
                    group.closed,
                    group.repeated,
                    group.unheard,
                    group.late,
                    broken,
                    group.passed_over,
                )

    async def breaking(
        self,
        commands: Sequence[Command],
        allowed: Callable[[Sequence[Command], Mapping[int, Exception]], object],
    ) -> dict[int, Exception]:
        """Of a group that cannot be run, or stored, for a defect: the commands of which that is so of each alone,
        by their places. Nothing is stored. Raises StoreUnavailable, and whatever `allowed` does, which is asked
        about as many of the first ones as are looked through.
        """
        broke: dict[int, Exception] = {}
        parts = [range(len(commands))]
        while parts:
            part = parts.pop()
            try:
                result = await self.run([commands[number] for number in part], most=0)
                check_storable(result.writes)
            except (Unavailable, MemoryError):
                raise
            except Exception as error:  # noqa: BLE001 - what is looked for
                if len(part) == 1:
                    broke[part[0]] = error
                    allowed(commands[: part.stop], broke)
                else:
                    half = len(part) // 2
                    parts += [part[half:], part[:half]]
        return broke

    async def _load(self, commands: Sequence[Command]) -> Group:
        """One read for all of them; a second one if some must know what was told of their devices."""
        needs = Needs()
        for command in commands:
            command.need(needs)
        kinds = {*map(type, commands)}
        homeless = not any(map(is_home, needs.devices))
        needs.as_stored = homeless and ONE_BY_ONE.issuperset(kinds)
        needs.new_by_uid = homeless and kinds == {Onboard}
        loaded = await self._store.load(needs)
        asked = self._asked_rows(commands, loaded)
        rows = await self._store.rows(asked) if asked else {}
        return Group(
            self.ruling,
            loaded,
            rows,
            self._next_seq,
            self._store.hash_of,
            self._realised,
            self.counted_to,
            self._newcomers,
            self._alike,
            each_once=len(needs.devices) == len(loaded.devices) + len(loaded.stored) + len(loaded.new),
        )

    def _asked_rows(self, commands: Sequence[Command], loaded: Loaded) -> list[int]:
        """The stored devices whose rows a command must know."""
        asked: dict[int, None] = {}
        devices, stored, fresh, ruling = loaded.devices, loaded.stored, loaded.fresh, self.ruling
        for command in commands:
            asks = ASK_ROWS.get(type(command))
            if asks is not None and (key := command.key) is not None:
                if (known := stored.get(key)) is not None:
                    uid, _, mark = known
                else:
                    uid, profile = devices[key]
                    mark = profile.routing_mark
                if uid not in fresh and asks(ruling, mark, command):
                    asked[uid] = None
        return list(asked)

    def committed(self, result: GroupResult) -> None:
        """Called once the group's writes are durable."""
        if result.writes.journal:
            self._next_seq = result.writes.journal[-1].seq + 1
        if result.writes.counted_to is not None:
            self._counted_to = result.writes.counted_to
        self._marks |= result.writes.realised
        self._realised |= result.writes.realised.keys()


def _failed(error: Exception) -> Failed:
    return Failed("internal", f"{type(error).__name__} while applying the command")


def check_storable(writes: GroupWrites) -> None:
    """Raises what a store would, of something that cannot be encoded."""
    for profile in writes.profiles.values():
        encode_profile(profile)
    for record in writes.journal:
        _encode(record)
    for row in writes.ledger:
        encode_entry(row.entry)
    for run in writes.batches.values():
        _encode(run)
