"""One chunk of a file, applied: whose lines they are, which shards take them, what counts.

A line of a device id goes to the device that owns it. A line of a cross-device id goes to the home of its person,
whose answer counts, and to all of the person's devices; devices that come to the person later hear it from there.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from arke.domain.file_lines import DeviceLines, FilePart
from arke.domain.homes import is_home
from arke.onboarding.mirror import leaving
from arke.shard.commands import Failed, Onboarded
from arke.storage.ports.feeds import Holding

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from arke.clock import Clock
    from arke.domain.file_lines import Said
    from arke.domain.identity import IdKey
    from arke.onboarding.mirror import Mirror
    from arke.onboarding.names import FileName
    from arke.onboarding.parsing import IdRow, Statement
    from arke.onboarding.reading import Chunk
    from arke.onboarding.receipt import Tally
    from arke.onboarding.target import Target
    from arke.storage.ports.feeds import Feed
    from arke.storage.ports.files import FileRecord, FileStore

SLICE = 200
"""Lines between two turns of the event loop."""
PLAIN_SLICE = 500
"""The same where nothing is asked about them but whose they are."""


class Sorted(msgspec.Struct):
    """The lines of a chunk by the devices and homes that they are about. `at_home`: lines about people, which count
    there. `applied_to`: of these people, the devices that they had when the lines were sorted.
    """

    chunk: Chunk
    at: int
    devices: list[DeviceLines] = []
    at_home: set[int] = set()
    applied_to: dict[IdKey, tuple[str, ...]] = {}


class Applier:
    """Applies the chunks of one file, each in two steps: `sort`, and in the order of the chunks `store`; `commit`
    makes everything up to a position count.
    """

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
        self.position = record.position
        """Up to where everything counts, and the counters as of there."""
        self.counters = record.body

    async def commit(self, position: int, counters: bytes, gone: Sequence[Holding] = ()) -> None:
        """Everything up to a position counts from now on, and ids that have left their feeds."""
        record = self._record
        applied_to, self._applied_to = self._applied_to, {}
        await self._files.advance(record.number, position, counters, applied_to, gone)
        self.position, self.counters = position, counters
        if applied_to:
            self._target.told_people()

    # --- onboarding -------------------------------------------------------------------------------------

    async def sort(self, chunk: Chunk) -> Sorted:
        """Find whose the lines are; those of nobody who is known are counted on the chunk's tally."""
        found = Sorted(chunk, int(self._clock.now()))
        lines = chunk.statements
        if not lines and not chunk.unsure:
            return found
        by_device: dict[str, DeviceLines] = {}
        taken: list[Statement] = []
        sources = {one.key[0] for one in lines}
        of_people = {dpid for dpid in sources if self._target.of_people(dpid)}
        people = {one.key for one in lines if one.key[0] in of_people} if of_people else set()
        # First the homes: a device that comes to a person from now on asks there.
        homes = await self._target.homes(people) if people else {}
        plain = self._mirror is None and len(sources) == 1 and not of_people
        start = 0
        while start < len(lines):
            if plain and self._target.lists_nobody:
                some = lines[start : start + PLAIN_SLICE]
                await self._sort_plain(some, by_device, chunk.tally)
            else:
                some = lines[start : start + SLICE]
                taken += await self._sort(some, by_device, found, people, homes)
            start += len(some)
            await asyncio.sleep(0)
        if self._mirror is not None:
            await self._mirror.hold(self._record.number, taken, chunk.unsure)
        found.devices += by_device.values()
        return found

    async def _sort_plain(
        self, lines: Sequence[Statement], by_device: dict[str, DeviceLines], tally: Tally
    ) -> None:
        """Lines about ids of one data source, which is not of people, to the devices that own them."""
        devices = await self._target.devices_of(lines[0].key[0], [one.key[1] for one in lines])
        for line in lines:
            uuid = devices.get(line.key[1])
            if uuid is None:
                tally.refuse("no_matching_id", line.number)
                continue
            _add(by_device, uuid, line.number, line.said)

    async def _sort(
        self,
        lines: Sequence[Statement],
        by_device: dict[str, DeviceLines],
        found: Sorted,
        people: Collection[IdKey],
        homes: Mapping[IdKey, str],
    ) -> list[Statement]:
        """Lines to the devices that they are about, and what is said of people to their homes too. Returns
        those that are not refused.
        """
        tally = found.chunk.tally
        keys = {statement.key for statement in lines}
        devices = await self._target.devices(keys)
        opted_out = await self._opted_out(keys, devices, homes)
        taken = []
        for statement in lines:
            key, number = statement.key, statement.number
            owners, home = devices.get(key, ()), homes.get(key)
            if key in opted_out or (home is None and key in people):
                tally.refuse("opted_out", number)
            elif home is None and not owners:
                tally.refuse("no_matching_id", number)
            else:
                if self._mirror is not None and self._mirror.is_shared:
                    kept = await self._mirror.without_held(self._record.number, statement, owners)
                else:
                    kept = statement
                taken.append(kept)
                if home is not None:
                    found.applied_to.setdefault(key, owners)
                    found.at_home.add(number)
                for uuid in owners[:1] if home is None else (home, *owners):
                    _add(by_device, uuid, number, kept.said)
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

    async def store(self, found: Sorted) -> None:
        """Durable on the shards on return; counts the lines on the chunk's tally."""
        chunk = found.chunk
        if chunk.rows:
            await self._link(chunk.rows, chunk.tally)
        if found.devices:
            part = FilePart(
                self._record.number, self._record.begun, found.at, found.devices, self._overwrites
            )
            for devices, answer in await self._target.onboard(part):
                await asyncio.sleep(0)
                _count(devices, answer, found.at_home, chunk.tally)
        for key, owners in found.applied_to.items():
            self._applied_to.setdefault(key, owners)

    # --- mirror -----------------------------------------------------------------------------------------

    async def leave(self, feed: Feed, ids: Sequence[str]) -> list[Holding]:
        """Take ids, and their devices, out of what a feed says, where nothing else keeps them in; returns those
        with which that is done. Unlike lines of a file these may be told twice: they change nothing then.
        """
        mirror, file = self._mirror, self._record.number
        if mirror is None:
            raise RuntimeError("only a mirror lets anybody leave")
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
        said = leaving(feed.subject)
        devices_told = [DeviceLines(uuid, [1], [said]) for uuid in told]
        part = FilePart(0, self._record.begun, int(self._clock.now()), devices_told)
        failed: set[str] = set()
        for answered, result in await self._target.onboard(part):
            if isinstance(result, Failed):
                failed.update(id_ for one in answered for id_ in told[one.uuid])
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


