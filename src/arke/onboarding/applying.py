"""One chunk of a file, applied: whose lines they are, which shards take them, what counts.

A line of a device id goes to the device that owns it. A line of a cross-device id goes to the home of its person,
whose answer counts, and to all of the person's devices; devices that come to the person later hear it from there.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from arke.domain.homes import is_home
from arke.onboarding.mirror import leaving
from arke.shard.commands import Failed, Onboard, Onboarded
from arke.storage.ports.feeds import Holding

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from arke.clock import Clock
    from arke.domain.identity import IdKey
    from arke.onboarding.mirror import Mirror
    from arke.onboarding.names import FileName
    from arke.onboarding.parsing import IdRow, Statement
    from arke.onboarding.reading import Chunk
    from arke.onboarding.receipt import Tally
    from arke.onboarding.target import Target
    from arke.shard.commands import FileLine
    from arke.storage.ports.feeds import Feed
    from arke.storage.ports.files import FileRecord, FileStore

SLICE = 50
"""Lines between two turns of the event loop."""


class Applier:
    """Applies the chunks of one file; `commit` makes everything up to a position count."""

    def __init__(
        self,
        target: Target,
        files: FileStore,
        clock: Clock,
        name: FileName,
        record: FileRecord,
        mirror: Mirror | None = None,
    ) -> None:
        self._target = target
        self._files = files
        self._clock = clock
        self._name = name
        self._record = record
        self._mirror = mirror
        self._overwrites = name.target if name.kind == "overwrite" else None
        self._applied_to: dict[IdKey, tuple[str, ...]] = {}

    async def apply(self, chunk: Chunk) -> None:
        """Durable on the shards on return; counts the lines on the chunk's tally."""
        if chunk.rows:
            await self._link(chunk.rows, chunk.tally)
        if chunk.statements or chunk.unsure:
            await self._apply_statements(chunk)

    async def commit(self, position: int, counters: bytes, gone: Sequence[Holding] = ()) -> None:
        """Everything up to a position counts from now on, and ids that have left their feeds."""
        record = self._record
        applied_to, self._applied_to = self._applied_to, {}
        await self._files.advance(record.number, position, counters, applied_to, gone)
        if applied_to:
            self._target.told_people()

    # --- onboarding -------------------------------------------------------------------------------------

    async def _apply_statements(self, chunk: Chunk) -> None:
        lines, tally = chunk.statements, chunk.tally
        by_device: dict[str, list[Statement]] = {}
        taken: list[Statement] = []
        people = {one.key for one in lines if self._target.of_people(one.key[0])}
        # First the homes: a device that comes to a person from now on asks there.
        homes = await self._target.homes(people) if people else {}
        for start in range(0, len(lines), SLICE):
            taken += await self._sort(lines[start : start + SLICE], by_device, tally, homes)
            await asyncio.sleep(0)
        if self._mirror is not None:
            await self._mirror.hold(self._record.number, taken, chunk.unsure)
        now = int(self._clock.now())
        commands = [self._command(uuid, statements, now) for uuid, statements in by_device.items()]
        await asyncio.sleep(0)
        results = await self._target.onboard(commands)
        for place, ((uuid, said), result) in enumerate(zip(by_device.items(), results, strict=True)):
            if not place % SLICE:
                await asyncio.sleep(0)
            person = is_home(uuid)
            own = [one.line for one in said if person or not self._target.of_people(one.key[0])]
            _count_outcomes(own, result, tally, person=person)

    async def _sort(
        self,
        lines: Sequence[Statement],
        by_device: dict[str, list[Statement]],
        tally: Tally,
        homes: Mapping[IdKey, str],
    ) -> list[Statement]:
        """Lines to the devices that they are about, and what is said of people to their homes too. Returns
        those that are not refused.
        """
        devices = await self._target.devices({statement.key for statement in lines})
        opted_out = await self._opted_out({statement.key for statement in lines}, devices, homes)
        taken = []
        for said in lines:
            key = said.key
            owners, home = devices.get(key, ()), homes.get(key)
            without_home = home is None and self._target.of_people(key[0])
            if without_home or key in opted_out:
                tally.refuse("opted_out", said.line.number)
            elif home is None and not owners:
                tally.refuse("no_matching_id", said.line.number)
            else:
                statement = said
                if self._mirror is not None and self._mirror.is_shared:
                    statement = await self._mirror.without_held(self._record.number, said, owners)
                taken.append(statement)
                if home is not None:
                    self._applied_to.setdefault(key, owners)
                for uuid in owners[:1] if home is None else (home, *owners):
                    by_device.setdefault(uuid, []).append(statement)
        return taken

    async def _opted_out(
        self,
        keys: Collection[IdKey],
        devices: Mapping[IdKey, tuple[str, ...]],
        homes: Mapping[IdKey, str],
    ) -> set[IdKey]:
        """What is said of a person counts at home, whichever devices have opted out."""
        return await self._target.opted_out(
            {key: devices.get(key, ()) if key not in homes else () for key in keys}
        )

    def _command(self, uuid: str, statements: Sequence[Statement], now: int) -> Onboard:
        lines = tuple(one.line for one in statements)
        return Onboard(uuid, self._record.number, self._record.begun, now, lines, self._overwrites)

    # --- mirror -----------------------------------------------------------------------------------------

    async def leave(self, feed: Feed, ids: Sequence[str]) -> list[Holding]:
        """Take ids, and their devices, out of what a feed says, where nothing else keeps them in; returns those
        with which that is done. Unlike lines of a file these may be told twice: they change nothing then.
        """
        mirror, file = self._mirror, self._record.number
        if mirror is None:
            raise RuntimeError("only a mirror lets anybody leave")
        line = leaving(feed.subject)
        keys = [(feed.dpid, id_) for id_ in ids]
        devices = await self._target.devices(keys)
        homes = await self._target.homes(keys) if self._target.of_people(feed.dpid) else {}
        opted_out = await self._opted_out(keys, devices, homes)
        told: dict[str, list[str]] = {}
        for place, key in enumerate(keys):
            if not place % SLICE:
                await asyncio.sleep(0)
            owners, home = devices.get(key, ()), homes.get(key)
            if key in opted_out or await mirror.keeps(feed, file, key):
                continue
            if home is not None:
                self._applied_to[key] = owners
                told.setdefault(home, []).append(key[1])
            for uuid in owners[:1] if home is None else owners:
                if not await mirror.keeps(feed, file, key, uuid):
                    told.setdefault(uuid, []).append(key[1])
        ts, now = self._record.begun, int(self._clock.now())
        results = await self._target.onboard([Onboard(uuid, 0, ts, now, (line,)) for uuid in told])
        failed: set[str] = set()
        for told_of, result in zip(told.values(), results, strict=True):
            if isinstance(result, Failed):
                failed.update(told_of)
        return [Holding(feed.number, id_) for id_ in ids if id_ not in failed]

    # --- id sync ----------------------------------------------------------------------------------------

    async def _link(self, rows: Sequence[IdRow], tally: Tally) -> None:
        """Rows that begin with a person's id go to the devices that the person is known by."""
        of_people = self._target.of_people(self._name.dpids[0])
        devices = await self._target.devices({row.keys[0] for row in rows}) if of_people else {}
        links: list[tuple[str | None, tuple[IdKey, ...]]] = []
        numbers: list[int] = []
        opted_out = await self._target.opted_out({key: () for row in rows for key in row.keys if key[0] != 0})
        for row in rows:
            uuid = next((value for dpid, value in row.keys if dpid == 0), None)
            keys = tuple(key for key in row.keys if key[0] != 0)
            known = devices.get(row.keys[0], ()) if of_people else (uuid,)
            if not opted_out.isdisjoint(keys):
                tally.refuse("opted_out", row.number)
            elif not known:
                tally.refuse("no_matching_id", row.number)
            else:
                links.extend((device, keys) for device in known)
                numbers.extend(row.number for _ in known)
        outcomes = await self._target.link(links, int(self._clock.now()))
        linked_rows: dict[int, bool | None] = {}
        for number, outcome in zip(numbers, outcomes, strict=True):
            linked_rows[number] = linked_rows.get(number) or outcome
        ids = {row.number: sum(dpid != 0 for dpid, _ in row.keys) for row in rows}
        for number, linked in linked_rows.items():
            if linked:
                tally.stored += 1
                tally.linked += ids[number]
            else:
                tally.refuse("internal" if linked is None else "opted_out", number)


def _count_outcomes(
    lines: Sequence[FileLine], result: Onboarded | Failed, tally: Tally, *, person: bool
) -> None:
    """Count the lines that a device's shard has answered for, or the shard of a person's home."""
    answer = None if isinstance(result, Failed) else result
    if answer is not None and not answer.refused:
        tally.people += answer.first and person
        tally.devices += answer.first and not person
        tally.removed += answer.replaced
    for line in lines:
        if answer is None:
            tally.refuse("internal", line.number)
        elif answer.refused:
            tally.refuse("opted_out", line.number)
        elif line.number > answer.kept_until:
            tally.refuse("over_limit", line.number)
        else:
            _count(line, tally)


def _count(line: FileLine, tally: Tally) -> None:
    tally.stored += 1
    tally.realised += len(line.realise)
    tally.removed += len(line.remove)
    tally.told += len(line.memberships)
