"""`/id`: the visitor id service over HTTP. What it stores is what `/event` would, of ids alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from arke.clock import new_uuid
from arke.doors.answers import Answer
from arke.intake import answers, visitor_id
from arke.intake.asgi import STANDING_HEADERS
from arke.intake.origins import cors

if TYPE_CHECKING:
    from arke.clock import Entropy
    from arke.domain.event import Accepted
    from arke.intake.asgi import Receive, Scope
    from arke.intake.dcs import DcsRequest
    from arke.intake.dcs_codes import DcsError
    from arke.intake.ports import Ingest
    from arke.intake.reception import Reception
    from arke.intake.room import Reservation
    from arke.intake.settings import IntakeSettings


class VisitorIdEndpoint:
    """Answers with the caller's ECID, or with one that is made of its device's UUID. The method was checked."""

    def __init__(
        self, reception: Reception, ingest: Ingest, settings: IntakeSettings, entropy: Entropy
    ) -> None:
        self._reception = reception
        self._ingest = ingest
        self._settings = settings
        self._entropy = entropy

    async def __call__(self, scope: Scope, receive: Receive) -> Answer:
        raw = await self._reception.parameters(scope, receive)
        public = await self._reception.public(scope)
        with await self._ingest.enter(1) as place:
            request = self._reception.understand(scope, raw, plus_is_space=False, only_ids=True)
            request = msgspec.structs.replace(request, json=True)  # the service answers in no other way
            brought = visitor_id.ecid_of(request.event)
            request, accepted, errors = await self._identify(request, place, public=public)
        await self._reception.heed(scope, request, public=public)
        tid = answers.transaction_id(self._entropy)
        headers = [(b"x-tid", tid.encode()), *cors(scope, self._settings.listeners)]
        ecid = brought
        if accepted is not None:
            shown = self._reception.shown(scope, request, accepted, public=public)
            if request.use_cookies and not request.explicit_uuid and shown.cookie:
                headers.append(answers.device_cookie(accepted.uuid, self._settings))
            if brought is None and shown.uuid:
                ecid = visitor_id.linked_ecid(request.event, accepted)
        content = visitor_id.body(accepted is not None, ecid, errors, self._settings.region, tid)
        body, own = answers.render(request, content, errors)
        return Answer(200, body, [*own, *headers], STANDING_HEADERS)

    async def _identify(
        self, request: DcsRequest, place: Reservation, *, public: bool
    ) -> tuple[DcsRequest, Accepted | None, list[DcsError]]:
        """Store who asks, with an ECID that is his where he brings none: the request as it was stored, and what
        came of it. A device that only an id led to gets none: whoever knows the id may be a stranger.
        """
        event = request.event
        if event is None or visitor_id.ecid_of(event) is not None:
            return request, *await self._reception.store(request, place, public=public)
        if event.uuid is not None or not event.ids:
            request = self._with_ecid(request, event.uuid or new_uuid(self._entropy))
            return request, *await self._reception.store(request, place, public=public)
        accepted, errors = await self._reception.store(request, place, public=public)
        if accepted is not None and not accepted.by_id:
            only_uuid = msgspec.structs.replace(event, ids=())  # the others are stored already
            request = msgspec.structs.replace(request, event=only_uuid, errors=())
            request = self._with_ecid(request, accepted.uuid)
            accepted, more = await self._reception.store(request, place, public=public)
            errors += more
        return request, accepted, errors

    def _with_ecid(self, request: DcsRequest, uuid: str) -> DcsRequest:
        if request.event is None:
            return request
        event = visitor_id.with_ecid(request.event, request.organisation, uuid)
        return msgspec.structs.replace(request, event=event)
