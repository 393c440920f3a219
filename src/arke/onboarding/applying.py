"""One chunk of a file, applied: whose lines they are, which shards take them, what counts.

A line of a device id goes to the device that owns it. A line of a cross-device id goes to all of its devices,
and is filed in the directory for devices that it is linked to later.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from arke.domain.profile import FileMark
from arke.shard.commands import MAX_FILE_LINES, Onboard, Onboarded
from arke.storage.ports.files import Filed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.clock import Clock
    from arke.domain.identity import IdKey
    from arke.onboarding.items import TraitBook
    from arke.onboarding.names import FileName
    from arke.onboarding.parsing import IdRow, Told
    from arke.onboarding.reading import Chunk
    from arke.onboarding.receipt import Tally
    from arke.onboarding.target import Target
    from arke.shard.commands import FileLine, Result
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
    ) -> None:
        self._target = target
        self._files = files
        self._clock = clock
        self._name = name
        self._record = record
        self._overwrites = name.target if name.kind == "overwrite" else None
        self._filed: dict[IdKey, Filed] = {}
        self._heard: dict[IdKey, tuple[str, ...]] = {}

    async def apply(self, chunk: Chunk, book: TraitBook | None) -> None:
        """Durable on the shards on return; counts the lines on the chunk's tally."""
        if chunk.rows:
            await self._link(chunk.rows, chunk.tally)
        if chunk.told:
            await self._tell(chunk.told, chunk.tally, book.traits if book is not None else frozenset())

    async def commit(self, position: int, counters: bytes) -> None:
        """Everything up to a position counts from now on."""
        record = self._record
        filed, self._filed = self._filed, {}
        heard, self._heard = self._heard, {}
        await self._files.advance(record.number, position, counters, filed, heard, record.begun)
        if filed:
            self._target.filed()

    # --- onboarding -------------------------------------------------------------------------------------

    async def _tell(self, lines: Sequence[Told], tally: Tally, target_traits: frozenset[int]) -> None:
        by_device: dict[str, list[Told]] = {}
        for start in range(0, len(lines), SLICE):
            await self._sort(lines[start : start + SLICE], by_device, tally, target_traits)
            await asyncio.sleep(0)
        now = int(self._clock.now())
        commands = [self._command(uuid, told, now) for uuid, told in by_device.items()]
        await asyncio.sleep(0)
        results = await self._target.onboard(commands)
        for place, (own, result) in enumerate(zip(by_device.values(), results, strict=True)):
            if not place % SLICE:
                await asyncio.sleep(0)
            _settle([told.line for told in own if not self._target.of_people(told.key[0])], result, tally)

    async def _sort(
        self,
        lines: Sequence[Told],
        by_device: dict[str, list[Told]],
        tally: Tally,
        target_traits: frozenset[int],
    ) -> None:
        """Lines to the devices that they are about, and what is said of people under their ids."""
        keys = {told.key for told in lines}
        devices = await self._target.devices(keys)
        people = {key for key in keys if self._target.of_people(key[0])}
        await self._read_filed(people)
        for told in lines:
            owners = devices.get(told.key, ())
            if self._target.opted_out(told.key, owners):
                tally.refuse("opted_out", told.line.number)
            elif told.key in people:
                if not self._file(told, target_traits):
                    tally.refuse("over_limit", told.line.number)
                    continue
                self._heard[told.key] = owners
                _count(told.line, tally)
                for uuid in owners:
                    by_device.setdefault(uuid, []).append(told)
            elif not owners:
                tally.refuse("no_matching_id", told.line.number)
            else:
                by_device.setdefault(owners[0], []).append(told)

    def _command(self, uuid: str, told: Sequence[Told], now: int) -> Onboard:
        lines = tuple(one.line for one in told)
        return Onboard(uuid, self._record.number, self._record.begun, now, lines, self._overwrites)

    async def _read_filed(self, keys: set[IdKey]) -> None:
        unread = keys - self._filed.keys()
        if unread:
            known = await self._files.filed(unread)
            self._filed.update((key, known.get(key) or Filed()) for key in unread)

    def _file(self, told: Told, target_traits: frozenset[int]) -> bool:
        """Keep a line under its id. False: the user has had all the lines that one file may have."""
        filed, line = self._filed[told.key], told.line
        mark = filed.mark
        if mark is None or mark.file != self._record.number:
            mark = FileMark(self._record.number, line.number)
            if self._overwrites is not None:
                filed.traits = {t: ts for t, ts in filed.traits.items() if t not in target_traits}
        if mark.lines >= MAX_FILE_LINES:
            return False
        ts = self._record.begun
        filed.traits.update(dict.fromkeys(line.realise, ts))
        for trait_id in line.remove:
            filed.traits.pop(trait_id, None)
        filed.memberships.update((segment, (status, ts)) for segment, status in line.memberships.items())
        filed.mark = FileMark(mark.file, mark.first, line.number, mark.lines + 1)
        return True

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
        settled: dict[int, bool | None] = {}
        for number, outcome in zip(numbers, outcomes, strict=True):
            settled[number] = settled.get(number) or outcome
        columns = sum(dpid != 0 for dpid in self._name.dpids)
        for number, linked in settled.items():
            if linked:
                tally.stored += 1
                tally.linked += columns
            else:
                tally.refuse("internal" if linked is None else "opted_out", number)


def _settle(lines: Sequence[FileLine], result: Result, tally: Tally) -> None:
    """Count the lines that a device's shard has answered for."""
    answer = result if isinstance(result, Onboarded) else None
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
