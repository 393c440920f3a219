"""A shard that this worker owns: it takes what the log brings, and is asked by every node."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import msgspec

from arke.background import Background
from arke.errors import ArkeError, Fenced, LogGap, ShardDown, ShardMoved, StoreUnavailable, Unavailable
from arke.log import get_logger
from arke.shard.feed import Answers, Feed
from arke.shard.protocol import AskProfile, AskSeen, Drain, RunBatch, ShardStatus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from arke.delivery.lease import Lease
    from arke.shard.commands import Result
    from arke.shard.protocol import Question
    from arke.shard.shard import Shard
    from arke.transport.ports import ShardStream

A = TypeVar("A")

RENEWED_EVERY_S: Final = 1.0
CAUGHT_UP_WITHIN_S: Final = 30.0
_LOOK_AGAIN_S: Final = 0.02
READ_AGAIN_S: Final = 0.5

log = get_logger("worker")


class FedShard:
    """Answers questions as `ShardPort.call` does. `start` once its store is taken, `stop` when it is to go
    elsewhere, `drop` when it has.
    """

    def __init__(
        self,
        number: int,
        shard: Shard,
        stream: ShardStream,
        lease: Lease,
        renew: Callable[[], Awaitable[None]],
        gone: Callable[[int], None],
    ) -> None:
        """`renew` proves to the store that the shard is still ours. `gone` is called, once, when it is not, or the
        shard broke.
        """
        self.number = number
        self.shard = shard
        self._stream = stream
        self.lease = lease
        self._renew = renew
        self._gone = gone
        self._answers = Answers(shard.groups.recorded)
        self._room = asyncio.Event()
        self._feed = Feed(f"{number}", shard, self._answers, self._room.set)
        self._reading = Background()
        self._renewing = Background()
        self._running: asyncio.Task[None] | None = None
        self._stopped: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._closed = False
        self._gap = False
        self._held = False
        self._unproved_by: str | None = None
        """The code of what kept the last proof from being made."""

    def start(self) -> None:
        """Take what the log brings, from where the store has it."""
        self._running = asyncio.create_task(self._fed(), name=f"feed-{self.number}")
        self._reading.spawn(self._read(), f"read-{self.number}")
        self._reading.spawn(self._watched(), f"watch-{self.number}")
        self._renewing.spawn(self._renewed(), f"renew-{self.number}")

    @property
    def behind(self) -> int:
        """How many messages of the log are not taken."""
        return max(0, self._stream.end - self.shard.taken)

    @property
    def stuck(self) -> bool:
        """Whether it takes nothing any more: see LogGap."""
        return self._gap

    @property
    def catalog(self) -> int:
        """The version of the catalog that it goes by."""
        return self.shard.runner.ruling.version

    # --- the log ----------------------------------------------------------------------------------------

    async def _fed(self) -> None:
        try:
            await self._feed.run()
        except Fenced:
            self.fenced()

    async def _read(self) -> None:
        while not self._closed:
            try:
                messages = await self._stream.read()
            except LogGap as error:
                await self._missed(error)
                return
            except StoreUnavailable as error:
                log.error("log_not_read", shard=self.number, code=error.code, message=str(error))
                await asyncio.sleep(READ_AGAIN_S)
                continue
            if not messages:
                return
            self._feed.offer(messages)
            while self._feed.full:
                self._room.clear()
                await self._room.wait()

    async def _missed(self, gap: LogGap) -> None:
        """Messages are gone; also those that another owner has taken meanwhile, of who was asleep."""
        try:
            await self._renew()
        except Fenced:
            self.fenced()
        except Exception as error:  # noqa: BLE001 - nobody says that it is another's
            self._not_proved(error)
        if not self._closed:
            self._gap = True
            log.error("log_gap", shard=self.number, message=str(gap))

    async def _renewed(self) -> None:
        """At the same moments as all other shards of the process, so that the store is asked for all at once."""
        while True:
            await self._prove()
            pause_s = RENEWED_EVERY_S - asyncio.get_running_loop().time() % RENEWED_EVERY_S
            # A timer may be a little early.
            await asyncio.sleep(pause_s if pause_s > RENEWED_EVERY_S / 2 else pause_s + RENEWED_EVERY_S)

    async def _prove(self) -> None:
        """Have the store say that the shard is ours, and up to where its log was taken."""
        try:
            if not await self.shard.groups.record_taken():
                await self._renew()
        except Fenced:
            self.fenced()
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, the next proof may succeed
            self._not_proved(error)
            return
        self._unproved_by = None
        if not self._closed:
            self._stream.taken(self.shard.groups.recorded)
        held, self._held = self._held, self.lease.holds
        if self._held and not held:
            self.shard.lanes.wake()

    def _not_proved(self, error: Exception) -> None:
        """Said once, and again once it is something else: a store that is away is away for all shards of the
        worker, every second.
        """
        code = error.code if isinstance(error, ArkeError) else type(error).__name__
        if code != self._unproved_by:
            log.error("shard_not_renewed", shard=self.number, code=code)
        self._unproved_by = code

    async def _watched(self) -> None:
        """A shard that broke is as lost as one that another owns."""
        await self.shard.broke.wait()
        self.fenced()

    def fenced(self) -> None:
        """The store says that the shard is another's: nothing leaves any more, also while it is being stopped."""
        self.lease.lose()
        if not self._closed:
            self._closed = True
            self._gone(self.number)

    # --- life -------------------------------------------------------------------------------------------

    async def stop(self) -> None:
        """Let lanes finish what is in flight, and commit it. The shard stays ours until they have."""
        await self._end()

    async def drop(self) -> None:
        """Somebody else owns it: nothing leaves any more, and nothing is written."""
        self.lease.lose()
        await self._renewing.stop()
        await self._end()

    async def _end(self) -> None:
        try:
            await self._close()
            await self.shard.stop()
        finally:
            await self._renewing.stop()
            if not self._stopped.done():
                self._stopped.set_result(None)

    async def _close(self) -> None:
        self._closed = True
        self._stream.close()
        self._feed.close()
        self._room.set()
        await self._reading.stop()
        if self._running is not None:
            await asyncio.gather(self._running, return_exceptions=True)
        with contextlib.suppress(Unavailable):
            await self.shard.groups.record_taken()
        self._answers.close()

    # --- questions --------------------------------------------------------------------------------------

    async def call(self, question: Question[A]) -> A:
        """See `ShardPort`. What is asked to be told or waited for is asked behind all that the log has by now."""
        if self._closed:
            raise self._moved()
        asking = asyncio.ensure_future(self._answer(question))
        either: set[asyncio.Future[Any]] = {asking, self._stopped}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():  # nobody is left who would answer
                raise self._moved()
            return asking.result()
        finally:
            asking.cancel()

    def _moved(self) -> ShardMoved:
        return ShardMoved(f"shard {self.number} is on its way to another worker")

    async def _answer(self, question: Question[A]) -> A:
        if isinstance(question, AskSeen):
            seen: Any = await self._seen(question)
            return cast("A", seen)
        if isinstance(question, Drain | RunBatch):
            patience_s = question.timeout_s if isinstance(question, Drain) else CAUGHT_UP_WITHIN_S
            await self._caught_up(patience_s)
        elif isinstance(question, AskProfile) and question.behind_log:
            await self._whole()
        answer: Any = await self.shard.call(question)
        if (self._gap or self._feed.held) and isinstance(answer, ShardStatus):
            answer = msgspec.structs.replace(answer, ready=False)
        return cast("A", answer)

    async def _seen(self, asked: AskSeen) -> dict[str, Result]:
        found = await self._answers.of(asked.position, asked.wait_s) or {}
        return {uuid: result for uuid, result in found.items() if uuid in asked.uuids}

    async def _whole(self) -> None:
        """Raises StoreUnavailable where the log has more than the shard."""
        end = self._stream.end
        await self._caught_up(CAUGHT_UP_WITHIN_S)
        if self.shard.taken < end:
            behind = f"shard {self.number} is {end - self.shard.taken} messages behind its log"
            raise StoreUnavailable(f"{behind}: not all is known of the device, ask again")

    async def _caught_up(self, timeout_s: float) -> None:
        end, until = self._stream.end, asyncio.get_running_loop().time() + timeout_s
        while self.shard.taken < end and asyncio.get_running_loop().time() < until:
            if self._closed:
                raise ShardDown(f"shard {self.number} went to another worker meanwhile")
            await asyncio.sleep(_LOOK_AGAIN_S)
