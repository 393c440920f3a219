"""Opt-outs that come with an event or at the public door: taken as privacy requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.domain.event import Accepted
from arke.privacy.request import Asked
from arke.privacy.sought import kept_as

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.domain.event import DeclaredId
    from arke.domain.identity import IdKey
    from arke.engine.homes import Homes
    from arke.engine.identity import Identity
    from arke.intake.ports import NameSpaces
    from arke.privacy.fulfilment import Privacy


class OptOuts:
    """Implements `arke.intake.ports.OptOutPort`."""

    def __init__(self, privacy: Privacy, identity: Identity, homes: Homes, known: NameSpaces) -> None:
        self._privacy = privacy
        self._identity = identity
        self._homes = homes
        self._known = known

    async def opt_out(self, uuid: str | None, ids: tuple[DeclaredId, ...], *, public: bool) -> Accepted:
        keys = await self._kept(ids) if uuid is None else ()
        if uuid is None and not keys:
            return Accepted(uuid="")
        asked = Asked("opt_out", (uuid,) if uuid is not None else (), keys, public)
        devices = await self._identity.devices(keys)
        first = uuid or next((devices[key][0] for key in keys if key in devices), "")
        await self._privacy.request([asked])
        return Accepted(uuid=first, opted_out=True)

    async def has_opted_out(self, uuid: str | None, ids: Sequence[DeclaredId]) -> bool:
        keys = await self._kept(ids)
        if uuid is None and not keys:
            return True  # nobody is known by these, or can be
        uuids = () if uuid is None else (uuid,)
        listed = await self._identity.suppressed.among(uuids, keys)
        return any(map(listed.device, uuids)) or any(map(listed.id, keys))

    async def _kept(self, ids: Sequence[DeclaredId]) -> tuple[IdKey, ...]:
        keys = [(declared.dpid, declared.id) for declared in ids]
        found = await kept_as(keys, self._known.ids, self._identity, self._homes)
        return tuple(dict.fromkeys(key for spellings in found.values() for key in spellings))
