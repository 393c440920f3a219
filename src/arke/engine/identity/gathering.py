"""Look-ups of many callers, gathered into one question to a directory that is a network away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Collection

    from arke.domain.identity import DeviceDay, IdKey, PersonKey
    from arke.storage.ports.identities import Identities, Known

WINDOW_S: Final = 0.002
"""How long a question waits for others that go with it."""
MOST_ASKED: Final = 2_000
"""Ids and hashes in one question; with more it does not wait."""


class _Question(msgspec.Struct, eq=False):
    """What is asked together."""

    full: asyncio.Event
    ids: set[IdKey] = msgspec.field(default_factory=set)
    people: set[PersonKey] = msgspec.field(default_factory=set)
    takeovers: set[DeviceDay] = msgspec.field(default_factory=set)
    hashes: set[bytes] = msgspec.field(default_factory=set)


class Gathering:
    """Asks `identities`. A caller is answered what was true at some time after it asked, and more than it asked."""

    def __init__(self, identities: Identities) -> None:
        self._identities = identities
        self._open: tuple[_Question, asyncio.Task[Known]] | None = None

    async def look_up(
        self,
        ids: Collection[IdKey],
        people: Collection[PersonKey] = (),
        takeovers: Collection[DeviceDay] = (),
        hashes: Collection[bytes] = (),
    ) -> Known:
        """See `Identities.look_up`."""
        if self._open is None:
            question = _Question(asyncio.Event())
            self._open = question, asyncio.create_task(self._ask(question), name="look-up")
        question, answer = self._open
        question.ids.update(ids)
        question.people.update(people)
        question.takeovers.update(takeovers)
        question.hashes.update(hashes)
        if len(question.ids) + len(question.hashes) >= MOST_ASKED:
            question.full.set()
            self._open = None
        # One caller that goes away must not take the answer of the others along.
        return await asyncio.shield(answer)

    async def _ask(self, question: _Question) -> Known:
        try:
            async with asyncio.timeout(WINDOW_S):
                await question.full.wait()
        except TimeoutError:
            self._open = None  # a full one is not open any more, and another one may be
        return await self._identities.look_up(
            question.ids, question.people, question.takeovers, question.hashes
        )
