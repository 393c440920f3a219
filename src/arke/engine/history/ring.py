"""The ring: minutes for two days, then quarters of an hour, for 30 days in all."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from arke.domain.time import DAY_S
from arke.engine.history.block import MINUTES, QUARTERS, Block, key_of
from arke.engine.history.columns import KINDS, Subject

if TYPE_CHECKING:
    from collections.abc import Mapping

    from arke.engine.history.columns import Row
    from arke.storage.ports.history import BlockKey, HistoryStore

MINUTES_KEPT_S: Final = 2 * DAY_S
KEPT_S: Final = 30 * DAY_S
TOGETHER: Final = 500
"""Blocks in one write."""
AT_ONCE: Final = 20
"""Blocks packed before others have their turn: about a millisecond."""


class Ring:
    """Over a store that nobody else writes: where several may, the last one counts."""

    def __init__(self, store: HistoryStore) -> None:
        self._store = store

    async def keep(self, at: int, rows: Mapping[Subject, Row]) -> None:
        """The rows of the minute in which a moment is. Raises StoreUnavailable."""
        subjects = list(rows)
        for first in range(0, len(subjects), TOGETHER):
            keys = {key_of(one, MINUTES, at): one for one in subjects[first : first + TOGETHER]}
            stored = await self._store.get(list(keys))
            blocks: dict[BlockKey, bytes] = {}
            for count, (key, subject) in enumerate(keys.items(), 1):
                block = Block(subject.kind, MINUTES, stored.get(key))
                block.put(at, rows[subject])
                blocks[key] = block.encode()
                if count % AT_ONCE == 0:
                    await asyncio.sleep(0)
            await self._store.write(blocks)

    async def age(self, now: int) -> None:
        """Make quarters of an hour of minutes that are old, and forget what is older than it all. Raises
        StoreUnavailable.
        """
        while old := await self._store.before(MINUTES.step_s, MINUTES.begin(now - MINUTES_KEPT_S), TOGETHER):
            await self._fold(old)
        while old := await self._store.before(QUARTERS.step_s, QUARTERS.begin(now - KEPT_S), TOGETHER):
            await self._store.write({}, list(old))

    async def _fold(self, old: Mapping[BlockKey, bytes]) -> None:
        days: dict[BlockKey, Block] = {}
        wanted = {_day_of(key) for key in old}
        stored = await self._store.get(list(wanted))
        for count, (key, body) in enumerate(sorted(old.items()), 1):
            kind, day = KINDS[key.kind], _day_of(key)
            if day not in days:
                days[day] = Block(kind, QUARTERS, stored.get(day))
            for at, row in Block(kind, MINUTES, body).coarser(key.begins, QUARTERS.step_s):
                days[day].put(at, row)
            if count % AT_ONCE == 0:
                await asyncio.sleep(0)
        await self._store.write({key: block.encode() for key, block in days.items()}, list(old))


def _day_of(key: BlockKey) -> BlockKey:
    return key_of(Subject(KINDS[key.kind], key.number), QUARTERS, key.begins)
