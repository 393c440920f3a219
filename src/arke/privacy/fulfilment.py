"""Privacy requests: opt-outs and deletions, carried through to their end whatever dies meanwhile.

    open ──► telling ──► erasing ──► done
     │          │           │
     │          │           └ rows deleted, journal records emptied, files written anew, ids forgotten
     │          └ until every destination that was told a 1 has acknowledged the 0
     └ suppressed; the devices leave everything, and destinations are set off

A request is durable before anything is done. Every step may be repeated, and the store tells which is next,
so an engine that starts goes on where another one died. Here a request is told; what has been told is handed to
`erasure`, which works beside it: to write files anew takes time, and a new request's 0s go out at once.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from arke.background import POSTPONED, Background, until, wait_until
from arke.domain.homes import home_of, is_home
from arke.privacy.erasure import PAUSE, POLL, Erasure, guarded
from arke.privacy.request import (
    LargeRequests,
    PrivacyRequest,
    Subject,
    encode_request,
    load_requests,
    save_requests,
)
from arke.privacy.suppression import Suppression
from arke.privacy.verdict import Verdict, judge
from arke.shard.commands import Withdraw
from arke.shard.protocol import AskStanding, Standing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from arke.clock import Clock
    from arke.domain.identity import IdKey
    from arke.engine.homes import Homes
    from arke.engine.identity import Identity
    from arke.engine.live_catalog import LiveCatalog
    from arke.engine.shards import Shards
    from arke.privacy.request import Asked
    from arke.shard.commands import WithdrawReason
    from arke.storage.ports.directory import Directory

TOLD_TOGETHER = 256
"""Requests worked on at a time while they wait for destinations."""
FIRST_POLL_S = POLL.first_s
LONGEST_POLL_S = 5.0
"""How soon, and at the latest, to look again whether destinations have acknowledged; it doubles in between."""
PATIENCE_S = 2.0
"""A destination that has not acknowledged by then is not waited for by those who wait for a request."""
RETRY_S = 180.0
LONGEST_RETRY_S = 3_600.0
"""When to tell again those that have not acknowledged; it doubles too."""


class _Waiting(msgspec.Struct):
    """When to look at a request again, and when to tell once more (the loop's clock). `devices`: which it is about,
    where that is known; none while it is open.
    """

    poll_at: float
    poll_s: float = FIRST_POLL_S
    retry_at: float = 0.0
    retry_s: float = RETRY_S
    reminded: bool = False
    devices: frozenset[str] | None = None


class Privacy:
    """Carries requests through."""

    def __init__(
        self,
        directory: Directory,
        identity: Identity,
        homes: Homes,
        shards: Shards,
        catalog: LiveCatalog,
        clock: Clock,
    ) -> None:
        self._directory = directory
        self._homes = homes
        self._identity = identity
        self._shards = shards
        self._clock = clock
        self._catalog = catalog
        self._waiting: dict[int, _Waiting] = {}
        self._news = asyncio.Event()
        self._background = Background()
        self._carries = True
        self._turn = asyncio.Lock()
        """Held by whoever reads requests that wait and changes them."""
        self._erasure = Erasure(directory, identity, homes, shards, clock, hand_on=self._hand_on)
        self.suppression = Suppression(directory, identity, catalog, clock)
        self.large = LargeRequests(clock)

    # --- life -------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Take up what is unfinished. Safe twice."""
        self._carries = True
        if not self._background.running:
            await self._take_up()

    def leave(self) -> None:
        """Take requests, and have another node carry them through: who shares a directory with others begins so."""
        self._carries = False

    async def follow(self) -> None:
        """Take up what other nodes have taken since. Raises StoreUnavailable."""
        now = asyncio.get_running_loop().time()
        for number in await self._directory.requests.unfinished():
            if number not in self._erasure:
                self._waiting.setdefault(number, _Waiting(now))
        self._news.set()

    async def _take_up(self) -> None:
        unfinished = await self._directory.requests.unfinished()
        if self._background.running:  # somebody else was quicker
            return
        now = asyncio.get_running_loop().time()
        for number in unfinished:
            self._waiting.setdefault(number, _Waiting(now))
        self._background.spawn(self._tell_for_ever(), "privacy-telling")
        self._erasure.start(self._background)

    async def stop(self) -> None:
        """What is unfinished is in the directory, and taken up from there."""
        await self._background.stop()
        self._waiting.clear()
        self._erasure.stop()

    async def until_idle(self, timeout_s: float) -> None:
        """Wait until every request has ended, or waits for a destination that does not acknowledge."""
        await until(self._quiet, POLL, timeout_s)

    async def _quiet(self) -> bool:
        """Also where no task is there to do anything."""
        fresh = any(waiting.poll_s < PATIENCE_S for waiting in self._waiting.values())
        return not self._background.running or (self._erasure.idle and not fresh)

    # --- asking -----------------------------------------------------------------------------------------

    async def request(self, asked: Sequence[Asked]) -> list[int]:
        """Take requests: durable and suppressed on return; the rest follows. Returns their numbers."""
        now = int(self._clock.now())
        requests = [self._request(one) for one in asked]
        await self._look_for([request for request in requests if not request.public])
        numbers = await self._directory.requests.open([encode_request(one) for one in requests], now)
        for number, request in zip(numbers, requests, strict=True):
            request.number = number
        await self.suppression.put(await self._owned(requests), now)
        if self._carries:
            loop_now = asyncio.get_running_loop().time()
            self._waiting.update((number, _Waiting(loop_now, devices=frozenset())) for number in numbers)
            await self.start()
            self._news.set()
        return numbers

    async def _look_for(self, requests: Sequence[PrivacyRequest]) -> None:
        """Whether anybody is known by what was asked for. That cannot be said while a shard is away: a request is
        taken all the same.
        """
        ids = {key for request in requests for key in request.ids}
        known: set[IdKey] = {*await self._identity.owners(ids), *await self._homes.housed(ids)}
        for request in requests:
            if known.isdisjoint(request.ids):
                try:
                    found = await self._standings([Subject(uuid) for uuid in request.uuids])
                except POSTPONED:
                    continue
                request.nobody = not any(standing.known for standing in found)

    async def _owned(self, requests: Sequence[PrivacyRequest]) -> list[tuple[PrivacyRequest, set[IdKey]]]:
        return [(request, await self.suppression.owned(request)) for request in requests]

    def _request(self, asked: Asked) -> PrivacyRequest:
        names = [*asked.uuids, *(f"{dpid}:{partner_id}" for dpid, partner_id in asked.ids)]
        return PrivacyRequest(
            asked.action,
            [self.name_of(name) for name in names],
            uuids=[*asked.uuids],
            ids=[*asked.ids],
            public=asked.public,
        )

    def name_of(self, text: str) -> str:
        """What a UUID or `dpid:id` is called in reports: its keyed hash."""
        return self._directory.hashes.digest(text).hex()

    async def verdict(self, request: PrivacyRequest) -> Verdict:
        """How far an open request is, over all its devices."""
        total = Verdict([*request.proofs], [], [*request.untold])
        if request.state in ("erasing", "done"):
            return total
        subjects = request.remaining
        for subject, standing in zip(subjects, await self._standings(subjects), strict=True):
            found = judge(self._catalog.catalog, subject, standing, self._directory.hashes)
            total.proofs += [proof for proof in found.proofs if proof not in request.proofs]
            total.missing += found.missing
            total.untold += found.untold
        return total

    # --- telling ----------------------------------------------------------------------------------------

    async def _tell_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._news.clear()
            now = loop.time()
            due = [number for number, waiting in self._waiting.items() if waiting.poll_at <= now]
            if not due:
                await wait_until(self._news, min((w.poll_at for w in self._waiting.values()), default=None))
                continue
            for number in due[:TOLD_TOGETHER]:
                waiting = self._waiting[number]
                waiting.poll_at = now + waiting.poll_s
                waiting.poll_s = min(LONGEST_POLL_S, waiting.poll_s * 2)
            if not await guarded(self._tell(due[:TOLD_TOGETHER])):
                for number in due[:TOLD_TOGETHER]:  # what one of them meets must not hold up the others
                    await guarded(self._tell([number]))

    async def _tell(self, numbers: Sequence[int]) -> None:
        async with self._turn:
            requests = await load_requests(self._directory.requests, numbers)
            await self._open([request for request in requests if request.state == "open"])
            telling = [request for request in requests if request.state == "telling"]
            for request in telling:
                self._waiting[request.number].devices = frozenset(one.uuid for one in request.subjects)
            await self._look(telling)
            for request in requests:
                if request.state in ("erasing", "done"):
                    del self._waiting[request.number]
                    self._erasure.take(request.number)

    async def _open(self, requests: Sequence[PrivacyRequest]) -> None:
        """Find the devices, suppress them, and have them leave everything."""
        if not requests:
            return
        now = int(self._clock.now())
        for request in requests:
            request.subjects = await self._subjects(request)
        # What is named once more: a crash may have come between storing the request and suppressing it.
        owned = await self._owned(requests)
        edition = await self.suppression.put(owned, now)
        for request in requests:
            request.edition = edition
        begun = await self._identity.links_begun()
        await asyncio.gather(
            *(self._withdraw(request, subject, now) for request in requests for subject in request.subjects)
        )
        known = await self._all_known(owned, begun)
        retry_at = asyncio.get_running_loop().time() + RETRY_S
        for request in requests:
            self._waiting[request.number].retry_at = retry_at
            request.people = sum(is_home(one.uuid) for one in request.subjects)
            request.devices = len(request.subjects) - request.people
            if request.number in known and not await self._identity.unsettled(
                {subject.uuid for subject in request.subjects}
            ):
                request.state = "telling"  # otherwise an id is on its way: looked at again in a moment
        own = await asyncio.gather(*(self._own_ids(request) for request in requests))
        await self.suppression.put(list(zip(requests, own, strict=True)), now)
        await save_requests(self._directory.requests, requests)
        self.large.note([request for request in requests if request.large and request.state == "telling"])

    async def _all_known(
        self, owned: Sequence[tuple[PrivacyRequest, set[IdKey]]], begun: int | None
    ) -> set[int]:
        """Those of these requests of which all is known that they are about, and was suppressed before `begun`:
        what other engines had decided until then, not knowing it, is stored or void by now.
        """
        if begun is None:
            return {request.number for request, _ in owned}
        if not await until(partial(self._identity.links_ended, begun), POLL, PAUSE.first_s):
            return set()
        return {
            request.number
            for request, ids in owned
            if await self._subjects(request) == request.subjects
            and await self.suppression.owned(request) == ids
        }

    async def _subjects(self, request: PrivacyRequest) -> list[Subject]:
        """The devices a request is about (dossier 17): those named; by an id, all devices it leads to to be
        deleted, but to opt out the last linked one, while the others lose the id only. By the id of a person also
        the person's home, whatever is asked: nothing comes of it any more.
        """
        whole = dict.fromkeys(request.uuids)
        whole.update((home_of(key), None) for key in await self._homes.housed(request.ids))
        partly: dict[str, list[IdKey]] = {}
        found, owners = await self._identity.devices(request.ids), await self._identity.owners(request.ids)
        for key in request.ids:
            devices = found.get(key, [])
            last = len(devices) if request.action == "delete" else 1
            whole.update(dict.fromkeys(devices[:last]))
            owner = owners.get(key)  # it may speak for the id though it was linked earlier
            others = [*devices[last:], *([owner.uuid] if owner is not None else [])]
            for uuid in dict.fromkeys(others):
                partly.setdefault(uuid, []).append(key)
        return [
            *(Subject(uuid) for uuid in whole),
            *(Subject(uuid, tuple(keys)) for uuid, keys in partly.items() if uuid not in whole),
        ]

    async def _withdraw(self, request: PrivacyRequest, subject: Subject, now: int) -> None:
        reason: WithdrawReason = "privacy" if request.action == "delete" else "opt_out"
        withdraw = Withdraw(subject.uuid, now, reason, subject.ids, request.edition)
        await self._shards.one(subject.uuid, withdraw)

    async def _own_ids(self, request: PrivacyRequest) -> set[IdKey]:
        """Those that its devices have now."""
        devices = request.whole
        known = zip(devices, await self._standings(devices), strict=True)
        return await self.suppression.own(request, [(one.uuid, _ids(found)) for one, found in known])

    async def _look(self, requests: Sequence[PrivacyRequest]) -> None:
        """Who has acknowledged; where all have, the request goes on to be erased."""
        if not requests:
            return
        changed: list[tuple[PrivacyRequest, set[IdKey]]] = []
        standings = iter(await self._standings([one for request in requests for one in request.remaining]))
        for request in requests:
            verdict = Verdict()
            at_work: set[int] = set()
            held: list[tuple[str, Iterable[IdKey]]] = []
            for subject in request.remaining:
                standing = next(standings)
                at_work.update(standing.owed, standing.busy)
                if not subject.ids:
                    held.append((subject.uuid, _ids(standing)))
                found = judge(self._catalog.catalog, subject, standing, self._directory.hashes)
                verdict.proofs += found.proofs
                verdict.missing += found.missing
                verdict.untold += found.untold
            if await self._identity.unsettled({one.uuid for one in request.whole}):
                continue  # what an id was told is between two devices: looked at again in a moment
            if verdict.missing:
                await self._once_more(
                    request, idle=any(m.destination not in at_work for m in verdict.missing)
                )
            else:
                request.state = "erasing"
                request.add(verdict.proofs, verdict.untold)
                # Also those that have moved in since.
                changed.append((request, await self.suppression.own(request, held)))
        if changed:
            await self.suppression.put(changed, int(self._clock.now()))
            await save_requests(self._directory.requests, [request for request, _ in changed])

    async def _once_more(self, request: PrivacyRequest, *, idle: bool) -> None:
        """What failed twice is owed: a new reason to send it, every few minutes. `idle`: a destination is
        missing that has nothing about it in hand; a batch may have told a 1 while the device withdrew.
        """
        loop_now = asyncio.get_running_loop().time()
        waiting = self._waiting[request.number]
        if waiting.retry_at == 0.0:  # taken up from an earlier life of the engine
            waiting.retry_at = loop_now
        if waiting.retry_at <= loop_now:
            waiting.retry_at = loop_now + waiting.retry_s
            waiting.retry_s = min(LONGEST_RETRY_S, waiting.retry_s * 2)
            waiting.poll_s = FIRST_POLL_S
        elif idle and not waiting.reminded and waiting.poll_s >= PATIENCE_S:
            waiting.reminded = True
        else:
            return
        now = int(self._clock.now())
        await asyncio.gather(*(self._withdraw(request, subject, now) for subject in request.remaining))

    async def _hand_on(self, ending: Sequence[PrivacyRequest]) -> None:
        """What is proved of devices that are erased now goes to all requests about them that still wait, for other
        devices or to be looked at: the ledger that it is read from goes.
        """
        parts: dict[str, set[IdKey] | None] = {}
        for one in (subject for request in ending for subject in request.remaining):
            before = parts.get(one.uuid, set())
            parts[one.uuid] = {*before, *one.ids} if one.ids and before is not None else None
        async with self._turn:
            numbers = [
                number
                for number, waiting in self._waiting.items()
                if waiting.devices is None or not waiting.devices.isdisjoint(parts)
            ]
            for start in range(0, len(numbers), TOLD_TOGETHER):
                requests = await load_requests(
                    self._directory.requests, numbers[start : start + TOLD_TOGETHER]
                )
                concerned = [
                    request
                    for request in requests
                    if request.state == "telling" and any(one.uuid in parts for one in request.remaining)
                ]
                for request in concerned:
                    await self._settle(request, parts)
                if concerned:
                    await save_requests(self._directory.requests, concerned)

    async def _settle(self, request: PrivacyRequest, parts: Mapping[str, set[IdKey] | None]) -> None:
        """Take down what is proved of devices of which all goes (None) or these ids do."""
        for place, subject in enumerate(request.subjects):
            if subject.settled or subject.uuid not in parts:
                continue
            ids = parts[subject.uuid]
            (standing,) = await self._standings([subject])
            if ids is None or (subject.ids and ids.issuperset(subject.ids)):
                request.subjects[place] = msgspec.structs.replace(subject, settled=True)
                found = judge(self._catalog.catalog, subject, standing, self._directory.hashes)
                request.add(found.proofs, found.untold)
            elif shared := ids.intersection(subject.ids) if subject.ids else ids:
                part = Subject(subject.uuid, tuple(shared))
                request.add(judge(self._catalog.catalog, part, standing, self._directory.hashes).proofs)

    async def _standings(self, subjects: Sequence[Subject]) -> list[Standing]:
        return await asyncio.gather(
            *(self._shards.ask_about(one.uuid, AskStanding(one.uuid)) for one in subjects)
        )


def _ids(standing: Standing) -> set[IdKey]:
    """All partner ids that a device has, or was told under."""
    return {*standing.ids, *((row.dpid, row.id) for row in standing.ledger if row.dpid > 0)}
