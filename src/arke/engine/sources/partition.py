"""One partition of a source: its messages are taken in order, and how far is noted, so that each counts once.

What is decided of a batch is noted before anything of it is appended, together with how far the one before came:
both under the partition's epoch, so that whoever lost the partition appends nothing. What a reader leaves half done
the next one does again, under the same decisions and the same event ids, and the shards know what has counted.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from operator import itemgetter
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from arke.background import POSTPONED, Pause, retry
from arke.defects import HELD, INTERNAL, MAX_DEFECTS, Defects
from arke.engine.sources.batch import Batch
from arke.engine.sources.claims import Claim, Claiming, Place
from arke.errors import (
    ArkeError,
    EventError,
    Fenced,
    LogGap,
    StoreUnavailable,
    Unavailable,
    codes_of,
)
from arke.intake.ndjson import left_out, refusal
from arke.intake.topic_messages import read_event
from arke.log import Throttled, get_logger
from arke.storage.ports.sources import CLAIMS_KEPT_S, NO_TOPIC_ID, REFUSED_KEPT, Progress, RefusedEvent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.clock import Clock
    from arke.domain.event import Accepted, IncomingEvent
    from arke.engine.sources.batch import Found
    from arke.engine.sources.ports import Bounds, DecidedIngest, MessageStream, Topic
    from arke.intake.topic_messages import Format, TopicMessage
    from arke.storage.ports.sources import PartitionKey, SourceStore, Taken

BATCH_EVENTS: Final = 500
"""Events that are appended together; their messages are noted together."""
PROVED_FOR_S: Final = 1.0
"""Nothing is decided unless the store has said within this time that the partition is ours."""
PAUSE: Final = Pause(0.1, 2.0)
"""Before what could not be stored is tried again."""
HELD_S: Final = 2.0
"""Before a held partition is tried again: another catalog may do."""
_AGAIN: Final = codes_of(POSTPONED)
_SEPARATOR: Final = "\x1f"
"""No sender's event id holds a control character: so none is ever taken for one that is made of a place."""

log = get_logger("source")


class Lost(Exception):
    """The partition has another reader."""


class _Finishing(Exception):
    """There is nothing to begin with any more."""


class _Held(Exception):
    """The engine fails on whatever comes."""


class Reading(NamedTuple):
    """What the partitions of a source share. `reader` is the node's name; a partition that was never read begins at
    its end if `latest`; `turns` bounds how many batches of this node are under way.
    """

    topic: Topic
    store: SourceStore
    ingest: DecidedIngest
    format: Format
    clock: Clock
    turns: asyncio.Semaphore
    reader: str
    latest: bool = False


