"""A lane's window: the devices between the journal and an acknowledgement, and where the cursor stands.

    journal --take--> waiting --put--> buffers (per id type) --next message--> under way --close--> gone
                         ^                    |                                    |
                         +---- take back -----+-------- news meanwhile ("again") --+

Pure bookkeeping: no I/O, no clock, no task. Times are seconds of the caller's monotonic clock.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from arke.delivery.snapshot import Telling
from arke.domain.ledger import LedgerEntry

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

MOST_DEVICES = 4_096
"""Devices held at most; beyond them the journal is the queue."""

Key = tuple[int, str]
"""What one message has in common: (DPID, kind)."""


class OpenDevice(msgspec.Struct):
    """A device between the journal and an acknowledgement.

    `first` and `last` are the journal positions it covers, `parts` its entries in buffers or under way,
    `again_first` and `again` the positions of news that came meanwhile.
    """

    uid: int
    first: int
    last: int
    kind: str
    accepted: float
    deadline: float
    parts: int = 0
    sending: bool = False
    again_first: int = 0
    again: int = 0
    again_kind: str = ""
    failure: str | None = None
    owed: bool = False


class Part(msgspec.Struct):
    """One partner id's entry on its way, with the ledger entry it continues."""

    device: OpenDevice
    telling: Telling
    encoded: bytes
    before: LedgerEntry | None


class Window:
    """Where every device is, and the journal position behind which all is done."""

    def __init__(self, cursor: int) -> None:
        self.read_seq = cursor
        self._open: dict[int, OpenDevice] = {}
        self._order: deque[tuple[int, int]] = deque()
        self._waiting: dict[int, OpenDevice] = {}
        self._buffers: dict[Key, list[Part]] = {}

    def __len__(self) -> int:
        return len(self._open)

    def __contains__(self, uid: int) -> bool:
        return uid in self._open

    def device(self, uid: int) -> OpenDevice | None:
        return self._open.get(uid)

    @property
    def full(self) -> bool:
        return len(self._open) >= MOST_DEVICES

    @property
    def cursor(self) -> int:
        """The position up to which everything is acknowledged or owed."""
        while self._order:
            seq, uid = self._order[0]
            device = self._open.get(uid)
            if device is not None and device.first <= seq:
                return seq - 1
            self._order.popleft()
        return self.read_seq

    # --- from the journal -------------------------------------------------------------------------------

    def take(self, seq: int, uid: int, kind: str, accepted: float, now: float, linger_s: float) -> None:
        """News about a device at a journal position. The newest state wins: a device that has not left yet
        is built again; one that has is told again afterwards.
        """
        device = self._open.get(uid)
        if device is None:
            self._order.append((seq, uid))
            self.admit(uid, seq, seq, kind, accepted, now + linger_s)
        elif device.sending:
            if not device.again:
                self._order.append((seq, uid))
                device.again_first, device.again_kind = seq, kind
            device.again = seq
            device.again_kind = "privacy" if "privacy" in (kind, device.again_kind) else kind
        else:
            device.last = seq
            if kind == "privacy":  # goes out at once, whatever the device was waiting for
                device.kind, device.deadline = kind, now
            self.take_back(device)

    def admit(self, uid: int, first: int, last: int, kind: str, accepted: float, deadline: float) -> None:
        self._open[uid] = self._waiting[uid] = OpenDevice(uid, first, last, kind, accepted, deadline)

    def close(self, device: OpenDevice) -> None:
        """The device is done with; its place in the journal no longer holds the cursor."""
        del self._open[device.uid]

    # --- waiting to be built ----------------------------------------------------------------------------

    def waiting(self, most: int, held: Container[int]) -> list[OpenDevice]:
        """Up to `most` devices to build, the longest waiting first, without those that are held still."""
        return list(islice((device for uid, device in self._waiting.items() if uid not in held), most))

    def built(self, device: OpenDevice) -> None:
        """The device waits no more."""
        del self._waiting[device.uid]

    def is_waiting(self, uid: int) -> bool:
        return uid in self._waiting

    def take_back(self, device: OpenDevice) -> None:
        """Have a device that has not left yet built again."""
        if device.parts:
            for buffer in self._buffers.values():
                buffer[:] = [part for part in buffer if part.device is not device]
            device.parts = 0
            self._waiting[device.uid] = device

    def take_all_back(self) -> None:
        """Have everything that has not left yet built again."""
        for buffer in self._buffers.values():
            buffer[:] = [part for part in buffer if part.device.sending]
        for device in self._open.values():
            if device.parts and not device.sending:
                device.parts = 0
                self._waiting[device.uid] = device

    # --- filling messages -------------------------------------------------------------------------------

    @property
    def buffered(self) -> int:
        """Entries built and not sent."""
        return sum(map(len, self._buffers.values()))

    def put(self, device: OpenDevice, parts: list[Part]) -> None:
        """Buffer a device's entries, each with others of its id type."""
        device.parts = len(parts)
        for part in parts:
            buffer = self._buffers.setdefault((part.telling.dpid, device.kind), [])
            # A device that was taken back and built again keeps its place: news must not put off its linger.
            if not buffer or _turn(buffer[-1]) <= _turn(part):
                buffer.append(part)
            else:
                insort(buffer, part, key=_turn)

    def messages(self, now: float, most: int, *, all_of_them: bool) -> Iterator[tuple[Key, list[Part]]]:
        """Messages that are full or have waited long enough, or all; taking one is sending it."""
        for key, buffer in list(self._buffers.items()):
            while buffer and (len(buffer) >= most or all_of_them or buffer[0].device.deadline <= now):
                parts, buffer[:] = buffer[:most], buffer[most:]
                for part in parts:
                    part.device.sending = True
                yield key, parts
            if not buffer:
                del self._buffers[key]

    def deadlines(self) -> list[float]:
        """When the oldest entry of each buffer has waited long enough."""
        return [buffer[0].device.deadline for buffer in self._buffers.values() if buffer]


def _turn(part: Part) -> tuple[float, int]:
    """The order in which entries leave: by the end of their linger, then by their first journal position."""
    return part.device.deadline, part.device.first
