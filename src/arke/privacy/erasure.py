"""The end of privacy requests, once every destination has acknowledged: rows deleted, journal records emptied,
files written anew, ids forgotten. Where files can be written without holding anybody up, a task does just that.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from arke.background import POSTPONED, Background, Pause, attempt, until, wait_until
from arke.domain.homes import home_of, is_home
from arke.log import get_logger
from arke.privacy.request import encode_request, load_requests
from arke.shard.commands import Adopt, Erase, Scrub
from arke.shard.protocol import Compact

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence

    from arke.clock import Clock
    from arke.domain.identity import IdKey
    from arke.engine.homes import Homes
    from arke.engine.identity import Identity
    from arke.engine.shards import Shards
    from arke.privacy.request import PrivacyRequest
    from arke.storage.ports.directory import Directory

ERASED_TOGETHER = 2_000
"""Requests for which the journal is read through once."""
SCRUB_PAGE = 512
"""Journal records looked at in one command."""

PAUSE_FACTOR = 20
LONGEST_PAUSE_S = 86_400.0
"""Events wait while files are written anew. After t seconds of that comes a pause of 20 t, or 20 t³ where that is
more: at most 5 % of the time, and the longer it takes the rarer, down to once a day. What is done aside has pauses
of 20 t.
"""
LOOK_S = 10.0
"""Between two looks at whether something remains that is erased aside."""

PAUSE = Pause(1.0)
"""After a store that could not be written, or a shard that was away."""
POLL = Pause(0.02)
"""Between two looks at what goes on in many small steps, so that there is no one event to wait for."""
AT_A_TIME = 256
"""Requests whose devices are erased at a time."""

log = get_logger("privacy")


async def guarded(work: Coroutine[None, None, None]) -> bool:
    """Whether it went well; after a pause where it did not. Requests must go on, whatever one of them meets."""
    return await attempt(work, PAUSE, log=log, postponed="privacy_postponed", failed="privacy_failed")


class Erasure:
    """Erases whoever requests are about, and ends them; `number in erasure` until then. Every step may be
    repeated.
    """

    def __init__(
        self,
        directory: Directory,
        identity: Identity,
        homes: Homes,
        shards: Shards,
        clock: Clock,
        *,
        hand_on: Callable[[Sequence[PrivacyRequest]], Awaitable[None]],
    ) -> None:
        """`hand_on` is awaited while what requests are proved by is still there; it may be repeated, too."""
        self._hand_on = hand_on
        self._directory = directory
        self._identity = identity
        self._homes = homes
        self._shards = shards
        self._clock = clock
        self._ready: set[int] = set()
        self._erased: set[int] = set()
        self._news = asyncio.Event()

    def start(self, background: Background) -> None:
        self._news.set()
        background.spawn(self._erase_for_ever(), "privacy-erasing")
        if self._directory.erases_aside:
            background.spawn(self._erase_remains_for_ever(), "privacy-remains")

    def stop(self) -> None:
        """Once its tasks have ended: what is unfinished is in the directory."""
        self._ready.clear()
        self._erased.clear()

    def take(self, number: int) -> None:
        """A request of which every destination has acknowledged all."""
        self._ready.add(number)
        self._news.set()

    def __contains__(self, number: int) -> bool:
        return number in self._ready

    @property
    def idle(self) -> bool:
        return not self._ready

    async def _erase_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        pause_until, well = loop.time(), True
        while True:
            await wait_until(self._news, pause_until if self._erased or not well else None)
            self._news.clear()
            fresh = sorted(self._ready - self._erased)[:ERASED_TOGETHER]
            if fresh:
                await guarded(self._erase(fresh))
            if loop.time() >= pause_until and (self._erased or await self._files_are_due()):
                started = loop.time()
                well = await guarded(self._rewrite(sorted(self._erased)))
                pause_until = loop.time() + self._pause_s(loop.time() - started)
            if self._ready - self._erased:
                self._news.set()

    async def _files_are_due(self) -> bool:
        """Also where that cannot be read just now: the rewriting meets the same, and is tried again."""
        try:
            return not self._directory.erases_aside and await self._directory.remains()
        except POSTPONED:
            return True

    def _pause_s(self, took_s: float) -> float:
        """After a rewriting. No event has waited for one that writes no file anew."""
        if self._directory.erases_aside:
            return PAUSE.first_s
        return min(LONGEST_PAUSE_S, PAUSE_FACTOR * max(took_s, took_s**3))

    async def _erase(self, numbers: Sequence[int]) -> None:
        """Delete all rows that hold anything about them, but for the request itself and what leads back to it."""
        requests = await self._erasing(numbers)
        await self._hand_on(requests)
        deleted = [
            one.uuid
            for request in requests
            for one in request.whole
            if request.action == "delete" or is_home(one.uuid)
        ]
        await asyncio.gather(*(self._scrub(uuids) for uuids in self._by_shard(deleted)))
        for start in range(0, len(requests), AT_A_TIME):
            await asyncio.gather(
                *(
                    self._shards.one(
                        subject.uuid, Erase(subject.uuid, request.action == "opt_out", subject.ids)
                    )
                    for request in requests[start : start + AT_A_TIME]
                    for subject in request.subjects
                )
            )
        await self._elect_speakers(*_those_who_go(requests))
        self._erased.update(numbers)

    async def _rewrite(self, numbers: Sequence[int]) -> None:
        """Leave nothing of what was deleted in any file, and end the requests."""
        requests = await self._erasing(numbers)
        waiting = await self._unsettled(requests)
        requests = [request for request in requests if request.number not in waiting]
        touched = {self._shards.number_of(one.uuid) for request in requests for one in request.subjects}
        await asyncio.gather(*(until(partial(self._compact, number), PAUSE) for number in touched))
        if requests and not await self._finish(requests):
            waiting = {*numbers}  # somebody took over an id of theirs just now
        if await self._files_are_due():
            # A reader in the way sends no word when it is gone.
            await until(self._directory.erase_remains, PAUSE)
        self._ready.difference_update(set(numbers) - waiting)
        self._erased.difference_update(set(numbers) - waiting)

    async def _erase_remains_for_ever(self) -> None:
        """By itself: it may take hours, or have to wait for a reader as long as that."""
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            await guarded(self._erase_remains())
            took_s = loop.time() - started
            await asyncio.sleep(min(LONGEST_PAUSE_S, max(LOOK_S, PAUSE_FACTOR * took_s)))

    async def _erase_remains(self) -> None:
        if await self._directory.remains():
            await self._directory.erase_remains()

    async def _unsettled(self, requests: Sequence[PrivacyRequest]) -> set[int]:
        """Those with an id that is just on its way to another device, after a moment for it to arrive: with the
        request the directory forgets who had it.
        """
        found: set[int] = set()

        async def settled() -> bool:
            found.clear()
            for request in requests:
                if await self._identity.unsettled({one.uuid for one in request.whole}):
                    found.add(request.number)
            return not found

        await until(settled, POLL, PAUSE.first_s)
        return found

    async def _erasing(self, numbers: Sequence[int]) -> list[PrivacyRequest]:
        found = await load_requests(self._directory.requests, numbers)
        return [request for request in found if request.state == "erasing"]

    def _by_shard(self, uuids: Iterable[str]) -> list[list[str]]:
        """The devices of each shard that has any."""
        found: dict[int, list[str]] = {}
        for uuid in uuids:
            found.setdefault(self._shards.number_of(uuid), []).append(uuid)
        return list(found.values())

    async def _scrub(self, uuids: Sequence[str]) -> None:
        """One walk through the journal of these devices' shard, page by page between other groups."""
        after: int | None = 0
        while after is not None:
            # Any device's shard is this one: what is asked is about all of them.
            after = (await self._shards.one(uuids[0], Scrub(tuple(uuids), after, SCRUB_PAGE))).next

    async def _elect_speakers(self, gone: set[str], asked: set[IdKey]) -> None:
        """A cross-device id that a device that goes spoke for: the newest of the others does from now on, and where
        there is none the person's home.
        """
        owned = await self._identity.ids_of(gone)
        for keys in owned.values():
            people = [key for key in keys if key not in asked and self._identity.is_cross_device(key[0])]
            devices, homes = await self._identity.devices(people), await self._homes.housed(people)
            for key in people:
                heirs = [*devices.get(key, ()), *([home_of(key)] if key in homes else ())]
                while not await self._elected(key, [one for one in heirs if one not in gone], gone):
                    continue

    async def _elected(self, key: IdKey, heirs: Sequence[str], gone: set[str]) -> bool:
        """Whether somebody else speaks for an id, or nobody is to; False where the choice was void."""
        listed = await self._identity.suppressed.among(heirs, [key])
        heir = next((one for one in heirs if not listed.device(one)), None)
        before = await self._identity.owner(key)
        if heir is None or before is None or before.uuid not in gone or listed.id(key):
            return True
        now, generation = int(self._clock.now()), self._identity.generation_after(before)
        await self._shards.one(heir, Adopt(heir, *key, now, generation, (), listed.edition))
        return await self._identity.inherit(key, heir, generation, before, now)

    async def _compact(self, shard: int) -> bool:
        return await self._shards.ask(shard, Compact())

    async def _finish(self, requests: Sequence[PrivacyRequest]) -> bool:
        """False where they have to wait for an id to arrive."""
        ended = {request.number: encode_request(request.ended()) for request in requests}
        gone, asked = _those_who_go(requests)
        now = int(self._clock.now())
        return await self._identity.forget(self._directory.requests, ended, gone, asked, now)


def _those_who_go(requests: Sequence[PrivacyRequest]) -> tuple[set[str], set[IdKey]]:
    """The devices that go as a whole, and the ids that were asked for."""
    subjects = [one for request in requests for one in request.subjects]
    return {one.uuid for one in subjects if not one.ids}, {key for r in requests for key in r.ids}
