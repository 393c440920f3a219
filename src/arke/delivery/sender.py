"""A lane's sender: the messages in flight, how many there may be, and whether the endpoint takes any."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Protocol

import msgspec

from arke.delivery.channel import Channel, Delivery, Message
from arke.delivery.https.ports import Answer
from arke.errors import ArkeError, InvalidInput, SecretUnresolved
from arke.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.clock import Clock
    from arke.delivery.body import BodyBuilder
    from arke.delivery.channel import Wire
    from arke.delivery.observer import FiguresObserver
    from arke.delivery.window import Key, Part
    from arke.domain.catalog import Destination

THRESHOLD = 5
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0

FIRST_IN_FLIGHT = 8
MOST_IN_FLIGHT = 512

log = get_logger("lane")


class Circuit:
    """An endpoint that fails throughout stops costing messages until it answers again. Times are in seconds of the
    caller's monotonic clock.

    closed --(`THRESHOLD` messages in a row owed)--> open --(pause over)--> half open: one message goes out
      ^                                               ^                         |
      +---------------- acknowledged -----------------|------- owed ------------+
    """

    def __init__(self) -> None:
        self._failures = 0
        self._pause_s = FIRST_PAUSE_S
        self._open_until: float | None = None
        self._probing = False

    @property
    def is_open(self) -> bool:
        return self._open_until is not None

    def allows(self, now: float) -> bool:
        """Whether a message may leave now."""
        return self._open_until is None or (not self._probing and now >= self._open_until)

    def waits_until(self) -> float | None:
        """When the next probe is due; None while closed or while a probe is in flight."""
        return None if self._probing else self._open_until

    def sent(self) -> bool:
        """A message left. True: it is the probe."""
        self._probing = self._open_until is not None
        return self._probing

    def acknowledged(self) -> None:
        self._failures = 0
        self._pause_s = FIRST_PAUSE_S
        self._open_until = None
        self._probing = False

    def failed(self, now: float, *, probe: bool = False) -> None:
        """A message is owed after both attempts. One that left before the circuit opened is no `probe`."""
        self._failures += 1
        if self._open_until is not None:
            if probe:
                self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
                self._open_until = now + self._pause_s
                self._probing = False
        elif self._failures >= THRESHOLD:
            self._open_until = now + self._pause_s


class SenderOwner(Protocol):
    """Hears what becomes of the messages that it gave to a sender."""

    async def delivered(self, parts: list[Part], message: Message, delivery: Delivery) -> None:
        """A message ended. It stays in flight until this returns."""
        ...

    def freed(self) -> None:
        """There is room for another message."""
        ...


class Concurrency:
    """How many messages may be in flight: between 1 and `most`.

    Each acknowledgement adds one while at least half of the limit is in use, so the limit grows by up to half in a
    round trip; a failure halves it. Were it to grow only while all of it is in use, it would grow by one in a round
    trip, since an outcome's commit is part of every round trip.
    """

    def __init__(self, most: int = MOST_IN_FLIGHT) -> None:
        self._most = most
        self.limit = min(FIRST_IN_FLIGHT, most)

    def acknowledged(self, in_flight: int) -> None:
        """A message was acknowledged while `in_flight` were out, itself included."""
        if 2 * in_flight >= self.limit and self.limit < self._most:
            self.limit += 1

    def failed(self) -> None:
        self.limit = max(1, self.limit // 2)


class Sender:
    """Sends one destination's messages concurrently and reports to its `owner` how each ended."""

    def __init__(
        self, wire: Wire, bodies: BodyBuilder, owner: SenderOwner, *, clock: Clock, observer: FiguresObserver
    ) -> None:
        self._wire = wire
        self._bodies = bodies
        self._owner = owner
        self._clock = clock
        self._observer = observer
        self._channel: Channel | None = None
        self.circuit = Circuit()
        self.concurrency = Concurrency()
        self.in_flight: set[asyncio.Task[None]] = set()
        self._of_batch: set[asyncio.Task[None]] = set()

    @property
    def open(self) -> bool:
        """Whether the endpoint is believed to take messages, or it is time to find out."""
        return self.circuit.allows(asyncio.get_running_loop().time())

    @property
    def slots(self) -> int:
        """How many more messages may leave now; one, to find out whether an endpoint that failed is back."""
        if not self.open:
            return 0
        free = self.concurrency.limit - len(self.in_flight)
        return min(1, free) if self.circuit.is_open else free

    def batch_slots(self, *, shared: bool) -> int:
        """How many more messages of a batch may leave now: half of the limit, where real time needs the rest."""
        limit = self.concurrency.limit
        if shared:
            limit = (limit + 1) // 2  # rounded up: half in use is what lets the limit grow
        return min(limit - len(self._of_batch), self.slots)

    def send(self, destination: Destination, key: Key, parts: list[Part], run: int | None = None) -> None:
        """Send a message in a background task. `run` is the number of the batch run that it belongs to."""
        work = self._send(destination, key, parts, run, probe=self.circuit.sent())
        task = asyncio.create_task(work)
        self.in_flight.add(task)
        if run is not None:
            self._of_batch.add(task)
        task.add_done_callback(self._landed)

    async def close(self) -> None:
        """Cancel what no message waits for any more. Safe twice."""
        if self._channel is not None:
            await self._channel.close()

    def _landed(self, task: asyncio.Task[None]) -> None:
        """Only now is there room for another: a pump woken earlier still counted this one as in flight."""
        self.in_flight.discard(task)
        self._of_batch.discard(task)
        self._owner.freed()

    async def _send(
        self, destination: Destination, key: Key, parts: list[Part], run: int | None, *, probe: bool
    ) -> None:
        dpid, kind = key
        at = self._clock.now()
        message = Message(destination, message_id(destination.id, parts, run), kind, b"", at, len(parts))
        try:
            body = self._bodies.build(
                destination, dpid, [part.telling for part in parts], [part.encoded for part in parts], at
            )
            message = msgspec.structs.replace(message, body=body)
            delivery = await self._deliver(message)
        except Exception as error:  # noqa: BLE001 - whatever it is, these devices are owed and the lane goes on
            if len(parts) > 1 and not message.body:
                # One user's data broke the body: the others go without it.
                for part in parts:
                    await self._send(destination, key, [part], run, probe=probe)
                return
            code = error.code if isinstance(error, ArkeError) else "internal"
            log.error("delivery_failed", destination=destination.id, error=type(error).__name__)
            delivery = Delivery(False, code, attempts=0, sent=False)
        if delivery.acknowledged:
            self.concurrency.acknowledged(len(self.in_flight))
            self.circuit.acknowledged()
        else:
            self.concurrency.failed()
            self.circuit.failed(asyncio.get_running_loop().time(), probe=probe)
        done = self._clock.now()
        latencies_s = [done - part.device.accepted for part in parts]
        self._observer.delivered(destination.id, kind, delivery, latencies_s)
        await self._owner.delivered(parts, message, delivery)

    async def _deliver(self, message: Message) -> Delivery:
        channel = self._channel_to(message.destination)
        try:
            fields = channel.sign(message)
        except (SecretUnresolved, InvalidInput) as error:
            unsent = Answer(reason="secret", cause=error.code, detail=str(error))
            channel.refused(message, unsent, [], attempts=0)
            return Delivery(False, error.code, attempts=0, sent=False)
        return await channel.deliver(message, fields)

    def _channel_to(self, destination: Destination) -> Channel:
        """The channel, made anew when an edit of the catalog has changed the destination."""
        if self._channel is None or self._channel.destination is not destination:
            self._channel = Channel(destination, self._wire, self._clock, self._channel)
        return self._channel


def message_id(destination_id: int, parts: Sequence[Part], run: int | None = None) -> str:
    """The id of a message. It depends on what the message says alone, so that a message sent again has the same id.
    `run` is the number of the batch run that it belongs to.
    """
    said = [f"|{part.device.uid}:{part.device.last}:{part.telling.dpid}:{part.telling.id}" for part in parts]
    source = f"{destination_id}" if run is None else f"{destination_id}/{run}"
    return hashlib.blake2b(f"{source}{''.join(said)}".encode(), digest_size=12).hexdigest()
