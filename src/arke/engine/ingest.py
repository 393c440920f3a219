"""The path of an event: its device is resolved, its shard stores it, and the answer says that it is durable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from arke.background import all_of
from arke.defects import Defects
from arke.domain.event import NOTHING_WITHHELD, Accepted, Event, LeftOut
from arke.domain.event_time import MAX_AHEAD_S
from arke.domain.homes import is_home
from arke.engine.identity import Away, Near
from arke.engine.sightings import Sightings
from arke.engine.together import Answers, Together
from arke.errors import ArkeError, EventError, InvalidInput, Overloaded, StoreUnavailable, Unavailable
from arke.intake.figures import IntakeFigures
from arke.intake.room import Room
from arke.shard.commands import Failed, Seen, Sight, Taken

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from arke.clock import Clock
    from arke.domain.event import IncomingEvent, Withheld
    from arke.domain.ids import IdRules
    from arke.engine.homes import Homes
    from arke.engine.identity import Identity, Resolved
    from arke.engine.links import Links
    from arke.engine.live_catalog import LiveCatalog
    from arke.engine.shards import Shards
    from arke.intake.room import Reservation


class Decisions(Protocol):
    """What is decided of the events of one call, by their numbers: whose each is, under which mappings. Who reads a
    log keeps it before anything is appended, so that whatever is read again is done as it was begun, whoever its
    ids belong to by then.
    """

    def known(self, number: int) -> Resolved | None:
        """What was decided of an event that was begun before."""
        ...

    async def keep(self, decided: Mapping[int, Resolved]) -> None:
        """Durable on return; what it raises ends the call, and nothing was appended."""
        ...


FEW = 8
"""Events of a call that go with those of others."""
TOGETHER = 64
"""Events of a call whose new devices go to one shard; of more each shard gets enough for a group."""
SHARDS_IN_TURN = 8
"""With more of them it takes too many tries to find a device of one."""
LIVE_FOR_S = 2.0
"""How long after an event the next one is expected."""


class Ingestion:
    """Implements `arke.intake.ports.Ingest`. `room` bounds the events in flight; `figures` count refusals."""

    def __init__(
        self,
        catalog: LiveCatalog,
        identity: Identity,
        links: Links,
        homes: Homes,
        shards: Shards,
        clock: Clock,
        reaches: Callable[[], bool] = lambda: True,
    ) -> None:
        """`reaches`: whether what is outside of this process answers, as far as somebody else looks after it."""
        self._reaches = reaches
        self._catalog = catalog
        self._homes = homes
        self._identity = identity
        self._links = links
        self._shards = shards
        self._clock = clock
        self._taken_at = 0.0
        self._turn = 0
        self._together = Together(self._ingest, len(shards))
        self._defects = Defects("ingestion", "event_failed", clock)
        self.room = Room()
        self.figures = IntakeFigures()

    @property
    def ids(self) -> IdRules:
        return self._catalog.ids

    def only_by_token(self, dpid: int) -> bool:
        return self._catalog.only_by_token(dpid)

    def ready(self) -> bool:
        return self._shards.ready() and self._links.ready() and self._reaches()

    @property
    def live(self) -> bool:
        """Whether events are coming in: work that can wait then keeps out of their way."""
        return self._clock.now() - self._taken_at < LIVE_FOR_S

    @property
    def refused(self) -> int:
        """Events that were not taken since the start, whatever the reason."""
        return self.room.refused + self.figures.events_refused.total()

    async def enter(self, events: int, *, resuming: bool = False) -> Reservation:
        self._refuse_if_all_are_away()
        return await self.room.enter(events, resuming=resuming)

    def _refuse_if_all_are_away(self) -> None:
        """Before an id is looked at: what is refused leaves nothing behind. Raises StoreUnavailable."""
        if len(self._shards.away) == len(self._shards):
            raise StoreUnavailable("no shard can be reached: see /readyz")

    async def ingest(
        self,
        events: Sequence[IncomingEvent],
        place: Reservation | None = None,
        *,
        evaluated: bool = True,
        decisions: Decisions | None = None,
    ) -> list[Accepted | EventError]:
        """See `Ingest`. `decisions` keeps what is decided of events, and knows it of those that are done again."""
        if place is None:
            with await self.enter(len(events)):
                return await self._take(events, evaluated=evaluated, decisions=decisions)
        return await self._take(events, evaluated=evaluated, decisions=decisions)

    async def _take(
        self, events: Sequence[IncomingEvent], *, evaluated: bool, decisions: Decisions | None
    ) -> list[Accepted | EventError]:
        if decisions is None and self._goes_with_others(events):
            return await self._together.taken(events, evaluated=evaluated)
        answers = Answers(len(events))
        await self._ingest(events, answers, evaluated=evaluated, decisions=decisions)
        return answers.of_all()

    def _goes_with_others(self, events: Sequence[IncomingEvent]) -> bool:
        """Whether the events of a call are few, and none of them asks anything of a shard before it is on its
        way: nobody else's event is to wait for that. Where other engines decide about the same ids, what they
        decided first would have to be waited for as well; there the directory and the log gather what comes at
        a time.
        """
        if len(events) > FEW or not self._identity.suppressed.kept:
            return False
        is_persons = self._identity.is_cross_device
        return not any(is_persons(named.dpid) for event in events for named in event.ids)

    async def _ingest(
        self,
        events: Sequence[IncomingEvent],
        answers: Answers,
        *,
        evaluated: bool,
        decisions: Decisions | None = None,
    ) -> None:
        self._refuse_if_all_are_away()
        self._taken_at = self._clock.now()
        now = int(self._taken_at)
        found = answers.found
        for number, incoming in enumerate(events):
            try:
                found[number] = self._problem(incoming, now)
            except Exception as defect:  # noqa: BLE001 - whatever it is, it costs this event alone
                found[number] = self._defects.met(defect)
        sightings = Sightings(self._shards, self._identity, lists=evaluated)
        on_its_way = _OnItsWay(sightings, answers, evaluated=evaluated)
        sound = [number for number, problem in enumerate(found) if problem is None]
        named = events if len(sound) == len(events) else [events[number] for number in sound]
        gone = frozenset(self._shards.away)
        away = Away(self._shards, gone) if gone else None
        if decisions is None:
            near = self._near(len(named), gone)
            decided = await self._resolved(named, now, away, near, promised=True)
        else:
            decided = await self._decided(sound, named, now, away, decisions)
        for number, resolved in zip(sound, decided, strict=True):
            incoming = events[number]
            if isinstance(resolved, EventError):
                found[number] = resolved
                continue
            if (answer := _not_taken(resolved)) is not None:
                found[number] = answer
                continue
            try:
                self._see(number, incoming, resolved, now, on_its_way)
            except Exception as defect:  # noqa: BLE001 - as above
                found[number] = self._defects.met(defect)
        if sightings.by_shard:
            await self._dispatch(on_its_way)

    def _see(
        self, number: int, incoming: IncomingEvent, resolved: Resolved, now: int, call: _OnItsWay
    ) -> None:
        """What the shards are to be told of an event, and its sender besides."""
        withheld = resolved.withheld
        if forbidden := self._not_declarable(incoming):
            withheld = msgspec.structs.replace(withheld, traits=forbidden)
        if incoming.public and (resolved.by_id or withheld is not NOTHING_WITHHELD):
            call.reserved[number] = resolved.by_id, withheld
        if incoming.left_out or incoming.traits or incoming.memberships:
            incoming = self._known_parts(incoming)
            if incoming.left_out:
                call.left_out[number] = incoming.left_out
        call.sightings.add(number, self._event(incoming, resolved, now, forbidden), resolved)

    async def _resolved(
        self,
        named: Sequence[IncomingEvent],
        now: int,
        away: Away | None,
        near: Near | None = None,
        *,
        promised: bool = False,
    ) -> list[Resolved | EventError]:
        """Whose each event is, durably. One that meets a defect costs no other: they are halved until it is alone.
        What is resolved again goes to the same device; by then its ids are known, and who has joined a person
        hears from the home a little later, as where the home is away. Raises StoreUnavailable.
        """
        try:
            return [*await self._links.resolve(named, now, away=away, near=near, promised=promised)]
        except (ArkeError, MemoryError):
            raise
        except Exception as defect:
            if len(named) == 1:
                return [self._defects.met(defect)]
            if not named:
                raise
        half = len(named) // 2
        return [
            one
            for part in (named[:half], named[half:])
            for one in await self._resolved(part, now, away, near, promised=promised)
        ]

    def _near(self, events: int, gone: frozenset[int]) -> Near | None:
        """Where new devices of so few events are made: in one shard, whose group they are then, and in the next one
        those of the next call. Half a group costs a shard nearly as much as a whole one.
        """
        there = [shard for shard in range(len(self._shards)) if shard not in gone]
        if events > TOGETHER or not 1 < len(there) <= SHARDS_IN_TURN:
            return None
        self._turn += 1
        return Near(self._shards, there[self._turn % len(there)])

    async def _decided(
        self,
        sound: Sequence[int],
        named: Sequence[IncomingEvent],
        now: int,
        away: Away | None,
        decisions: Decisions,
    ) -> list[Resolved | EventError]:
        """What was decided of these before, and what is decided now of the others, once it is kept. Of who has
        opted out meanwhile nothing is taken.
        """
        known = {number: decided for number in sound if (decided := decisions.known(number)) is not None}
        fresh = [(number, one) for number, one in zip(sound, named, strict=True) if number not in known]
        answers = await self._resolved([one for _, one in fresh], now, away)
        decided_now = dict(zip((number for number, _ in fresh), answers, strict=True))
        await decisions.keep(
            {
                number: one
                for number, one in decided_now.items()
                if not (isinstance(one, EventError) or one.away or one.suppressed)
            }
        )
        if known:
            listed = await self._identity.suppressed.among(
                (one.uuid for one in known.values()),
                ((declared.dpid, declared.id) for one in known.values() for declared in one.ids),
            )
            for number, one in known.items():
                if listed.any_of(one.uuid, one.ids):
                    known[number] = msgspec.structs.replace(one, suppressed=True)
        return [known[number] if number in known else decided_now[number] for number in sound]

    def _not_declarable(self, incoming: IncomingEvent) -> tuple[int, ...]:
        """The traits that it declares at the public door and not just anybody may."""
        if not incoming.public:
            return ()
        return tuple(trait for trait in incoming.traits if trait not in self._catalog.declarable)

    def _problem(self, incoming: IncomingEvent, now: int) -> EventError | None:
        for declared in incoming.ids:
            if not self._catalog.ids.known(declared.dpid):
                return EventError("unknown_data_source", f"no data source {declared.dpid} in the catalog")
        if incoming.memberships and not (incoming.signals or incoming.traits):
            wrong = [self._membership_problem(segment) for segment in incoming.memberships]
            if None not in wrong:  # nothing else is said, so it is worth sending again
                return wrong[0]
        if incoming.ts is not None and incoming.ts > now + MAX_AHEAD_S:
            return EventError("bad_ts", "ts lies more than 5 minutes ahead")
        return None

    def _membership_problem(self, segment_id: int) -> EventError | None:
        """Why nobody may declare who is in this segment."""
        external = self._catalog.external.get(segment_id)
        if external is None:
            return EventError("unknown_segment", f"no segment {segment_id} in the catalog")
        if not external:
            return EventError(
                "not_external", f"segment {segment_id} has a rule: its membership is computed, not told"
            )
        return None

    def _known_parts(self, incoming: IncomingEvent) -> IncomingEvent:
        """The event without traits and memberships that cannot be declared, and with a word about each of them.
        Of those that a public sender may not declare the door has one of its own.
        """
        wrong: list[LeftOut] = []
        if not incoming.public:
            known = self._catalog.traits
            wrong += [
                LeftOut("trait", "unknown_trait", f"no trait {trait} in the catalog")
                for trait in dict.fromkeys(incoming.traits)
                if trait not in known
            ]
        kept = incoming.memberships
        for segment_id in incoming.memberships:
            problem = self._membership_problem(segment_id)
            if problem is not None:
                wrong.append(LeftOut("membership", problem.reason, problem.message))
                kept = {number: status for number, status in kept.items() if number != segment_id}
        if not wrong:
            return incoming
        return msgspec.structs.replace(incoming, memberships=kept, left_out=(*incoming.left_out, *wrong))

    def _event(self, incoming: IncomingEvent, resolved: Resolved, now: int, left_out: Sequence[int]) -> Event:
        return Event(
            uuid=resolved.uuid,
            at=now,
            ts=min(now, incoming.ts) if incoming.ts is not None else now,
            ids=resolved.ids,
            signals=incoming.signals,
            traits=tuple(trait for trait in incoming.traits if trait not in left_out)
            if left_out
            else incoming.traits,
            memberships=incoming.memberships,
            region=incoming.region,
            trait_source=incoming.trait_source,
            event_id=incoming.event_id,
        )

    async def _dispatch(self, call: _OnItsWay) -> None:
        """Make the events durable, all shards at once; then what was said of people goes to their other devices."""
        sightings, answers = call.sightings, call.answers
        if sightings.homes:
            await self._homes.move_in({one.key for homes in sightings.homes.values() for one in homes})
        if sightings.joined:
            await self._carry(sightings)
        if answered := [number for number, answer in enumerate(answers.found) if answer is not None]:
            answers.settle(answered, by_shard=False)
        parts = list(sightings.by_shard.items())
        sightings.by_shard = {}
        if len(parts) == 1:
            await self._store(*parts[0], call)
        else:
            await all_of(*(self._store_one(shard, sights, call) for shard, sights in parts))
        if sightings.homes:
            await self._spread(sightings, answers.found)

    async def _store_one(self, shard: int, sights: list[tuple[int, Sight]], call: _OnItsWay) -> None:
        """One shard's part of a call of several: whose events are there need not wait for the others."""
        await self._store(shard, sights, call)
        if not call.sightings.homes:  # of a person's event there is more to come
            call.answers.settle([number for number, _ in sights])

    async def _store(self, shard: int, sights: list[tuple[int, Sight]], call: _OnItsWay) -> None:
        """Have a shard store what is its own. Raises what nobody foresaw."""
        found, failed = call.answers.found, call.answers.failed
        try:
            results = await self._shards.send(shard, [sight for _, sight in sights], evaluated=call.evaluated)
        except InvalidInput as defect:  # nothing of them is in its log
            if len(sights) == 1:
                found[sights[0][0]] = self._defects.met(defect)
                return
            half = len(sights) // 2
            await self._store(shard, sights[:half], call)
            await self._store(shard, sights[half:], call)
            return
        except (Unavailable, Overloaded) as error:
            # Other shards may have stored theirs: only these are to be sent again.
            for number, _ in sights:
                if found[number] is None or number in failed:
                    failed.setdefault(number, error)
                found[number] = EventError(error.code, f"not stored, send it again: {error.to_strangers}")
            return
        plain = call.is_plain
        for (number, sight), result in zip(sights, results, strict=True):
            answer = _answer(sight, result)
            if (known := found[number]) is not None:
                answer = _of_both(known, answer)
                failed.pop(number, None)
            found[number] = answer if plain else call.completed(number, answer)

    async def _carry(self, sightings: Sightings) -> None:
        """Devices that come to people hear with this very event what their homes hold. If a home is away they hear
        it later, as whoever joins.
        """
        try:
            known = await self._homes.held({key for keys in sightings.joined.values() for key in keys})
        except (Unavailable, Overloaded):
            return
        if known:
            sightings.carry(known)

    async def _spread(self, sightings: Sightings, answers: list[Accepted | EventError | None]) -> None:
        """What was said of people is durable at their homes: bring it to their other devices."""
        stored = {
            number: answer.uuid
            for number in sightings.homes
            if isinstance(answer := answers[number], Accepted) and not answer.opted_out
        }
        try:
            await self._homes.spread(
                (housed.key, uuid, sightings.declared[number])
                for number, uuid in stored.items()
                for housed in sightings.homes[number]
            )
        except (Unavailable, Overloaded) as error:
            for number in stored:
                answers[number] = EventError(error.code, f"not stored, send it again: {error.to_strangers}")


