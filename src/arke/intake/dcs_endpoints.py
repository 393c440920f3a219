"""`/event`, `/ibs:` and `/demoptout`: HTTP around the pure parts. Parameters are never logged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from arke.doors.answers import Answer
from arke.errors import Overloaded, Unavailable
from arke.intake import answers, dcs, redirect
from arke.intake import dcs_codes as codes
from arke.intake.asgi import STANDING_HEADERS
from arke.intake.origins import cors
from arke.intake.reception import visitor

if TYPE_CHECKING:
    from arke.clock import Entropy
    from arke.domain.event import Accepted
    from arke.doors.answers import Header
    from arke.intake.asgi import Receive, Scope
    from arke.intake.dcs import DcsRequest
    from arke.intake.dcs_codes import DcsError
    from arke.intake.opt_outs import OptOuts
    from arke.intake.ports import Ingest
    from arke.intake.reception import Reception
    from arke.intake.redirect import Click
    from arke.intake.settings import IntakeSettings


class DcsEndpoints:
    """The public endpoints that take events, ids and opt-outs. The caller has checked the method."""

    def __init__(
        self,
        reception: Reception,
        ingest: Ingest,
        opt_outs: OptOuts,
        settings: IntakeSettings,
        entropy: Entropy,
    ) -> None:
        self._reception = reception
        self._ingest = ingest
        self._opt_outs = opt_outs
        self._settings = settings
        self._entropy = entropy

    async def event(self, scope: Scope, receive: Receive) -> Answer:
        raw, click = redirect.click(await self._reception.parameters(scope, receive))
        public = await self._reception.public(scope)
        try:
            with await self._ingest.enter(1) as place:
                request = self._reception.understand(scope, raw)
                if click is not None and click.location() is None:
                    request, click = _no_address(request, "d_rd"), None
                accepted, errors = await self._reception.store(request, place, public=public)
            await self._reception.heed(scope, request, public=public)
        except (Overloaded, Unavailable) as problem:
            if click is None:
                raise
            # Somebody clicked: he is to arrive, though the click cannot be counted.
            request, accepted = dcs.DcsRequest(), None
            errors = [codes.unspecified(problem.to_strangers)]
        return self._answer(scope, request, accepted, errors, public=public, click=click)

    async def id_sync(self, scope: Scope, raw: bytes) -> Answer:
        """`raw` is what follows `/ibs:`, query string included."""
        public = await self._reception.public(scope)
        with await self._ingest.enter(1) as place:
            request = self._reception.understand(scope, raw, plus_is_space=False, only_ids=True)
            if request.redirect is not None and not redirect.allowed(request.redirect):
                request = _no_address(request, "redir")
            accepted, errors = await self._reception.store(request, place, public=public)
        await self._reception.heed(scope, request, public=public)
        return self._answer(scope, request, accepted, errors, public=public)

    async def opt_out(self, scope: Scope) -> Answer:
        """Opt out the UUID or ids that the request names; without any, the cookie's device, and mark the
        browser. See `OptOuts`.
        """
        public = await self._reception.public(scope)
        who = msgspec.structs.replace(visitor(scope), opted_out=False)  # asking twice is no offence
        request = dcs.parse(scope["query_string"], who, self._ingest, opting_out=True)
        if request.event is None and not request.unsure:
            return self._answer(scope, request, None, list(request.errors))
        if public and not self._opt_outs.may(scope):
            return self._answer(scope, request, None, [codes.OTHER_ORIGIN], status=403)
        await self._opt_outs.look_for(request, public=public)
        if request.event is None:
            return self._answer(scope, request, None, list(request.errors))
        errors = await self._opt_outs.take(request, request.event, who.cookie_uuid, public=public)
        named = request.explicit_uuid or bool(request.event.ids) or codes.ALL_IDS_INVALID in request.errors
        marks = [] if named else answers.opt_out_cookies(self._settings)
        return self._answer(scope, request, None, [*request.errors, *errors], marks)

    def _answer(
        self,
        scope: Scope,
        request: DcsRequest,
        accepted: Accepted | None,
        errors: list[DcsError],
        extra: list[Header] | None = None,
        status: int = 200,
        *,
        public: bool = True,
        click: Click | None = None,
    ) -> Answer:
        tid = answers.transaction_id(self._entropy)
        headers = [(b"x-tid", tid.encode()), *cors(scope, self._settings.listeners), *(extra or [])]
        content = {}
        location = None
        told = ""
        if accepted is not None:
            shown = self._reception.shown(scope, request, accepted, public=public)
            told = accepted.uuid if shown.cookie else ""
            content = answers.accepted_body(request, accepted, self._settings.region, tid, shown)
            if request.use_cookies and not request.explicit_uuid and shown.cookie:
                # A UUID that was passed never becomes the cookie: a link must not choose who somebody is.
                headers.append(answers.device_cookie(accepted.uuid, self._settings))
            if request.redirect is not None:
                location = redirect.fill(
                    request.redirect,
                    uuid=told,
                    gdpr=request.gdpr,
                    gdpr_consent=request.gdpr_consent,
                )
        if click is not None:  # also where nothing was stored: who clicked is to arrive
            location = click.location(told)
        body, own = answers.render(request, content, errors)
        if location is None:
            return Answer(status, body, [*own, *headers], STANDING_HEADERS)
        problems = [item for item in own if item[0] == b"x-error"]
        moved = (b"location", location.encode("ascii"))
        return Answer(302, b"", [moved, *problems, *headers], STANDING_HEADERS)


def _no_address(request: DcsRequest, parameter: str) -> DcsRequest:
    """The request without its event: it asks to be redirected where nobody is."""
    wrong = codes.invalid_parameters(f"{parameter} is not an absolute http or https address")
    return msgspec.structs.replace(request, event=None, withdrawn=None, errors=(wrong,))
