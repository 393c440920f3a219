"""Opt-outs that come with an event or at the public door: taken as privacy requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.domain.event import Accepted
from arke.privacy.request import Asked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.domain.event import DeclaredId
    from arke.engine.identity import Identity
    from arke.privacy.fulfilment import Privacy


class OptOuts:
    """Implements `arke.intake.ports.OptOutPort`."""

    def __init__(self, privacy: Privacy, identity: Identity) -> None:
        self._privacy = privacy
        self._identity = identity

    async def opt_out(self, uuid: str | None, ids: tuple[DeclaredId, ...], *, public: bool) -> Accepted:
        keys = tuple((declared.dpid, declared.id) for declared in ids) if uuid is None else ()
        asked = Asked("opt_out", (uuid,) if uuid is not None else (), keys, public)
        devices = await self._identity.devices(keys)
        first = uuid or next((devices[key][0] for key in keys if key in devices), "")
        await self._privacy.request([asked])
        return Accepted(uuid=first, opted_out=True)

    async def has_opted_out(self, uuid: str | None, ids: Sequence[DeclaredId]) -> bool:
        uuids = () if uuid is None else (uuid,)
        listed = await self._identity.suppressed.among(uuids, ((one.dpid, one.id) for one in ids))
        return listed.any_of(uuid, ids)