class PartitionReader:
    """Reads from `run` until `finish`, or until another reader has the partition; `leave` follows, however `run`
    has ended.
    """

    def __init__(self, key: PartitionKey, reading: Reading) -> None:
        self.key = key
        self.progress = Progress()
        self.problem = ""
        """Why nothing moves on, while nothing does."""
        self._with = reading
        self._epoch = 0
        self._taking: asyncio.Future[Taken] | None = None
        """Goes on where whoever waits for it is cancelled: the store may give us the partition all the same."""
        self._proved_at = float("-inf")
        self._claim = Claim()
        self._stored_ahead: frozenset[Place] = frozenset()
        """What is stored of the batch that is held, from `progress` on. It is not sent again: a shard knows for a
        day what has counted, and a partition may be held for longer.
        """
        self._refused: list[RefusedEvent] = []
        """The newest that are not noted yet."""
        self._say_refused = Throttled(log, "source_refused", reading.clock)
        self._defects = Defects("source", "source_event_failed", reading.clock)
        self._read_in_a_row = self._taken_in_a_row = self._stored_in_a_row = 0
        """How many events in a row met a defect, up to what is just read, and up to what is taken; as they were to
        be stored: up to what is taken.
        """
        self._stream: MessageStream | None = None
        self._finish = asyncio.Event()

    @property
    def lag(self) -> int:
        """Offsets that are not taken, as far as is known."""
        end = self._stream.end if self._stream is not None else self.progress.end
        return max(0, end - (self.progress.next or 0))

    async def run(self) -> None:
        """Take the partition, and read it. In the end all that was taken is noted, so that the next reader does
        nothing again. Raises Lost.
        """
        with suppress(_Finishing):
            await self._take_over()
            while not self.finishing:
                await self._read_on()
        if self._stream is not None:
            await self._kept()

    async def _read_on(self) -> None:
        self._stream = self._with.topic.open(self.key.number, self.progress.next or 0)
        try:
            await self._read(self._stream)
        except LogGap as gap:
            self.problem = str(gap)
            await self._go_on_from(await self._bounds())
            self.problem = ""
        except _Held as held:
            if self.problem != str(held):
                self.problem = str(held)
                log.error("source_held", **self._named(), offset=self.progress.next)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._finish.wait(), HELD_S)
        except Unavailable as error:
            self.problem = str(error)
            await asyncio.sleep(PAUSE.first_s)

    @property
    def finishing(self) -> bool:
        return self._finish.is_set()

    def finish(self) -> None:
        """Let `run` end with the batch that is under way."""
        self._finish.set()
        if self._stream is not None:
            self._stream.close()

    async def leave(self) -> None:
        """Nobody reads the partition any more, where it was ours; as long as it takes."""
        if self._taking is None:
            return
        (taken,) = await asyncio.gather(self._taking, return_exceptions=True)
        if not isinstance(taken, BaseException):
            epoch, store = taken.epoch, self._with.store
            await retry(lambda: store.release(self.key, epoch), PAUSE, log=log, event="source_not_released")

    # --- where to begin ---------------------------------------------------------------------------------

    async def _take_over(self) -> None:
        now = int(self._with.clock.now())
        taken = await retry(lambda: self._taken(now), PAUSE, log=log, event="source_not_taken")
        self._epoch, self.progress = taken.epoch, taken.progress
        if self.progress.topic_id == NO_TOPIC_ID:
            self.progress = msgspec.structs.replace(self.progress, topic_id="")
        if taken.claim and now - taken.claimed_at < CLAIMS_KEPT_S:
            self._claim = Claim(taken.claim, taken.claimed_at)
        elif taken.claim:
            log.error("source_repeats", **self._named(), offset=taken.progress.next)
        await self._go_on_from(await self._bounds())
        log.info("source_taken", **self._named(), offset=self.progress.next, under_way=len(self._claim))

    async def _taken(self, now: int) -> Taken:
        if self.finishing:
            raise _Finishing
        self._taking = asyncio.ensure_future(self._with.store.take(self.key, self._with.reader, now))
        return await asyncio.shield(self._taking)

    async def _bounds(self) -> Bounds:
        """Raises _Finishing: brokers may be away for long, and whoever asks them may wait for us to finish."""
        before = self.problem
        asking = asyncio.ensure_future(retry(self._ask_bounds, PAUSE, log=log, event="source_away"))
        finishing = asyncio.ensure_future(self._finish.wait())
        try:
            await asyncio.wait({asking, finishing}, return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                raise _Finishing
            found = asking.result()
        finally:
            asking.cancel()
            finishing.cancel()
        self.problem = before
        return found

    async def _ask_bounds(self) -> Bounds:
        """Whether a topic is still the one that was read only its id tells, where it had one: without an answer
        nothing is decided. Raises Unavailable.
        """
        try:
            found = await self._with.topic.bounds(self.key.number)
            if self.progress.topic_id and not found.topic_id:
                raise StoreUnavailable(
                    f"kafka: {self.key.topic}: brokers do not say whether it was made anew"
                )
        except Unavailable as error:
            self.problem = str(error)
            raise
        return found

    async def _go_on_from(self, found: Bounds) -> None:
        """Where the topic does not have the offset that was noted, say so, and go on where it can be gone on."""
        known, noted = self.progress, self.progress.next
        topic_id = found.topic_id or known.topic_id
        if noted is None:
            known = msgspec.structs.replace(known, next=found.high if self._with.latest else found.low)
        elif known.topic_id not in ("", topic_id) or (noted > found.high and not found.topic_id):
            log.error("source_made_anew", **self._named(), noted=noted, begins=found.low)
            known = msgspec.structs.replace(known, next=found.low, life=known.life + 1)
            self._claim, self._stored_ahead = Claim(), frozenset()
        elif noted > found.high:
            log.error("source_cut_off", **self._named(), noted=noted, ends=found.high)
            known = msgspec.structs.replace(known, next=found.high, life=known.life + 1)
            # Other messages come at those offsets.
            self._claim, self._stored_ahead = Claim(), frozenset()
        elif noted < found.low:
            log.error("source_skipped", **self._named(), noted=noted, begins=found.low)
            known = msgspec.structs.replace(known, next=found.low, skipped=known.skipped + found.low - noted)
        self.progress = msgspec.structs.replace(known, end=max(found.high, 0), topic_id=topic_id)
        await self._kept()

    # --- reading ----------------------------------------------------------------------------------------

    async def _read(self, stream: MessageStream) -> None:
        """Others get their turn after each batch, also where nothing of it is to be stored. Raises _Held."""
        self._read_in_a_row = self._taken_in_a_row
        while messages := await stream.read():
            batch = Batch()
            for message in messages:
                await batch.add(message, self._event_of)
                if batch.size < BATCH_EVENTS and message is not messages[-1]:
                    continue
                if self.finishing:
                    return
                await self._take(batch, stream)
                self._taken_in_a_row = self._read_in_a_row
                batch = Batch()
                await asyncio.sleep(0)

    def _event_of(self, place: Place, message: TopicMessage, body: bytes) -> IncomingEvent | EventError:
        """The event as its message has it, named by its place where it has no name of its own. Raises _Held."""
        now = int(self._with.clock.now())
        try:
            event = read_event(self._with.format, body, message.at, now, self._with.ingest)
        except EventError as problem:
            self._read_in_a_row = 0
            self._with.ingest.figures.ids_dropped.update(problem.id_codes)
            return EventError(problem.reason, problem.message)  # the other one holds on to all that was read
        except Exception as defect:  # noqa: BLE001 - nobody sends it differently: it would be read for ever
            refused = self._defects.met(defect, **self._named(), **place._asdict())
            self._read_in_a_row += 1
            if self._read_in_a_row > MAX_DEFECTS:
                raise _Held(HELD) from None
            return refused
        self._read_in_a_row = 0
        if event.event_id is not None:
            return event
        where = (self.key.topic, self.key.number, self.progress.life, *place)
        return msgspec.structs.replace(event, event_id=_SEPARATOR + _SEPARATOR.join(map(str, where)))

    async def _take(self, batch: Batch, stream: MessageStream) -> None:
        """Raises _Held: then what is before the events that met a defect is taken, and what is stored of those
        after them is not sent again.
        """
        settled = list[tuple[Place, EventError | None]]()
        in_a_row = before = self._stored_in_a_row
        first: Place | None = None
        for begin in range(0, len(batch.found), BATCH_EVENTS):
            some = sorted(await self._stored(batch.found[begin : begin + BATCH_EVENTS]), key=itemgetter(0))
            settled += some
            for place, problem in some:
                if problem is None or problem.reason != INTERNAL:
                    in_a_row = 0
                    continue
                in_a_row += 1
                if first is None or in_a_row == 1:
                    first, before = place, in_a_row - 1
                if in_a_row > MAX_DEFECTS:
                    self._stored_in_a_row, self._taken_in_a_row = before, 0  # up to the first, which was read
                    await self._taken_before(first.offset, batch, settled, stream)
                    raise _Held(HELD)
        self._stored_in_a_row = in_a_row
        self._note(batch.next, batch, settled, stream)
        self.problem = ""
        if self.finishing or not stream.waiting:
            await self._kept()

    async def _taken_before(
        self, offset: int, batch: Batch, settled: list[tuple[Place, EventError | None]], stream: MessageStream
    ) -> None:
        """Of a batch that is held, no more than this."""
        self._stored_ahead |= {place for place, problem in settled if problem is None}
        if offset > (self.progress.next or 0):
            self._note(offset, batch, settled, stream)
            await self._kept()

    def _note(
        self, next_: int, batch: Batch, settled: list[tuple[Place, EventError | None]], stream: MessageStream
    ) -> None:
        """All before this offset is taken."""
        refused: list[RefusedEvent] = []
        listed: list[RefusedEvent] = []
        events = 0
        for place, problem in (*batch.refused, *settled):
            if place.offset >= next_:
                continue
            if problem is None:
                events += 1
                continue
            refused.append(one := self._refusal(place, problem))
            if problem.reason != "opted_out":  # there is nothing wrong with such an event
                listed.append(one)
        for one in refused:
            self._with.ingest.figures.refused(one.code)
        for one in listed:
            self._say_refused(**self._named(), offset=one.offset, item=one.item, code=one.code)
        self._refused = [*self._refused, *listed][-REFUSED_KEPT:]
        known = self.progress
        self.progress = msgspec.structs.replace(
            known,
            next=next_,
            end=max(known.end, stream.end, next_),
            events=known.events + events,
            refused=known.refused + len(refused),
        )
        self._claim.drop_before(next_)
        if self._stored_ahead:
            self._stored_ahead = frozenset(place for place in self._stored_ahead if place.offset >= next_)

    async def _stored(self, found: Sequence[Found]) -> list[tuple[Place, EventError | None]]:
        """Each with what is wrong with it, once all that can be stored is."""
        settled: list[tuple[Place, EventError | None]] = []
        if self._stored_ahead:
            settled += [(one.place, None) for one in found if one.place in self._stored_ahead]
            found = [one for one in found if one.place not in self._stored_ahead]
        pauses = iter(PAUSE)
        while found:
            try:
                answers = await self._ingested(found)
            except Lost:
                raise
            except ArkeError as error:
                self.problem = str(error)
                log.warning("source_postponed", **self._named(), code=error.code)
            else:
                again = []
                for one, answer in zip(found, answers, strict=True):
                    problem = refusal(answer)
                    if problem is not None and problem.reason in _AGAIN:
                        self.problem = problem.message
                        again.append(one)
                    else:
                        self._with.ingest.figures.left_out(left_out(answer))
                        settled.append((one.place, problem))
                found = again
            if found:
                await asyncio.sleep(next(pauses))
        return settled

    async def _ingested(self, found: Sequence[Found]) -> list[Accepted | EventError]:
        """Raises Lost, Overloaded, Unavailable."""
        ingest = self._with.ingest
        async with self._with.turns:
            await self._prove()
            with await ingest.enter(len(found)) as place:
                return await ingest.ingest(
                    [one.event for one in found],
                    place,
                    evaluated=False,
                    decisions=Claiming(
                        self._claim,
                        [one.place for one in found],
                        int(self._with.clock.now()),
                        self._keep,
                    ),
                )

    def _refusal(self, place: Place, problem: EventError) -> RefusedEvent:
        now = int(self._with.clock.now())
        return RefusedEvent(*self.key, *place, now, problem.reason, problem.message)

    # --- the store --------------------------------------------------------------------------------------

    async def _prove(self) -> None:
        """Whoever was asleep for long asks first, before ids follow events that others have taken since."""
        now = asyncio.get_running_loop().time()
        if now - self._proved_at >= PROVED_FOR_S:
            if not await self._with.store.holds(self.key, self._epoch):
                raise Lost
            self._proved_at = now

    async def _keep(self) -> None:
        """Note how far it is read, and what is decided of what follows. Raises Lost, StoreUnavailable."""
        asked_at = asyncio.get_running_loop().time()
        try:
            await self._with.store.advance(
                self.key,
                self._epoch,
                self.progress,
                int(self._with.clock.now()),
                claim=self._claim.encoded() if len(self._claim) else b"",
                claimed_at=self._claim.since,
                refused=self._refused,
            )
        except Fenced:
            raise Lost from None
        self._proved_at = asked_at
        self._refused = []

    async def _kept(self) -> None:
        """The same, as long as it takes."""
        await retry(self._keep, PAUSE, log=log, event="source_not_noted")

    def _named(self) -> dict[str, object]:
        return {"topic": self.key.topic, "partition": self.key.number}
