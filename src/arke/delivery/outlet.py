"""A lane's way out: the messages under way, how many there may be, and whether the endpoint takes any."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Any

import msgspec

from arke.delivery.circuit import Circuit
from arke.delivery.concurrency import Concurrency
from arke.delivery.sender import Delivery, Outbound, deliver
from arke.errors import ArkeError
from arke.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from arke.clock import Clock
    from arke.delivery.body import BodyBuilder
    from arke.delivery.observer import LaneObserver
    from arke.delivery.sender import Courier
    from arke.delivery.window import Key, Part
    from arke.domain.catalog import Destination

log = get_logger("lane")


class Outlet:
    """Sends messages beside each other. `ended` hears how each ended, `freed` that there is room for another."""

    def __init__(
        self,
        courier: Courier[Any],
        bodies: BodyBuilder,
        *,
        clock: Clock,
        observer: LaneObserver,
        retry_delay_s: float,
        ended: Callable[[list[Part], Outbound, Delivery], Awaitable[None]],
        freed: Callable[[], None],
    ) -> None:
        self._courier = courier
        self._bodies = bodies
        self._clock = clock
        self._observer = observer
        self._retry_delay_s = retry_delay_s
        self._ended = ended
        self._freed = freed
        self.circuit = Circuit()
        self.concurrency = Concurrency()
        self.under_way: set[asyncio.Task[None]] = set()
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
        free = self.concurrency.limit - len(self.under_way)
        return min(1, free) if self.circuit.is_open else free

    def batch_slots(self, *, shared: bool) -> int:
        """How many more messages of a batch may leave now: half of them, where real time needs the rest."""
        limit = self.concurrency.limit
        if shared:
            limit = (limit + 1) // 2  # rounded up: half in use is what lets the limit grow
        return min(limit - len(self._of_batch), self.slots)

    def send(self, destination: Destination, key: Key, parts: list[Part], run: int | None = None) -> None:
        """Send a message off. `run`: the batch that it belongs to."""
        work = self._deliver(destination, key, parts, run, probe=self.circuit.sent())
        task = asyncio.create_task(work)
        self.under_way.add(task)
        if run is not None:
            self._of_batch.add(task)
        task.add_done_callback(self._came_back)

    def _came_back(self, task: asyncio.Task[None]) -> None:
        """Only now is there room for another: a pump woken earlier still counted this one as under way."""
        self.under_way.discard(task)
        self._of_batch.discard(task)
        self._freed()

    async def _deliver(
        self, destination: Destination, key: Key, parts: list[Part], run: int | None, *, probe: bool
    ) -> None:
        dpid, kind = key
        at = self._clock.now()
        outbound = Outbound(destination, message_id(destination.id, parts, run), kind, b"", at)
        try:
            body = self._bodies.build(
                destination, dpid, [part.telling for part in parts], [part.encoded for part in parts], at
            )
            outbound = msgspec.structs.replace(outbound, body=body)
            delivery = await deliver(self._courier, outbound, retry_delay_s=self._retry_delay_s)
        except Exception as error:  # noqa: BLE001 - whatever it is, these devices are owed and the lane goes on
            if len(parts) > 1 and not outbound.body:
                # One user's data broke the body: the others go without it.
                for part in parts:
                    await self._deliver(destination, key, [part], run, probe=probe)
                return
            code = error.code if isinstance(error, ArkeError) else "internal"
            log.error("delivery_failed", destination=destination.id, error=type(error).__name__)
            delivery = Delivery(False, code, attempts=0, sent=False)
        if delivery.acknowledged:
            self.concurrency.acknowledged(len(self.under_way))
            self.circuit.acknowledged()
        else:
            self.concurrency.failed()
            self.circuit.failed(asyncio.get_running_loop().time(), probe=probe)
        done = self._clock.now()
        latencies_s = [done - part.device.accepted for part in parts]
        self._observer.delivered(destination.id, kind, delivery, done - at, latencies_s)
        await self._ended(parts, outbound, delivery)


def message_id(destination_id: int, parts: Sequence[Part], batch: int | None = None) -> str:
    """A name for the message that depends on what it says alone: sent again, it has the same id. `batch`: the
    run that it belongs to.
    """
    said = [f"|{part.device.uid}:{part.device.last}:{part.telling.dpid}:{part.telling.id}" for part in parts]
    source = f"{destination_id}" if batch is None else f"{destination_id}/{batch}"
    return hashlib.blake2b(f"{source}{''.join(said)}".encode(), digest_size=12).hexdigest()
