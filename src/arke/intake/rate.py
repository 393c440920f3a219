"""Bounds how often an address may do something in a minute."""

from __future__ import annotations

import ipaddress
import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from arke.clock import Clock
    from arke.intake.asgi import Scope

WINDOW_S: Final = 60.0
MAX_ADDRESSES: Final = 100_000
"""Addresses counted at a time, about 20 MB; beyond it the one that has been counted the longest is forgotten."""
IPV6_PREFIX: Final = 64
"""Bits of an IPv6 address that count: a household has all the rest."""


class PerMinute:
    """Lets an address do something `most` times a minute, counted from the first time."""

    def __init__(self, most: int, clock: Clock) -> None:
        self._most = most
        self._clock = clock
        self._seen: dict[str, tuple[float, int]] = {}

    def wait_s(self, address: str) -> int:
        """Count one request of the address and return 0, or return after how many seconds it may ask again."""
        now = self._clock.now()
        since, count = self._seen.get(address, (now, 0))
        if not 0 <= now - since < WINDOW_S:  # a clock that was put back does not lock anybody out either
            since, count = now, 0
        if count >= self._most:
            return max(1, math.ceil(since + WINDOW_S - now))
        if count == 0:
            self._seen.pop(address, None)  # at the end again: the oldest window stays the first
            if len(self._seen) >= MAX_ADDRESSES:
                del self._seen[next(iter(self._seen))]
        self._seen[address] = (since, count + 1)
        return 0


def visitor_address(scope: Scope) -> str:
    """What a caller is counted as: its address, with IPv6 the /64 that one household has."""
    client = scope.get("client")
    if client is None:
        return ""
    try:
        address = ipaddress.ip_address(client[0].partition("%")[0])
    except ValueError:
        return str(client[0])
    if address.version == 4:
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, IPV6_PREFIX), strict=False))
