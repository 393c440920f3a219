"""Decides who may opt out whom without a token, and how often."""

from __future__ import annotations

import ipaddress
import math
from typing import TYPE_CHECKING, Final

from arke.errors import Overloaded
from arke.intake import dcs_codes as codes
from arke.intake.origins import shown_by
from arke.log import Throttled, get_logger

if TYPE_CHECKING:
    from arke.clock import Clock
    from arke.domain.event import DeclaredId, IncomingEvent
    from arke.intake.asgi import Scope
    from arke.intake.dcs import DcsRequest
    from arke.intake.dcs_codes import DcsError
    from arke.intake.ports import Ingest, OptOutPort
    from arke.intake.settings import OptOutSettings


class OptOuts:
    """Opt-outs by `/demoptout`. A caller with a token may name ids, from any page, and as often as it likes."""

    def __init__(self, port: OptOutPort, ingest: Ingest, settings: OptOutSettings, clock: Clock) -> None:
        self._port = port
        self._ingest = ingest
        self._settings = settings
        self._turns = PerMinute(settings.per_minute, clock)
        log = get_logger("intake")
        self._elsewhere = Throttled(log, "opt_out_from_other_origin", clock)
        self._too_many = Throttled(log, "opt_outs_over_bound", clock)

    def may(self, scope: Scope) -> bool:
        """Whether the page that asks may opt its visitor out. Raises Overloaded when the address has used up its
        opt-outs of this minute. A request that is refused because of its page does not count.
        """
        wanted = self._settings.origins
        if wanted and wanted.isdisjoint(shown_by(scope)):
            self._elsewhere()
            return False
        wait_s = self._turns.wait_s(visitor_address(scope))
        if wait_s:
            self._too_many()
            most = self._settings.per_minute
            raise Overloaded(f"this address has opted out {most} times within a minute", retry_after_s=wait_s)
        return True

    async def look_for(self, request: DcsRequest, *, public: bool) -> None:
        """Opt out who was known by ids that can be none today. Whether anybody was is told to nobody: they are
        answered as ids that can be none.
        """
        unsure = self._own_word(request.unsure) if public else request.unsure
        if unsure and not request.explicit_uuid:
            await self._port.opt_out(None, unsure, public=public)

    async def take(
        self, request: DcsRequest, event: IncomingEvent, cookie_uuid: str | None, *, public: bool
    ) -> list[DcsError]:
        """Opt out whom a request names, or the device of the browser that asks. Returns the errors to answer."""
        passed = event.uuid if request.explicit_uuid else None
        if passed is not None:  # that device, whatever the ids map to
            await self._port.opt_out(passed, event.ids, public=public)
            return [codes.OPTED_OUT]
        errors: list[DcsError] = []
        done = not event.ids  # naming nobody, the browser's mark is what counts
        ids = event.ids
        if public:
            ids = self._own_word(event.ids)
            errors = [codes.not_yours_to_opt_out(one.dpid, one.id) for one in event.ids if one not in ids]
        if ids:
            await self._port.opt_out(None, ids, public=public)
            done = True
        elif errors:
            errors.append(codes.ALL_IDS_INVALID)
        if cookie_uuid is not None:
            # The browser that asks is opted out too, whichever device the ids were last linked to.
            await self._port.opt_out(cookie_uuid, (), public=public)
            done = True
        return [*errors, codes.OPTED_OUT] if done else errors

    async def withdraw(
        self, scope: Scope, request: DcsRequest, event: IncomingEvent, *, public: bool
    ) -> None:
        """Opt out whom a request names whose visitor does not agree to be known: by the same right as `/demoptout`
        would, and only once. Where the address has used up its turns, or the page may not opt out, nothing happens.
        """
        ids = event.ids if not public else self._own_word(event.ids)
        if event.uuid is None and not ids:
            return
        if await self._port.has_opted_out(event.uuid, () if event.uuid is not None else ids):
            return
        try:
            may = not public or self.may(scope)
        except Overloaded:
            return
        if not may:
            return
        if event.uuid is not None:
            await self._port.opt_out(event.uuid, (), public=public)
        if ids and not request.explicit_uuid:
            await self._port.opt_out(None, ids, public=public)

    def _own_word(self, ids: tuple[DeclaredId, ...]) -> tuple[DeclaredId, ...]:
        """Of declared ids those that anybody may opt out. Of a data source that has left the catalog nobody knows
        any more whether it was one of them.
        """
        if self._settings.whom == "device":
            return ()
        known, only_by_token = self._ingest.ids.known, self._ingest.only_by_token
        return tuple(one for one in ids if known(one.dpid) and not only_by_token(one.dpid))


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
