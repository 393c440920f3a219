"""Mappings as they are decided: known at once, stored together, and failing together; and the moves they bring."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from arke.domain.homes import is_home
from arke.domain.identity import Claims, IdKey, Move, Owner, Promise
from arke.engine.identity.gathering import Gathering
from arke.engine.identity.generations import Generations
from arke.engine.identity.memory import Memory
from arke.engine.identity.sharing import DEVICES_PER_ID, Sharing
from arke.errors import StoreUnavailable
from arke.log import get_logger
from arke.storage.committer import SMALL_ROWS
from arke.storage.keyed_hash import KeyedHash

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterable, Sequence

    from arke.clock import Clock
    from arke.domain.event import DeclaredId
    from arke.domain.identity import DeviceDay, Mapped, PersonKey, PersonRow
    from arke.storage.ports.identities import Identities


MOST_PROMISED: Final = 1_000
"""Mappings that shards keep before the directory syncs them all, unless it does for another reason."""
WRITABLE_S: Final = 1.0
"""How long after a write that worked the directory is believed to take more."""
MOST_LATE: Final = SMALL_ROWS
"""Mappings that are stored together where nobody waits for them: as many as take next to no time."""

Promised = Callable[[int], Awaitable["list[Mapped]"]]
"""Asks shards for the mappings after a generation that they keep: see `PromiseReader`."""


log = get_logger("identity")


class Moving:
    """Moves `by_id`, oldest first: each begins at the device where the one before ended."""

    def __init__(self) -> None:
        self.by_id: dict[IdKey, deque[Move]] = {}

    def add(self, moves: Iterable[Move]) -> None:
        for move in moves:
            self.by_id.setdefault(move.key, deque()).append(move)

    def oldest(self, key: IdKey) -> Move | None:
        waiting = self.by_id.get(key)
        return waiting[0] if waiting else None

    def finished(self, move: Move) -> None:
        """Or void, because it was never stored."""
        waiting = self.by_id.get(move.key)
        if waiting is not None and move in waiting:
            waiting.remove(move)
            if not waiting:
                del self.by_id[move.key]

    def forget(self, key: IdKey) -> None:
        self.by_id.pop(key, None)

    def touches(self, uuids: Container[str]) -> bool:
        """Whether an id is on its way from or to one of these devices."""
        return any(
            move.old_uuid in uuids or move.new_uuid in uuids
            for moves in self.by_id.values()
            for move in moves
        )


class Finishing(Protocol):
    """Ends privacy requests: see `arke.storage.ports.directory.Requests.finish`."""

    async def finish(
        self, bodies: Mapping[int, bytes], uuids: Collection[str], ids: Collection[IdKey], at: int
    ) -> list[IdKey] | None: ...


Names = Callable[..., list[tuple[IdKey, bytes]]]
"""See `Suppressed.names`."""


def named(claims: Claims, names: Names) -> list[tuple[IdKey, bytes]]:
    """What may not have come onto the suppression list since these were decided."""
    devices: dict[IdKey, set[str]] = {key: {owner.uuid} for key, owner in claims.owners.items()}
    for dpid, id_, uuid in claims.people:
        devices.setdefault((dpid, id_), set()).add(uuid)
    return [name for key, uuids in devices.items() for name in names(key, *uuids)]


class Batch(msgspec.Struct, eq=False):
    """Claims that become durable together. `failed` says why they did not; `lost` are ids that another engine gave
    to somebody else first, so that whatever was decided of them here is void.
    """

    claims: Claims = msgspec.field(default_factory=Claims)
    stored: bool = False
    failed: str | None = None
    lost: Collection[IdKey] = ()

    def check(self) -> None:
        """Raises StoreUnavailable to whoever leans on it, where it failed."""
        if self.failed is not None:
            raise StoreUnavailable(self.failed)


def _joined(many: Iterable[Claims]) -> list[Claims]:
    """Claims of new devices in fewer: those that were decided in the same second, as many as are a small write."""
    joined: list[Claims] = []
    for claims in many:
        if not joined or joined[-1].at != claims.at or joined[-1].rows + claims.rows > MOST_LATE:
            joined.append(Claims(claims.at))
        whole = joined[-1]
        whole.owners |= claims.owners
        whole.before |= claims.before
        whole.invented |= claims.invented
    return joined


class Mappings:
    """Takes decisions into the memory and into the batch that is stored next; `flush` stores it.

    Of each id one mapping counts at a time, and a newer one has the higher generation. `moving`: those that the
    shards have not followed; only stored ones may be followed (`next_move`). `joined`: a cross-device id has
    reached another device; `linked` are those since it was emptied last.

    Where there are other engines (`cached` is false), `moving` has those that are not stored yet: all others are
    the directory's to tell, and the business of whoever has the shard of the old device. `moved_lately` says that
    there are new ones.

    `settled`: up to this mapping all are on disk. Later ones may not be, if no other engine writes here: those of
    new devices that were `promised`. Whatever goes by one of these makes it durable, or has the shard keep it. They
    may come to the directory late, many at once (`catch_up`), but before any other mapping is stored or forgotten
    there: so many, `late`, are to come. They are never void, since whoever named them may have been answered; a
    write that fails is done again. Only a directory that was written a moment ago is believed to take them.
    """

    def __init__(
        self,
        identities: Identities,
        hashes: KeyedHash,
        clock: Clock,
        *,
        cached: bool,
        cached_ids: int,
        cached_people: int,
        devices_per_id: int = DEVICES_PER_ID,
        names: Names | None = None,
    ) -> None:
        """`names`: see `Claims.names`."""
        self._identities = identities
        self._hashes = hashes
        self._cached = cached
        self._names = names
        self.memory = Memory(
            identities,
            hashes,
            self.unstored,
            cached_ids=cached_ids,
            cached_people=cached_people,
            gathering=None if cached else Gathering(identities),
        )
        self.moving = Moving()
        self.moved_lately = False
        self._sharing = Sharing(devices_per_id, hashes)
        self.joined = False
        self.linked: list[IdKey] = []
        self._clock = clock
        self._generations = Generations(clock)
        self._stored_generation = 0
        self.settled = 0
        self._promised = 0
        self.late = 0
        self._late: list[Claims] = []
        self._late_to = 0
        self._stored_at = float("-inf")
        self._batch = Batch()
        self._writing: Batch | None = None
        self._lock = asyncio.Lock()

    async def start(self, promised: Promised | None = None) -> None:
        """Read where the directory was left; what it lost with the power is had from what shards `promised`. Before
        anything else.
        """
        if self._cached:
            moves = await self._identities.moves()
            self.moving.add(moves)
            settled = await self._identities.settled()
            kept = await promised(settled) if promised is not None else []
            await self._restore(kept)
            # Later ones are told from these by their numbers, whatever the clock says by now.
            newest = [*(move.generation for move in moves), *(one.generation for one in kept)]
            self._generations.last = max(settled, *newest, 0)
            self.settled = self._stored_generation = self._generations.after(0)
            await self._identities.settle(self.settled)
        self._sharing.start(await self._identities.shared())

    async def _restore(self, kept: Collection[Mapped]) -> None:
        """Store what only shards know."""
        by_age = sorted(kept, key=attrgetter("generation"))
        owners = {one.key: Owner(one.uuid, one.generation) for one in by_age}
        # What has an owner was not lost, or is another device's by now; what had one was forgotten on request.
        known = await self._identities.look_up(owners)
        lost = {key: owners[key] for key in owners.keys() - known.owners.keys() - known.firsts.keys()}
        if lost:
            await self._identities.link(Claims(int(self._clock.now()), lost))
            log.warning("mappings_restored", ids=len(lost))

    def promise(self, ids: Sequence[DeclaredId]) -> Promise | None:
        """See `Identity.promise`. Where there are other engines nothing is promised, whoever made a mapping."""
        newest = max((declared.generation for declared in ids), default=0)
        return Promise(newest, self.settled) if self._cached and newest > self.settled else None

    def new_generation(self, owner: Owner | None) -> int:
        """The number of a new mapping of the id that is now this owner's."""
        return self._generations.after(owner.generation if owner is not None else 0)

    # --- decisions --------------------------------------------------------------------------------------

    def take_over(self, key: IdKey, before: Owner | None, uuid: str, now: int, state: int = 0) -> Owner:
        """A new mapping, and a move if the id belonged to another device. Whose it was first stays known."""
        if before is None or is_home(before.uuid):
            first = self.memory.firsts.get(key) if before is None else before.first
        else:
            first = before.first or self._hashes.digest(before.uuid)
        if first is not None and first == self._hashes.digest(uuid):
            first = None
        owner = Owner(uuid, self.new_generation(before), state, first)
        if before is not None:
            self.note_shared(key, before.uuid, uuid, now)
        self.own(key, owner, now)
        if before is not None:  # last: no move without its mapping, whatever fails
            self.add_move(Move(*key, before.uuid, uuid, now, owner.generation))
        return owner

    def own(self, key: IdKey, owner: Owner, now: int) -> Owner:
        """From now on this is the id's mapping. It may be the one that it has: in another state, or to be waited
        for by whoever leans on it.
        """
        known = self.memory.owners.get(key)
        if known is not None and (known.generation, known.uuid) != (owner.generation, owner.uuid):
            # Each device would believe that the id is its own.
            assert known.generation < owner.generation, "a mapping is replaced by a newer one only"  # noqa: S101
        claims = self._batch.claims
        claims.before.setdefault(key, 0 if known is None else known.generation)
        claims.owners[key] = self.memory.owners[key] = owner
        claims.decide(key, owner.uuid)
        claims.at = now
        return owner

    def invent(self, uuid: str) -> None:
        """Ids are given to a device that nobody knows yet."""
        self._batch.claims.invented[uuid] = set()

    def note_shared(self, key: IdKey, before: str, uuid: str, now: int) -> None:
        """An id is on two devices, or was; a person's home is none."""
        if is_home(before) or is_home(uuid):
            return
        shared = self._sharing.note(key, before, uuid, now)
        if shared is not None:
            self._batch.claims.shared[key] = shared

    def add_move(self, move: Move) -> None:
        self._batch.claims.moves.append(move)
        self.moving.add((move,))

    def link_person(self, key: PersonKey, row: PersonRow, now: int) -> None:
        self.joined = True
        self.linked.append(key[:2])
        self._put_person(key, row, now)

    def house_person(self, key: PersonKey, row: PersonRow, now: int) -> None:
        """The person has a home from now on."""
        self._put_person(key, row, now)

    def _put_person(self, key: PersonKey, row: PersonRow, now: int) -> None:
        claims = self._batch.claims
        claims.people[key] = self.memory.people[key] = row
        claims.decide(key[:2], key[2])
        claims.at = now

    def count_takeover(self, today: DeviceDay) -> None:
        count = self.memory.takeovers.get(today, 0) + 1
        self._batch.claims.takeovers[today] = self.memory.takeovers[today] = count

    # --- storing ----------------------------------------------------------------------------------------

    def trim(self) -> None:
        """Keep the memory within its bounds. Before a caller looks into it."""
        ids, people = self.memory.outgrown()
        if self._cached and (ids or people):
            self.memory.forget(ids=ids, people=people)

    def unstored(self) -> list[Claims]:
        """What the directory cannot tell yet, oldest first."""
        return [*self._late, *(batch.claims for batch in self.pending())]

    def pending(self) -> list[Batch]:
        """The batches that whoever decides now leans on, oldest first."""
        return [self._batch] if self._writing is None else [self._writing, self._batch]

    async def flush(self, *, promised: bool = False) -> None:
        """Durable up to here, what another caller is just writing included, but for what was `lost`; if `promised`
        also but for mappings later than `settled`, which the caller has shards keep: those of new devices may be
        `late`. Raises StoreUnavailable.
        """
        before, batch = self._writing, self._batch
        if before is None and not batch.claims.owners and (promised or not self._promised):
            if not batch.claims.people:
                batch.claims.invented.clear()  # no id leads to them
            return
        if promised and before is None and self._may_come_late(batch.claims):
            self._put_off(batch)
            return
        async with self._lock:
            if before is not None:
                before.check()
            batch.check()
            if not batch.stored and not batch.lost and batch.claims.owners:
                await self._store(batch, promised=promised)
            if self._promised and not promised:
                await self._settle()

    def _may_promise(self, claims: Claims) -> bool:
        return self._cached and self._promised < MOST_PROMISED and claims.of_new_devices

    def _may_come_late(self, claims: Claims) -> bool:
        if len(claims.owners) > MOST_LATE or not self._may_promise(claims):
            return False
        return asyncio.get_running_loop().time() - self._stored_at < WRITABLE_S

    def _put_off(self, batch: Batch) -> None:
        """Nothing is being written that it could lean on."""
        self._batch, batch.stored = Batch(), True
        self._late.append(batch.claims)
        self._late_to = self._generations.last
        self.late += len(batch.claims.owners)
        self._promised += len(batch.claims.owners)

    async def catch_up(self) -> None:
        """Store what comes late; nothing where that has been done meanwhile. Raises StoreUnavailable."""
        async with self._lock:
            if self._promised < MOST_PROMISED // 2:
                await self._store_late()
            else:  # here nobody waits for it
                await self._settle()

    async def _store_late(self) -> None:
        """Without a sync; what is put off meanwhile stays so. Only where nothing else is being stored."""
        count, until, rows = len(self._late), self._late_to, self.late
        if not count:
            return
        for claims in _joined(self._late[:count]):
            if await self._linked(claims, promised=True):
                log.error("mappings_lost")  # somebody else has written the file
        del self._late[:count]
        self.late -= rows
        self._stored_generation = until

    async def _linked(self, claims: Claims, *, promised: bool) -> Collection[IdKey]:
        """Returns the ids that were lost."""
        try:
            lost = await self._identities.link(claims, promised=promised)
        except BaseException:
            self._stored_at = float("-inf")
            raise
        self._stored_at = asyncio.get_running_loop().time()
        return lost

    async def _settle(self) -> None:
        """What was promised is on disk."""
        await self._store_late()
        generation = self._stored_generation
        await self._identities.settle(generation)
        self._promised, self.settled = self.late, generation

    async def _store(self, batch: Batch, *, promised: bool) -> None:
        self._batch, self._writing = Batch(), batch
        generation = self._generations.last
        promised = promised and self._may_promise(batch.claims)
        if promised:
            self._promised += len(batch.claims.owners)
        if self._names is not None:
            batch.claims.names = named(batch.claims, self._names)
        try:
            await self._store_late()
            lost = await self._linked(batch.claims, promised=promised)
        except StoreUnavailable as error:
            self._fail(batch, str(error), batch.claims.moves)
            raise
        except BaseException:
            # Nobody knows whether it was stored: the memory goes, and moves stand until the next start tells, or
            # the next look-up.
            void = () if self._cached else batch.claims.moves
            self._fail(batch, "the directory's write was broken off: try again", void)
            raise
        self._writing, batch.stored = None, True
        self._stored_generation = generation
        if not promised and not lost:
            self._promised, self.settled = 0, generation
        if lost:
            self._lose(batch, lost)
        self._note_stored(batch)

    def _note_stored(self, batch: Batch) -> None:
        if self._cached:
            return
        if any(move.key not in batch.lost for move in batch.claims.moves):
            self.moved_lately = True
        for move in batch.claims.moves:
            self.moving.finished(move)
        self.memory.let_go()

    def _lose(self, batch: Batch, lost: Collection[IdKey]) -> None:
        """Others were quicker with these ids. So is void what was decided of them, and all that has been decided
        since, which may lean on that: whoever did so decides anew.
        """
        later, self._batch = self._batch, Batch()
        batch.lost, later.lost = lost, later.claims.owners.keys()
        for move in [*(move for move in batch.claims.moves if move.key in lost), *later.claims.moves]:
            self.moving.finished(move)
        self.memory.forget()

    def _fail(self, batch: Batch, reason: str, void: Iterable[Move]) -> None:
        """Whoever leans on a batch that failed is told so, and so is whoever has decided on top of it since."""
        later, self._batch, self._writing = self._batch, Batch(), None
        batch.failed = later.failed = reason
        for move in (*void, *later.claims.moves):
            self.moving.finished(move)
        self.memory.forget()

    async def shared(self) -> Sharing:
        """Knows the ids that very many devices shared on one day, whichever engine has seen it."""
        if not self._cached:
            self._sharing.start(await self._identities.shared())
        return self._sharing

    # --- moves and what is forgotten --------------------------------------------------------------------

    def next_move(self, key: IdKey) -> Move | None:
        """The oldest stored move of an id that the shards have not followed yet."""
        move = self.moving.oldest(key)
        return move if move is not None and move.generation <= self._stored_generation else None

    async def moved(self, move: Move) -> None:
        """The shards have followed a move. Durable on return. Raises StoreUnavailable."""
        await self._identities.moved(move)
        self.moving.finished(move)

    async def unsettled(self, uuids: Collection[str]) -> bool:
        """Whether an id is on its way from or to one of these devices. Raises StoreUnavailable."""
        if self.moving.touches(uuids):
            return True
        return not self._cached and bool(await self._identities.unsettled(uuids))

    async def forget(
        self,
        requests: Finishing,
        ended: Mapping[int, bytes],
        uuids: Collection[str],
        asked: Collection[IdKey],
        now: int,
    ) -> bool:
        """Let the directory finish privacy requests, by which it forgets devices and ids, while no link is being
        stored; then the memory forgets those ids, and those that were `asked` for. An id that is yet to be stored
        stays. False, and nothing has happened, where an id of the devices is on its way. Raises StoreUnavailable.
        """
        async with self._lock:
            await self._store_late()
            forgotten = await requests.finish(ended, uuids, asked, now)
            if forgotten is None:
                return False
            unstored = {key for claims in self.unstored() for key in claims.owners}
            for key in {*forgotten, *asked} - unstored:
                self.memory.owners.pop(key, None)
                self.moving.forget(key)
            self.memory.forget(ids=False)
        return True
