"""What a privacy request puts on the suppression list, and the way off it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.domain.ids import NOBODYS
from arke.errors import InvalidInput
from arke.privacy.request import Everybodys, decode_request, encode_request

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from arke.clock import Clock
    from arke.domain.identity import IdKey
    from arke.engine.identity import Identity
    from arke.engine.live_catalog import LiveCatalog
    from arke.privacy.request import PrivacyRequest
    from arke.storage.ports.directory import Directory
    from arke.storage.ports.identities import Lifted


class Suppression:
    """The list as requests see it: what each wants there is noted with its number, also after its end."""

    def __init__(self, directory: Directory, identity: Identity, catalog: LiveCatalog, clock: Clock) -> None:
        self._directory = directory
        self._identity = identity
        self._catalog = catalog
        self._clock = clock

    async def own(
        self, request: PrivacyRequest, devices: Iterable[tuple[str, Iterable[IdKey]]]
    ) -> set[IdKey]:
        """Of what these devices have, their own ids, which may not come back under another UUID. At the public door
        those are not that had come from other devices: they are counted, and free. Nor ever are cross-device ids:
        these are the person's, whose other devices were not asked about.
        """
        has = [
            (uuid, key)
            for uuid, keys in devices
            for key in keys
            if not self._identity.is_cross_device(key[0]) and key not in request.ids
        ]
        owners = await self._identity.owners({key for _, key in has}) if request.public else {}
        foreign = {
            (uuid, key) for uuid, key in has if key in owners and owners[key].came_from_elsewhere(uuid)
        }
        own = await self._nobody_elses(request, {key for uuid, key in has if (uuid, key) not in foreign})
        spared = {key for _, key in foreign}
        asked = await self._nobody_elses(request, request.ids)
        request.suppressed = max(request.suppressed, len(own | asked))
        request.spared = max(request.spared, len(spared))
        return own

    async def _nobody_elses(self, request: PrivacyRequest, keys: Collection[IdKey]) -> set[IdKey]:
        """Those that may be suppressed. Others belong to everybody, who would be locked out with this one: the
        request names them.
        """
        rules, shared = self._catalog.ids, await self._identity.shared(keys)
        everybodys = {
            key: shared[key].devices if key in shared else 0
            for key in keys
            if key in shared or rules.sought(*key) in NOBODYS
        }
        named = {(one.dpid, one.id) for one in request.everybodys}
        request.everybodys = [
            *request.everybodys,
            *(Everybodys(*key, everybodys[key]) for key in sorted(everybodys.keys() - named)),
        ]
        return {*keys} - everybodys.keys()

    async def owned(self, request: PrivacyRequest) -> set[IdKey]:
        """What goes onto the list together with the devices themselves: an id that one of them had from another
        device would lead to a new one otherwise. Of a public request that is as it should be.
        """
        if request.public:
            return set()
        devices = dict.fromkeys([*request.uuids, *(one.uuid for one in request.whole)])
        return await self.own(request, (await self._identity.ids_of(devices)).items())

    async def put(self, wanted: Sequence[tuple[PrivacyRequest, Iterable[IdKey]]], now: int) -> int:
        """Suppress what each request names, the devices that it is about as a whole, and ids of these. Returns the
        edition of the list: see `Suppressed.add`.
        """
        texts: dict[int, set[str]] = {}
        for request, own in wanted:
            ids = await self._nobody_elses(request, {*request.ids, *own})
            texts[request.number] = {
                *request.uuids,
                *(one.uuid for one in request.whole),
                *(f"{dpid}:{partner_id}" for dpid, partner_id in ids),
            }
        return await self._identity.suppress(texts, now)

    async def lift(self, text: str) -> bool:
        """Take a UUID or `dpid:id` again, whoever asked for its suppression; False if there is none. Raises
        InvalidInput while a request about it goes on, also one that somebody else has taken just now.
        """
        now, digest = int(self._clock.now()), self._directory.hashes.digest(text)
        while numbers := await self._directory.suppression.wanted_by(digest):
            for row in (await self._directory.requests.get(numbers)).values():
                now = max(now, _ended_at(decode_request(row)))
            if await self._identity.suppressed.lift(text, numbers, now):
                return True
        return False

    async def lift_request(self, request: PrivacyRequest) -> Lifted:
        """Take again what only this request wanted suppressed. Raises InvalidInput while it goes on."""
        now = max(int(self._clock.now()), _ended_at(request))
        lifted = await self._identity.suppressed.lift_request(request.number, now)
        if lifted.gone or lifted.kept:
            request.lifted = now
            await self._directory.requests.amend(request.number, encode_request(request))
        return lifted


def _ended_at(request: PrivacyRequest) -> int:
    """Before which no lift can be, whatever became of the clock. A request that goes on would suppress again what
    it is about: raises InvalidInput.
    """
    if not request.done:
        raise InvalidInput(
            f"privacy request {request.number} is not finished ({request.state}): it can be lifted when it is; "
            f"`arke privacy show {request.number}` says what it waits for"
        )
    return request.done
