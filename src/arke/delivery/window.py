"""A lane's window: the devices between the journal and an acknowledgement, and where the cursor stands.

    journal --take--> waiting --read--> being read --put--> buffers --message--> in flight --close--> gone
                         ^                  |                  |                     |
                         +----- stale ------+--- take back ----+-- news ("again") ---+

There is a buffer for each id type. While a device is read other things happen: news about it, a hold and changed
routes all take it back. Then what is read is stale and never put, and the device waits again once the read has
returned. So a device is in one place at a time, and what is put is the newest that the journal has told of.

Pure bookkeeping: no I/O, no clock, no task. Times are seconds of the caller's monotonic clock.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from itertools import islice
from math import inf
from typing import TYPE_CHECKING

from arke.delivery.open_device import BEHIND, OpenDevice, OutOfTurn

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

    from arke.delivery.open_device import Key, Part

MOST_DEVICES = 4_096
"""Devices held at most; beyond them the journal is the queue."""


class Window:
    """Where every device is, how far the journal is read, and the position behind which all is done."""

    def __init__(self, cursor: int, journal_end: int = 0) -> None:
        """`journal_end` is the newest journal position that is known of."""
        self.read_seq = cursor
        self.journal_end = journal_end
        self._open: dict[int, OpenDevice] = {}
        self._order: deque[tuple[int, int]] = deque()
        self._waiting: dict[int, OpenDevice] = {}
        self._buffers: dict[Key, list[Part]] = {}

    def __len__(self) -> int:
        return len(self._open)

    def __contains__(self, uid: object) -> bool:
        return uid in self._open

    def device(self, uid: int) -> OpenDevice | None:
        return self._open.get(uid)

    @property
    def full(self) -> bool:
        return len(self._open) >= MOST_DEVICES

    @property
    def unread(self) -> bool:
        """Whether the journal has more than was read."""
        return self.read_seq < self.journal_end

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

    def take(
        self,
        seq: int,
        uid: int,
        kind: str,
        accepted: float,
        now: float,
        linger_s: float,
        *,
        catch_up: bool = False,
    ) -> str:
        """News about a device at a journal position. The newest state wins: a device that has not left yet
        is built again; one that has is told again afterwards. Returns the kind that loses the device to it, if any.
        """
        device = self._open.get(uid)
        if device is None:
            self._order.append((seq, uid))
            self.admit(uid, seq, seq, kind, accepted, now + linger_s, catch_up=catch_up)
            return ""
        if device.sending:
            if not device.again:
                self._order.append((seq, uid))
                device.first = min(device.first, seq)  # a batch's stands before the position: hold the cursor
                device.again_first, device.again_kind, device.again_catch_up = seq, kind, catch_up
            device.again = seq
            device.again_kind = "privacy" if "privacy" in (kind, device.again_kind) else kind
            device.again_catch_up &= catch_up
            return ""
        loser = device.kind if device.kind in BEHIND else ""
        if loser:
            self._order.append((seq, uid))
            device.first, device.kind, device.accepted = seq, kind, accepted
            device.deadline, device.catch_up = now + linger_s, catch_up
        device.last = seq
        device.catch_up &= catch_up
        if kind == "privacy":  # goes out at once, whatever the device was waiting for
            device.kind, device.deadline = kind, now
        self.take_back(device)
        return loser

    def admit(
        self,
        uid: int,
        first: int,
        last: int,
        kind: str,
        accepted: float,
        deadline: float,
        *,
        catch_up: bool = False,
    ) -> None:
        device = OpenDevice(uid, first, last, kind, accepted, deadline, catch_up=catch_up)
        self._open[uid] = self._waiting[uid] = device

    def admit_behind(self, uid: int, kind: str, least: int, accepted: float) -> OpenDevice:
        """A device that comes from no journal position, with a state that is no older than `least`."""
        last = max(self.read_seq, least)
        self.admit(uid, last + 1, last, kind, accepted, inf)
        return self._open[uid]

    def anything_sending(self) -> bool:
        """Whether something was sent, or may have been, whose outcome is not recorded yet."""
        return any(device.sending for device in self._open.values())

    def close(self, device: OpenDevice) -> None:
        """The device is done with; its place in the journal no longer holds the cursor."""
        if self._open.pop(device.uid, None) is not device or device.reading or device.uid in self._waiting:
            raise OutOfTurn(f"{device}")

    # --- waiting to be built ----------------------------------------------------------------------------

    def waiting(self, most: int, held: Container[int]) -> list[OpenDevice]:
        """Up to `most` devices to build, the longest waiting first, without those that are held still."""
        return list(islice((device for uid, device in self._waiting.items() if uid not in held), most))

    # --- being read and built ---------------------------------------------------------------------------

    def read(self, devices: Iterable[OpenDevice]) -> None:
        """Reading these begins: nobody else reads them until they are `built` or `wait_again`."""
        for device in devices:
            if self._waiting.pop(device.uid, None) is not device:
                raise OutOfTurn(f"{device}")
            device.reading = True
            device.stale = False

    def built(self, device: OpenDevice) -> None:
        """The device was built from what was read, and nothing has come in between. It is put or closed next."""
        if device.stale or not device.reading:
            raise OutOfTurn(f"{device}")
        device.reading = False

    def wait_again(self, devices: Iterable[OpenDevice]) -> bool:
        """Those of these that were not built wait again. False: there is none."""
        left = [device for device in devices if device.reading]
        for device in left:
            device.reading = False
            self._waiting[device.uid] = device
        return bool(left)

    @property
    def waiting_count(self) -> int:
        return len(self._waiting)

    def is_waiting(self, uid: int) -> bool:
        return uid in self._waiting

    def take_back(self, device: OpenDevice) -> None:
        """Have a device that has not left yet built again. What is being read of it is not put."""
        device.rows = ()
        device.stale = device.reading
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
            device.stale = device.reading
            if device.parts and not device.sending:
                device.parts = 0
                self._waiting[device.uid] = device

    # --- filling messages -------------------------------------------------------------------------------

    @property
    def buffered(self) -> int:
        """Entries built and not sent, but for those that go behind real time."""
        return sum(len(buffer) for key, buffer in self._buffers.items() if key[1] not in BEHIND)

    def buffered_behind(self, most: int) -> int:
        """How much room the full messages of those take that go behind real time, at `most` a message."""
        return sum(
            len(buffer) // _users(key, most) * most
            for key, buffer in self._buffers.items()
            if key[1] in BEHIND
        )

    def put(self, device: OpenDevice, parts: list[Part]) -> None:
        """Buffer the entries of a device that was built, each with others of its id type."""
        if device.reading or device.stale or device.sending or device.parts or device.uid in self._waiting:
            raise OutOfTurn(f"{device}")
        device.parts = len(parts)
        kind, share, turn = device.kind, device.share, _turn(device)
        for part in parts:
            key = (part.telling.dpid, kind, share)
            buffer = self._buffers.get(key)
            if buffer is None:
                buffer = self._buffers[key] = []
            # A device that was taken back and built again keeps its place: news must not postpone its linger.
            if not buffer or _turn(buffer[-1].device) <= turn:
                buffer.append(part)
            else:
                insort(buffer, part, key=_turn_of)

    def messages(
        self, now: float, most: int, *, all_of_them: bool, behind: str = ""
    ) -> Iterator[tuple[Key, list[Part]]]:
        """Messages that are full or have waited long enough, or all; taking one is sending it. Those of a kind that
        goes `behind` real time, or those of real time.
        """
        for key, buffer in list(self._buffers.items()):
            if (key[1] if key[1] in BEHIND else "") != behind:
                continue
            users = _users(key, most)
            while buffer and (len(buffer) >= users or all_of_them or buffer[0].device.deadline <= now):
                parts = buffer[:users]
                del buffer[:users]
                for part in parts:
                    part.device.sending = True
                yield key, parts
            if not buffer:
                del self._buffers[key]

    def deadlines(self) -> list[float]:
        """When the oldest entry of each buffer has waited long enough."""
        return [
            buffer[0].device.deadline
            for key, buffer in self._buffers.items()
            if buffer and key[1] not in BEHIND
        ]


def _users(key: Key, most: int) -> int:
    """How many users a message may have."""
    return min(most, key[2]) if key[2] else most


def _turn(device: OpenDevice) -> tuple[float, int]:
    """The order in which entries leave: by the end of their linger, then by their first journal position."""
    return device.deadline, device.first


def _turn_of(part: Part) -> tuple[float, int]:
    return _turn(part.device)
