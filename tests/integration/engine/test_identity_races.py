"""Identity on a directory that answers late: nobody decides by what is no longer true.

Many callers resolve, flush, forget and hand over a few ids; the directory suspends them at places that a seed
chooses, the memory holds two ids, and writes may fail. Held against the directory at every decision and write.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest

from arke.clock import ManualClock, SeededEntropy
from arke.domain.event import DeclaredId
from arke.engine.identity import Identity, Named
from arke.errors import StoreUnavailable
from arke.storage.committer import InlineCommitter
from arke.storage.sqlite.connection import MEMORY
from arke.storage.sqlite.directory import SqliteDirectory
from at_once import at_once
from e2e.catalogs import device

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from arke.domain.identity import Claims, DeviceDay, IdKey, Move, Owner, PersonKey
    from arke.engine.identity import Naming, Resolved
    from arke.engine.identity.memory import Answers
    from arke.storage.ports.identities import Known

COOKIE, PERSON = 1, 7
COOKIES = [(COOKIE, name) for name in "abc"]
PEOPLE = [(PERSON, name) for name in "xy"]
DEVICES = [device(number) for number in range(1, 5)]
CALLERS, CALLS = 6, 6
NOW = 1_000_000


class Suspending:
    """The identities of a directory, with suspensions, failing writes, and an eye on what is stored."""

    def __init__(self, directory: SqliteDirectory, chance: random.Random, *, failing: bool) -> None:
        self._inner = directory.identities
        self._database = directory._database
        self._chance = chance
        self._failing = failing
        self.linked: dict[IdKey, list[Move]] = defaultdict(list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def pause(self) -> None:
        for _ in range(self._chance.choice((0, 0, 1, 2, 5))):
            await asyncio.sleep(0)

    async def look_up(
        self,
        ids: Collection[IdKey],
        people: Collection[PersonKey] = (),
        takeovers: Collection[DeviceDay] = (),
    ) -> Known:
        await self.pause()
        known = await self._inner.look_up(ids, people, takeovers)
        await self.pause()
        return known

    async def moved(self, move: Move) -> None:
        await self.pause()
        await self._inner.moved(move)
        await self.pause()

    async def link(self, claims: Claims) -> set[IdKey]:
        await self.pause()
        if self._failing and self._chance.random() < 0.2:
            raise StoreUnavailable("disk full")
        stored = (await self._inner.look_up([*claims.owners])).owners
        lost = await self._inner.link(claims)
        for key, owner in claims.owners.items():
            if key not in lost and (before := stored.get(key)) is not None:
                self._check_follows(before, owner, [move for move in claims.moves if move.key == key])
        for move in claims.moves:
            if move.key not in lost:
                self.linked[move.key].append(move)
        await self.pause()
        return lost

    def _check_follows(self, before: Owner, owner: Owner, moves: Sequence[Move]) -> None:
        """The generation grows with the owner, and every change of hands is a move, in order."""
        assert before.generation <= owner.generation
        assert (before.generation == owner.generation) == (not moves)
        assert [before.uuid, *(move.new_uuid for move in moves)] == [*(m.old_uuid for m in moves), owner.uuid]
        generations = [before.generation, *(move.generation for move in moves)]
        assert generations == sorted(set(generations))


class SlowEnd:
    """The end of a privacy request, with others coming between."""

    def __init__(self, town: Town, forgotten: list[IdKey]) -> None:
        self._town = town
        self._forgotten = forgotten

    async def finish(
        self, bodies: Mapping[int, bytes], uuids: Collection[str], ids: Collection[IdKey], at: int
    ) -> list[IdKey] | None:
        town = self._town
        await town.identities.pause()
        forgotten = await town.directory.requests.finish(bodies, uuids, ids, at)
        if forgotten is None:
            return None
        self._forgotten.extend(forgotten)
        town.being_forgotten += [*self._forgotten, *uuids]  # until the memory hears of it
        await town.identities.pause()
        return self._forgotten


class Town:
    """Callers of one identity over few ids; `decided` are all answers in the order of the decisions."""

    def __init__(self, seed: int, *, forgetting: bool, failing: bool) -> None:
        self.chance = random.Random(seed)
        self.forgetting = forgetting
        self.directory = SqliteDirectory(MEMORY, committer=InlineCommitter(), key=b"fixed")
        self.inner = self.directory.identities
        self.identities = Suspending(self.directory, self.chance, failing=failing)
        self.directory.identities = self.identities  # type: ignore[assignment]
        self.identity = Identity(
            self.directory,
            SeededEntropy(seed),
            ManualClock(),
            takeovers_per_device=3,
            cached_ids=2,
            cached_people=2,
        )
        self.identity.know(frozenset({PERSON}))
        resolver = self.identity._resolver
        self.memory = self.identity._memory
        self.decided: list[Resolved] = []
        self.lasting: set[int] = set()
        self.owners: dict[IdKey, str] = {}
        self.being_forgotten: list[IdKey | str] = []
        self.decide = resolver._resolve
        resolver._resolve = self.decide_checked  # type: ignore[method-assign]

    # --- what is true -----------------------------------------------------------------------------------

    def decide_checked(
        self, one: Naming, now: int, answers: Answers, away: Any, near: Any
    ) -> Resolved | None:
        before = self._believed(answers)
        resolved = self.decide(one, now, answers, away, near)
        if resolved is not None:
            believed, true = before
            assert believed == true
            self.decided.append(resolved)
            for declared in resolved.ids:
                key = (declared.dpid, declared.id)
                self.owners[key] = resolved.uuid if key in COOKIES else self.memory.owners[key].uuid
        return resolved

    def _believed(self, answers: Answers) -> tuple[dict[Any, Any], dict[Any, Any]]:
        """Whatever the memory knows, and this caller has been told, and what is true of the same."""
        memory, unstored = self.memory, self.identity._mappings.unstored()
        ids = {*memory.owners, *answers.ids}.difference(self.being_forgotten)
        people = {row for row in (*memory.people, *answers.people) if row[2] not in self.being_forgotten}
        known = at_once(self.inner.look_up(ids, people, memory.takeovers.keys()))
        true: dict[Any, Any] = {**known.owners, **known.people, **known.takeovers}
        for claims in unstored:
            true |= claims.owners | claims.people | claims.takeovers
        asked: list[Any] = [*ids, *people, *memory.takeovers]
        believed: dict[Any, Any] = {**memory.owners, **memory.people, **memory.takeovers}
        return {one: believed.get(one) or None for one in asked}, {one: true.get(one) for one in asked}

    # --- what callers do --------------------------------------------------------------------------------

    async def caller(self) -> None:
        for _ in range(CALLS):
            await self.identities.pause()
            kind = self.chance.random()
            try:
                if kind < 0.7:
                    await self.resolve()
                elif kind < 0.8:
                    await self.follow()
                elif kind < 0.9 and self.forgetting:
                    await self.forget()
                else:
                    await self.read()
            except StoreUnavailable:
                continue

    async def resolve(self) -> None:
        first = len(self.decided)
        named = [self._named() for _ in range(self.chance.randint(1, 3))]
        decided = await self.identity.decide(named, NOW)
        await self.identity.flush()
        while await self.identity.decide_again(decided, NOW):
            await self.identity.flush()
        mine = {id(answer) for answer in decided.answers}
        self.lasting |= {n for n in range(first, len(self.decided)) if id(self.decided[n]) in mine}

    def _named(self) -> Named:
        uuid = self.chance.choice([None, *DEVICES])
        keys = self.chance.sample([*COOKIES, *PEOPLE], self.chance.randint(1, 3))
        ids = tuple(DeclaredId(*key, self.chance.choice((0, 1, 2)) if key in PEOPLE else 0) for key in keys)
        return Named(uuid, ids, self.chance.random() < 0.3)

    async def follow(self) -> None:
        key = self.chance.choice([*COOKIES, *PEOPLE])
        move = self.identity.next_move(key)
        if move is not None:
            await self.identity.moved(move)

    async def read(self) -> None:
        keys = self.chance.sample([*COOKIES, *PEOPLE], 2)
        devices = await self.identity.devices(keys)
        assert all(devices.values())
        await self.identity.owner(keys[0])

    async def forget(self) -> None:
        """A device with all that it has, or an id: as at the end of a privacy request."""
        gone = set(self.chance.sample(DEVICES, self.chance.randint(0, 1)))
        asked = set(self.chance.sample(COOKIES, 1))
        forgotten: list[IdKey] = []
        if not await self.identity.forget(SlowEnd(self, forgotten), {}, gone, asked, NOW):
            return
        window: list[IdKey | str] = [*forgotten, *gone]
        for one in window:
            self.being_forgotten.remove(one)

    async def live(self) -> None:
        await self.identity.start()
        await asyncio.gather(*(self.caller() for _ in range(CALLERS)))
        while True:
            try:
                return await self.identity.flush()
            except StoreUnavailable:
                continue

    # --- what has to hold at the end --------------------------------------------------------------------

    def check_answers(self) -> None:
        """Of what was made durable: one owner an id under each mapping, and no mapping after a newer one."""
        whose: dict[tuple[IdKey, int], str] = {}
        newest: dict[IdKey, int] = {}
        for number, answer in enumerate(self.decided):
            for declared in answer.ids if number in self.lasting else ():
                key = (declared.dpid, declared.id)
                assert newest.get(key, 0) <= declared.generation
                newest[key] = declared.generation
                if declared.dpid == COOKIE:
                    assert whose.setdefault((key, declared.generation), answer.uuid) == answer.uuid

    async def check_against_one_after_another(self) -> None:
        """The owner at the end is whom the last decision named, and moves lead there from the first one."""
        known = await self.inner.look_up([*COOKIES, *PEOPLE])
        assert {key: owner.uuid for key, owner in known.owners.items()} == self.owners
        for key, moves in self.identities.linked.items():
            assert [m.old_uuid for m in moves[1:]] == [m.new_uuid for m in moves[:-1]]
            assert moves[-1].new_uuid == self.owners[key]
        waiting = await self.inner.moves()
        for key in {move.key for move in waiting}:
            left = [move for move in waiting if move.key == key]
            assert left == self.identities.linked[key][-len(left) :], "they are followed in their order"


async def lived(seed: int, *, forgetting: bool = False, failing: bool = False) -> None:
    town = Town(seed, forgetting=forgetting, failing=failing)
    await town.live()
    town.check_answers()
    if not (forgetting or failing):
        await town.check_against_one_after_another()
    await town.directory.close()


def lived_all(seeds: range) -> None:
    for seed in seeds:
        try:
            asyncio.run(lived(seed, forgetting=seed % 3 > 0, failing=seed % 3 > 1))
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise


def test_callers_that_are_suspended_anywhere_decide_by_what_is_true() -> None:
    """Some hundred towns: calm ones, some that forget, and some where writes fail too."""
    lived_all(range(450))


@pytest.mark.soak
def test_ten_thousand_towns() -> None:
    lived_all(range(1_000, 11_000))