def _count(
    devices: Sequence[DeviceLines], answer: Onboarded | Failed, at_home: Collection[int], tally: Tally
) -> None:
    """Count the lines that a shard has answered for, each once: at the home of its person, or at its device."""
    refused: Collection[int] = ()
    kept_until: Mapping[int, int] = {}
    if isinstance(answer, Onboarded):
        tally.people += answer.people
        tally.devices += answer.devices
        tally.removed += answer.replaced
        refused, kept_until = frozenset(answer.refused), answer.kept_until
        if not (refused or kept_until or at_home):
            _count_stored([said for one in devices for said in one.said], tally)
            return
    stored: list[Said] = []
    for place, one in enumerate(devices):
        last = kept_until.get(place, one.lines[-1])
        elsewhere = () if not at_home or is_home(one.uuid) else at_home
        for number, said in zip(one.lines, one.said, strict=True):
            if number in elsewhere:
                continue
            if isinstance(answer, Failed):
                tally.refuse("internal", number)
            elif place in refused:
                tally.refuse("opted_out", number)
            elif number > last:
                tally.refuse("over_limit", number)
            else:
                stored.append(said)
    _count_stored(stored, tally)


def _add(by_device: dict[str, DeviceLines], uuid: str, number: int, said: Said) -> None:
    """A line is about a device, or a person's home."""
    one = by_device.get(uuid)
    if one is None:
        by_device[uuid] = DeviceLines(uuid, [number], [said])
    else:
        one.lines.append(number)
        one.said.append(said)


def _count_stored(lines: Sequence[Said], tally: Tally) -> None:
    tally.stored += len(lines)
    tally.realised += sum([len(said.realise) for said in lines])
    tally.removed += sum([len(said.remove) for said in lines])
    tally.told += sum([len(said.memberships) for said in lines])
