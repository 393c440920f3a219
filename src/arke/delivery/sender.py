"""A lane's sender: the messages in flight, how many there may be, and whether the endpoint takes any."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Literal, Protocol

from arke.delivery.channel import Channel, Delivery, Message
from arke.delivery.circuit import MOST_IN_FLIGHT, Circuit, Concurrency
from arke.delivery.https.ports import Answer
from arke.delivery.open_device import BATCH, OWED
from arke.delivery.pace import Pace, RetryLine
from arke.errors import ArkeError, InvalidInput, SecretUnresolved
from arke.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.delivery.gate import Gate
    from arke.delivery.https.ports import Answer
    from arke.delivery.lane_parts import LaneParts
    from arke.delivery.open_device import Key, OpenDevice, Part
    from arke.domain.catalog import Destination

TOO_LARGE = "too_large"
"""Why a user is owed whose body alone is larger than `max_bytes_per_request`: nothing was sent."""

LOST = "shard_moved"
"""Why nothing was sent of a message whose shard has another owner by now: that one sends it."""

log = get_logger("lane")


class SenderOwner(Protocol):
    """Hears what becomes of the messages that it gave to a sender."""

    async def delivered(self, parts: list[Part], message: Message, delivery: Delivery) -> None:
        """A message ended. It stays in flight until this returns."""
        ...

    def freed(self) -> None:
        """There is room for another message."""
        ...

    def is_back(self) -> None:
        """The endpoint has acknowledged something after it failed throughout."""
        ...

    def hurried(self, parts: Sequence[Part]) -> bool:
        """Whether somebody waits until one of these is no longer in flight."""
        ...


class Sender:
    """Sends one destination's messages concurrently and reports to its `owner` how each ended."""

    def __init__(self, destination: Destination, parts: LaneParts, owner: SenderOwner) -> None:
        self._wire = wire = parts.wire
        self._life = parts.life
        self._lease = wire.lease
        self._bodies = parts.bodies
        self._owner = owner
        self._clock = parts.clock
        self._observer = parts.observer
        self._channel: Channel | None = None
        self.circuit = Circuit()
        self.concurrency = Concurrency()
        self._gate = wire.gates.join(destination.id) if wire.gates is not None else None
        self.pace = Pace(self._gate.bucket if self._gate is not None else None)
        self._line = RetryLine(self.pace)
        self.in_flight: set[asyncio.Task[None]] = set()
        self._at_gate: set[asyncio.Task[None] | None] = set()
        self._behind: set[asyncio.Task[None]] = set()
        self._on_the_way: dict[str, Sequence[Part]] = {}
        self._connecting: asyncio.Task[None] | None = None
        self.go_by(destination)

    def go_by(self, destination: Destination) -> None:
        """Keep to the destination's bounds from now on: to this shard's share of them, or its worker's."""
        most = destination.max_concurrency
        if self._gate is not None:
            self._gate.go_by(destination)
            self.concurrency.bound(min(most or MOST_IN_FLIGHT, MOST_IN_FLIGHT))
            return
        number, shards = self._wire.shard
        if most is not None:
            most = max(1, most // shards + (number < most % shards))
        rate = destination.max_requests_per_second
        self.concurrency.bound(min(most or MOST_IN_FLIGHT, MOST_IN_FLIGHT))
        self.pace.limit(None if rate is None else rate / shards)

    @property
    def open(self) -> bool:
        """Whether the endpoint is believed to take messages, or it is time to find out."""
        now = asyncio.get_running_loop().time()
        return self._may_send and self.circuit.allows(now) and not self.pace.paused_s(now)

    @property
    def _may_send(self) -> bool:
        """Whether the shard is known to be ours; its owner wakes the lane when it is again."""
        return self._lease is None or self._lease.holds

    @property
    def slots(self) -> int:
        """How many more messages may leave now; one, to find out whether an endpoint that failed is back."""
        now = asyncio.get_running_loop().time()
        if not self._may_send or not self.circuit.allows(now):
            return 0
        free = self.concurrency.limit - len(self.in_flight)
        free = self.pace.free(now, min(1, free) if self.circuit.is_open else free)
        return free if self._gate is None else self._gate.free(self._owner.freed, now, free)

    def rests(self, *, wants: bool) -> None:
        """Nothing more is sent for now; `wants`: there is something to send. The owner is told when there is room
        that other shards' lanes have taken.
        """
        if self._gate is not None:
            now = asyncio.get_running_loop().time()
            wants = wants and self._may_send and self.circuit.allows(now)
            self._gate.rests(self._owner.freed, now, wants=wants)

    @property
    def waits_for(self) -> Literal["circuit_open", "retry_after", "waiting"]:
        """Why something waits that has not been attempted."""
        if self.circuit.is_open:
            return "circuit_open"
        paused = self.pace.paused_s(asyncio.get_running_loop().time())
        return "retry_after" if paused else "waiting"

    def slots_behind(self, *, shared: bool) -> int:
        """How many more messages may leave now of those that go behind real time: half of the limit, where real
        time needs the rest.
        """
        limit = self.concurrency.limit
        if shared:
            limit = (limit + 1) // 2  # rounded up: half in use is what lets the limit grow
        return min(limit - len(self._behind), self.slots)

    def waits_until(self, now: float) -> float | None:
        """When a message may leave that may not now; None where only an answer tells, or the gate. Past or `now`:
        it may, or a connection has to be made first.
        """
        if self._connecting is not None or not self._may_send:
            return None
        if not self.circuit.allows(now):
            return self.circuit.waits_until()
        if len(self.in_flight) >= self.concurrency.limit:
            return None
        if self._gate is not None:
            at = now + self.pace.paused_s(now)
            return at if at > now or self._gate.free(self._owner.freed, now, 1) else None
        return self.pace.waits_until(now)

    def send(
        self,
        destination: Destination,
        key: Key,
        parts: list[Part],
        run: int | None = None,
        *,
        behind: bool = False,
    ) -> None:
        """Send a message in a background task. `run` is the number of the batch run that it belongs to; `behind`:
        it goes behind real time.
        """
        self.pace.take(asyncio.get_running_loop().time())
        work = self._send(destination, key, parts, run, probe=self.circuit.sent())
        task = asyncio.create_task(work)
        self.in_flight.add(task)
        if self._gate is not None:
            self._gate.takes(self._owner.freed)
            self._at_gate.add(task)
        if behind:
            self._behind.add(task)
        task.add_done_callback(self._landed)

    def give_up_retry(self, device: OpenDevice) -> None:
        """Somebody waits until nothing about a device is in flight: it is owed, if a retry is far off."""
        if not self._retries_are_far_off():
            return
        for message, parts in self._on_the_way.items():
            if any(part.device is device for part in parts):
                self._line.give_up(message)
                return

    def stop(self) -> None:
        """No retry waits any longer for an endpoint that wants to be left alone."""
        self._line.close()

    async def close(self) -> None:
        """Cancel what no message waits for any more. Safe twice."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        if self._channel is not None:
            await self._channel.close()
        if self._gate is not None:
            self._gate.leave(self._owner.freed)
            self._gate = None

    def _landed(self, task: asyncio.Task[None]) -> None:
        """Only now is there room for another: a pump woken earlier still counted this one as in flight."""
        self.in_flight.discard(task)
        self._behind.discard(task)
        if self._gate is not None:
            self._leave_gate(self._gate, task)
        self._owner.freed()

    def _leave_gate(self, gate: Gate, task: asyncio.Task[None] | None) -> None:
        """No request of a message is to come: its room is others', however long the store takes for its outcome."""
        if task in self._at_gate:
            self._at_gate.discard(task)
            gate.landed()

    # --- an endpoint that cannot be reached ---------------------------------------------------------------

    def try_to_connect(self, destination: Destination) -> None:
        """Find out, if it is time to, whether the endpoint can be reached again. Costs no message."""
        due = self.circuit.waits_until()
        if not self.circuit.unreachable or due is None or self._connecting is not None:
            return
        if asyncio.get_running_loop().time() >= due:
            self._connecting = asyncio.create_task(self._connect(destination))

    async def _connect(self, destination: Destination) -> None:
        made = False
        try:
            made = await self._channel_to(destination).connect()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
            log.error("connecting_failed", destination=destination.id, error=type(error).__name__)
        finally:
            self._connecting = None
            self.circuit.tried_to_connect(asyncio.get_running_loop().time(), made=made)
            self._owner.freed()

    # --- one message ------------------------------------------------------------------------------------

    async def _send(
        self,
        destination: Destination,
        key: Key,
        parts: Sequence[Part],
        run: int | None,
        *,
        probe: bool,
        more: bool = False,
    ) -> None:
        """`more`: requests of the same room are to come."""
        dpid, kind, share = key
        # No message is older than the one before it, though a clock was put back, or is another machine's.
        at = max([self._clock.now(), *[part.telling.executed for part in parts]])
        spoken = kind if kind != OWED else "realtime" if destination.realtime else BATCH
        name = message_id(destination.id, parts, run, self._life)
        body = b""
        try:
            built = self._bodies.build(
                destination, dpid, [part.telling for part in parts], [part.encoded for part in parts], at
            )
            fitting = fitting_in(destination, built, len(parts))
            if fitting < len(parts) and len(parts) > 1:
                await self._send_in_pieces(destination, key, parts, run, fitting, probe=probe, more=more)
                return
            body = built
            message = Message(destination, name, spoken, body, at, len(parts))
            self._on_the_way[name] = parts
            delivery = await self._deliver(message) if fitting else Delivery(False, TOO_LARGE, 0, sent=False)
        except Exception as error:  # noqa: BLE001 - whatever it is, these devices are owed and the lane goes on
            if len(parts) > 1 and not body:
                # One user's data broke the body: the others go without it.
                await self._send_in_pieces(destination, key, parts, run, 1, probe=probe, more=more)
                return
            code = error.code if isinstance(error, ArkeError) else "internal"
            log.error("delivery_failed", destination=destination.id, error=type(error).__name__)
            message = Message(destination, name, spoken, body, at, len(parts))
            delivery = Delivery(False, code, attempts=0, sent=False)
        finally:
            self._on_the_way.pop(name, None)
        if self._gate is not None and not more:
            self._leave_gate(self._gate, asyncio.current_task())
        self._learn(delivery, refused_before=share > 0, probe=probe)
        done = self._clock.now()
        latencies_s = [done - part.device.accepted for part in parts]
        self._observer.delivered(destination.id, kind, delivery, latencies_s)
        await self._owner.delivered(list(parts), message, delivery)

    async def _send_in_pieces(
        self,
        destination: Destination,
        key: Key,
        parts: Sequence[Part],
        run: int | None,
        users: int,
        *,
        probe: bool,
        more: bool,
    ) -> None:
        """The same as several messages of so many users at most, one after the other."""
        for start in range(0, len(parts), users):
            piece = parts[start : start + users]
            if start and await self._line.turn(message_id(destination.id, piece, run, self._life)):
                self._line.answered()
            left = more or start + users < len(parts)
            await self._send(destination, key, piece, run, probe=probe, more=left)

    def _learn(self, delivery: Delivery, *, refused_before: bool, probe: bool) -> None:
        """What the end of a message says of the endpoint. That it takes no users of a size it was never sent, and
        those that it has refused before no better today, says nothing.
        """
        if delivery.acknowledged:
            self.concurrency.acknowledged(len(self.in_flight))
            if self.circuit.is_open:
                self._owner.is_back()
            self.circuit.acknowledged()
            return
        if (delivery.answer in (TOO_LARGE, LOST) or (delivery.refused and refused_before)) and not probe:
            return
        self.concurrency.failed()
        now = asyncio.get_running_loop().time()
        self.circuit.failed(now, probe=probe, unreachable=delivery.unreachable)

    async def _deliver(self, message: Message) -> Delivery:
        channel = self._channel_to(message.destination)
        if self._lease is not None and not await self._lease.wait():
            return Delivery(False, LOST, attempts=0, sent=False)
        try:
            fields = channel.sign(message)
        except (SecretUnresolved, InvalidInput) as error:
            unsent = Answer(reason="secret", cause=error.code, detail=str(error))
            channel.refused(message, unsent, [], attempts=0)
            return Delivery(False, error.code, attempts=0, sent=False)
        return await channel.deliver(message, fields, self)

    # --- retries (see `Retries`) --------------------------------------------------------------------------

    def failed(self, answer: Answer) -> None:
        """The endpoint may want to be left alone."""
        if answer.status in (429, 503) and answer.retry_after_s:
            now = asyncio.get_running_loop().time()
            if self.pace.pause(answer.retry_after_s, now):
                self.concurrency.failed()

    async def turn(self, message: Message) -> bool:
        if self._retries_are_far_off() and self._owner.hurried(self._on_the_way.get(message.id, ())):
            return False
        if not await self._line.turn(message.id):
            return False
        if self._may_send:
            return True
        self._line.answered()  # when it may again nobody knows, and others wait for its room
        return False

    def answered(self) -> None:
        self._line.answered()

    def _retries_are_far_off(self) -> bool:
        now = asyncio.get_running_loop().time()
        return self.pace.waits_until(now) - now > self._wire.timeout_s

    def _channel_to(self, destination: Destination) -> Channel:
        """The channel, made anew when an edit of the catalog has changed the destination."""
        if self._channel is None or self._channel.destination is not destination:
            self._channel = Channel(destination, self._wire, self._clock, self._channel)
        return self._channel


def fitting_in(destination: Destination, body: bytes, users: int) -> int:
    """How many of a message's users fit into `max_bytes_per_request`, going by its body; all, or at least one of
    several. 0: it is one, and does not.
    """
    most = destination.max_bytes_per_request
    if most is None or len(body) <= most:
        return users
    return max(1, users * most // len(body)) if users > 1 else 0


def message_id(destination_id: int, parts: Sequence[Part], run: int | None = None, life: int = 0) -> str:
    """The id of a message. It depends on what the message says alone, so that the same message sent again has the
    same id and no other one has: on whom it is about, as of which journal position, and on the entries. A state may
    be read later than its position, and after a crash more may have to be said. A message about what is owed is
    another one with each try. `run` is the number of the batch run that it belongs to. `life`: since when positions
    of the journal may stand for something else than they did before; 0: since ever.
    """
    source = f"{destination_id}" if run is None else f"{destination_id}/{run}"
    if life:
        source = f"{source}@{life}"
    said = [source.encode()]
    for part in parts:
        device, telling = part.device, part.telling
        tries = "" if device.debt is None else f":{device.debt.tries}"
        said.append(f"|{device.uid}:{device.last}:{telling.dpid}:{telling.id}{tries}|".encode())
        said.append(part.encoded)
    return hashlib.blake2b(b"".join(said), digest_size=12).hexdigest()
