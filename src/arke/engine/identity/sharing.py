"""Ids that very many devices share: most likely none, but something that a tag writes for everybody.

Only an id that changes hands is looked at, so that an id of one device costs nothing. Of each the devices of today
are counted, as hashes, in bounded memory; what has passed the bound is stored with the mapping that made it pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from arke.domain.identity import SharedId
from arke.domain.time import DAY_S
from arke.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from arke.domain.identity import IdKey
    from arke.storage.keyed_hash import KeyedHash

DEVICES_PER_ID: Final = 1_000
"""Devices on which one id may be seen a UTC day, unless settings say so, before it is reported."""
COUNTED_DEVICES: Final = 10_000
"""Devices of one id that are told apart, or as many as it may have; of more it is known that they are more."""
MAX_ENTRIES: Final = 200_000
"""Devices counted at a time over all ids, about 12 MB; beyond it those with the fewest are counted anew."""
MAX_SHARED: Final = 10_000
"""Shared ids in memory; the one that has been known the longest goes."""
SHOWN_DAYS: Final = 7
"""How long a shared id is reported after the day when it was last shared by too many."""
LOGGED_EVERY_S: Final = 60

log = get_logger("identity")


class Sharing:
    """Counts the devices of ids. `most`: devices that an id may have a day."""

    def __init__(self, most: int, hashes: KeyedHash) -> None:
        self._most = most
        self._hashes = hashes
        self._today = 0
        self._devices: dict[IdKey, set[int]] = {}
        self._entries = 0
        self._shared: dict[bytes, SharedId] = {}
        self._logged_at = -LOGGED_EVERY_S

    def start(self, stored: Iterable[tuple[bytes, SharedId]]) -> None:
        """Go on from what was stored."""
        self._shared = dict(stored)

    def of(self, keys: Collection[IdKey]) -> dict[IdKey, SharedId]:
        """Those of these ids that too many devices have shared on one day."""
        if not self._shared:
            return {}
        found = {key: self._shared.get(self._digest(key)) for key in keys}
        return {key: shared for key, shared in found.items() if shared is not None}

    def lately(self, now: int) -> list[SharedId]:
        """Those that were shared by too many on one of the last days."""
        since = now // DAY_S - SHOWN_DAYS
        return [shared for shared in self._shared.values() if shared.day >= since]

    def note(self, key: IdKey, before: str, uuid: str, now: int) -> SharedId | None:
        """An id is on this device too. Returns what is to be stored of it, if anything."""
        if now // DAY_S != self._today:
            self._today = now // DAY_S
            self._devices.clear()
            self._entries = 0
        devices = self._devices.setdefault(key, set())
        known = len(devices)
        if known >= max(COUNTED_DEVICES, self._most + 1):
            return None
        devices |= {hash(before), hash(uuid)}
        self._entries += len(devices) - known
        if self._entries > MAX_ENTRIES:
            self._let_go()
        count = len(devices)
        return self._report(key, known, count, now) if count > self._most else None

    def _report(self, key: IdKey, known: int, count: int, now: int) -> SharedId | None:
        """It is stored, and told to the log, when it has passed the bound, and twice as many each time."""
        digest = self._digest(key)
        before = self._shared.pop(digest, None)
        shared = SharedId(key[0], max(count, before.devices if before is not None else 0), self._today)
        if len(self._shared) >= MAX_SHARED:
            del self._shared[next(iter(self._shared))]
        self._shared[digest] = shared
        bound = self._most + 1
        if (known // bound).bit_length() == (count // bound).bit_length():
            return None
        if now - self._logged_at >= LOGGED_EVERY_S:
            self._logged_at = now
            log.warning("id_on_many_devices", data_source=key[0], devices=count)
        return shared

    def _let_go(self) -> None:
        """An id with many devices comes back among them soon; most have two."""
        fewest = 2
        while self._entries > MAX_ENTRIES // 2:
            self._devices = {key: devices for key, devices in self._devices.items() if len(devices) > fewest}
            self._entries = sum(len(devices) for devices in self._devices.values())
            fewest *= 2

    def _digest(self, key: IdKey) -> bytes:
        return self._hashes.digest(f"{key[0]}:{key[1]}")