class _OnItsWay:
    """The events of a call that their shards are to store, and what is said of them besides: `reserved` is what is
    withheld from public senders, `left_out` what nothing was made of.
    """

    __slots__ = ("answers", "evaluated", "left_out", "reserved", "sightings")

    def __init__(self, sightings: Sightings, answers: Answers, *, evaluated: bool) -> None:
        self.sightings = sightings
        self.answers = answers
        self.evaluated = evaluated
        self.reserved: dict[int, tuple[bool, Withheld]] = {}
        self.left_out: dict[int, tuple[LeftOut, ...]] = {}

    @property
    def is_plain(self) -> bool:
        """Whether nothing is."""
        return not (self.reserved or self.left_out)

    def completed(self, number: int, answer: Accepted | EventError) -> Accepted | EventError:
        """The answer to an event with what is said besides."""
        if isinstance(answer, EventError):
            return answer
        if (reserved := self.reserved.get(number)) is not None:
            by_id, withheld = reserved
            answer = msgspec.structs.replace(answer, by_id=by_id, withheld=withheld)
        if (parts := self.left_out.get(number)) is not None and not answer.opted_out:
            answer = msgspec.structs.replace(answer, left_out=parts)
        return answer


def _not_taken(resolved: Resolved) -> Accepted | EventError | None:
    """The answer to an event of which nothing is taken."""
    if resolved.suppressed:
        return Accepted(uuid=resolved.uuid, opted_out=True)
    if resolved.away:
        return EventError("shard_down", "not stored, send it again: its shard is away")
    return None


def _of_both(known: Accepted | EventError, other: Accepted | EventError) -> Accepted | EventError:
    """The answer for one event from two: an error counts, and else the device's rather than that of a home."""
    if isinstance(other, EventError):
        return other
    return other if isinstance(known, Accepted) and is_home(known.uuid) else known


def _answer(sight: Sight, result: Seen | Taken | Failed) -> Accepted | EventError:
    match result:
        case Seen():
            return result.accepted
        case Taken():  # its shard died between storing it and saying so, or is not asked
            return Accepted(uuid=sight.event.uuid, evaluated=False)
        case Failed():
            return EventError(result.code, result.message)
