"""One chunk of a file, applied: whose lines they are, which shards take them, what counts.

A line of a device id goes to the device that owns it. A line of a cross-device id goes to all of its devices,
and is filed in the directory for devices that it is linked to later.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from arke.domain.profile import FileMark
from arke.onboarding.mirror import leaving
from arke.shard.commands import MAX_FILE_LINES, Failed, Onboard, Onboarded
from arke.storage.ports.feeds import Holding
from arke.storage.ports.files import Filed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.clock import Clock
    from arke.domain.identity import IdKey
    from arke.onboarding.items import TraitBook
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
        self._filed: dict[IdKey, Filed] = {}
        self._applied_to: dict[IdKey, tuple[str, ...]] = {}

    async def apply(self, chunk: Chunk, book: TraitBook | None) -> None:
        """Durable on the shards on return; counts the lines on the chunk's tally."""
        if chunk.rows:
            await self._link(chunk.rows, chunk.tally)
        if chunk.statements or chunk.unsure:
            await self._apply_statements(chunk, book.traits if book is not None else frozenset())

    async def commit(self, position: int, counters: bytes, gone: Sequence[Holding] = ()) -> None:
        """Everything up to a position counts from now on, and ids that have left their feeds."""
        record = self._record
        filed, self._filed = self._filed, {}
        applied_to, self._applied_to = self._applied_to, {}
        await self._files.advance(record.number, position, counters, filed, applied_to, record.begun, gone)
        if filed:
            self._target.filed()

    # --- onboarding -------------------------------------------------------------------------------------

    async def _apply_statements(self, chunk: Chunk, target_traits: frozenset[int]) -> None:
        lines, tally = chunk.statements, chunk.tally
        by_device: dict[str, list[Statement]] = {}
        taken: list[Statement] = []
        for start in range(0, len(lines), SLICE):
            taken += await self._sort(lines[start : start + SLICE], by_device, tally, target_traits)
            await asyncio.sleep(0)
        if self._mirror is not None:
            await self._mirror.hold(self._record.number, taken, chunk.unsure)
        now = int(self._clock.now())
        commands = [self._command(uuid, statements, now) for uuid, statements in by_device.items()]
        await asyncio.sleep(0)
        results = await self._target.onboard(commands)
        for place, (own, result) in enumerate(zip(by_device.values(), results, strict=True)):
            if not place % SLICE:
                await asyncio.sleep(0)
            _count_outcomes(
                [statement.line for statement in own if not self._target.of_people(statement.key[0])],
                result,
                tally,
            )

    async def _sort(
        self,
        lines: Sequence[Statement],
        by_device: dict[str, list[Statement]],
        tally: Tally,
        target_traits: frozenset[int],
    ) -> list[Statement]:
        """Lines to the devices that they are about, and what is said of people under their ids. Returns those that
        are not refused.
        """
        keys = {statement.key for statement in lines}
        devices = await self._target.devices(keys)
        people = {key for key in keys if self._target.of_people(key[0])}
        await self._read_filed(people)
        taken = []
        for said in lines:
            owners = devices.get(said.key, ())
            statement = said
            if self._mirror is not None and self._mirror.is_shared:
                statement = await self._mirror.without_held(self._record.number, said, owners)
            if self._target.opted_out(statement.key, owners):
                tally.refuse("opted_out", statement.line.number)
            elif statement.key in people:
                if not self._file(statement, target_traits):
                    tally.refuse("over_limit", statement.line.number)
                    continue
                taken.append(statement)
                self._applied_to[statement.key] = owners
                _count(statement.line, tally)
                for uuid in owners:
                    by_device.setdefault(uuid, []).append(statement)
            elif not owners:
                tally.refuse("no_matching_id", statement.line.number)
            else:
                taken.append(statement)
                by_device.setdefault(owners[0], []).append(statement)
        return taken

    def _command(self, uuid: str, statements: Sequence[Statement], now: int) -> Onboard:
        lines = tuple(one.line for one in statements)
        return Onboard(uuid, self._record.number, self._record.begun, now, lines, self._overwrites)

    async def _read_filed(self, keys: set[IdKey]) -> None:
        unread = keys - self._filed.keys()
        if unread:
            known = await self._files.filed(unread)
            self._filed.update((key, known.get(key) or Filed()) for key in unread)

    def _file(self, statement: Statement, target_traits: frozenset[int]) -> bool:
        """Keep a line under its id. False: the user has had all the lines that one file may have."""
        filed, line = self._filed[statement.key], statement.line
        mark = filed.mark
        if mark is None or mark.file != self._record.number:
            mark = FileMark(self._record.number, line.number)
            if self._overwrites is not None:
                filed.traits = {t: ts for t, ts in filed.traits.items() if t not in target_traits}
        if mark.lines >= MAX_FILE_LINES:
            return False
        self._note(filed, line)
        filed.mark = FileMark(mark.file, mark.first, line.number, mark.lines + 1)
        return True

    def _note(self, filed: Filed, line: FileLine) -> None:
        ts = self._record.begun
        filed.traits.update(dict.fromkeys(line.realise, ts))
        for trait_id in line.remove:
            filed.traits.pop(trait_id, None)
        filed.memberships.update((segment, (status, ts)) for segment, status in line.memberships.items())

    # --- mirror -----------------------------------------------------------------------------------------

    async def leave(self, feed: Feed, ids: Sequence[str]) -> list[Holding]:
        """Take ids, and their devices, out of what a feed says, where nothing else keeps them in; returns those with
        which that is done. Unlike lines of a file these may be told twice: they change nothing then.
        """
        mirror, file = self._mirror, self._record.number
        if mirror is None:
            raise RuntimeError("only a mirror lets anybody leave")
        line = leaving(feed.subject)
        keys = [(feed.dpid, id_) for id_ in ids]
        devices = await self._target.devices(keys)
        of_people = self._target.of_people(feed.dpid)
        if of_people:
            await self._read_filed(set(keys))
        told: list[tuple[str, str]] = []
        for place, key in enumerate(keys):
            if not place % SLICE:
                await asyncio.sleep(0)
            owners = devices.get(key, ())
            if self._target.opted_out(key, owners) or await mirror.keeps(feed, file, key):
                continue
            if of_people:
                self._note(self._filed[key], line)
                self._applied_to[key] = owners
            for uuid in owners if of_people else owners[:1]:
                if not await mirror.keeps(feed, file, key, uuid):
                    told.append((key[1], uuid))
        ts, now = self._record.begun, int(self._clock.now())
        results = await self._target.onboard([Onboard(uuid, 0, ts, now, (line,)) for _, uuid in told])
        failed = {id_ for (id_, _), result in zip(told, results, strict=True) if isinstance(result, Failed)}
        return [Holding(feed.number, id_) for id_ in ids if id_ not in failed]

    # --- id sync ----------------------------------------------------------------------------------------

    async def _link(self, rows: Sequence[IdRow], tally: Tally) -> None:
        """Rows that begin with a person's id go to the devices that the person is known by."""
        of_people = self._target.of_people(self._name.dpids[0])
        devices = await self._target.devices({row.keys[0] for row in rows}) if of_people else {}
        links: list[tuple[str | None, tuple[IdKey, ...]]] = []
        numbers: list[int] = []
        for row in rows:
            uuid = next((value for dpid, value in row.keys if dpid == 0), None)
            keys = tuple(key for key in row.keys if key[0] != 0)
            known = devices.get(row.keys[0], ()) if of_people else (uuid,)
            if any(self._target.opted_out(key) for key in keys):
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
        columns = sum(dpid != 0 for dpid in self._name.dpids)
        for number, linked in linked_rows.items():
            if linked:
                tally.stored += 1
                tally.linked += columns
            else:
                tally.refuse("internal" if linked is None else "opted_out", number)


def _count_outcomes(lines: Sequence[FileLine], result: Onboarded | Failed, tally: Tally) -> None:
    """Count the lines that a device's shard has answered for."""
    answer = None if isinstance(result, Failed) else result
    if answer is not None and not answer.refused:
        tally.devices += answer.first
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
