"""Decides who may opt out whom without a token, and how often."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.errors import Overloaded
from arke.intake import dcs_codes as codes
from arke.intake.origins import shown_by
from arke.intake.rate import PerMinute, visitor_address
from arke.log import Throttled, get_logger

if TYPE_CHECKING:
    from arke.clock import Clock
    from arke.domain.event import IncomingEvent
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

    async def take(
        self, request: DcsRequest, event: IncomingEvent, cookie_uuid: str | None, *, public: bool
    ) -> list[DcsError]:
        """Opt out whom a request names, or the device of the browser that asks. Returns the errors to answer."""
        passed = event.uuid if request.explicit_uuid else None
        if passed is not None:  # that device, whatever the ids map to
            await self._port.opt_out(passed, event.ids, public=public)
            return [codes.OPTED_OUT]
        told: list[DcsError] = []
        done = not event.ids  # naming nobody, the browser's mark is what counts
        ids = event.ids
        if public:
            nobody = self._settings.whom == "device"
            told = [
                codes.not_yours_to_opt_out(one.dpid, one.id)
                for one in ids
                if nobody or self._ingest.only_by_token(one.dpid)
            ]
            ids = tuple(one for one in ids if not nobody and not self._ingest.only_by_token(one.dpid))
        if ids:
            await self._port.opt_out(None, ids, public=public)
            done = True
        elif told:
            told.append(codes.ALL_IDS_INVALID)
        if cookie_uuid is not None:
            # The browser that asks is opted out too, whichever device the ids were last linked to.
            await self._port.opt_out(cookie_uuid, (), public=public)
            done = True
        return [*told, codes.OPTED_OUT] if done else told
