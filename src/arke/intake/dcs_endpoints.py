"""`/event`, `/ibs:` and `/demoptout`: HTTP around the pure parts. Parameters are never logged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from arke.domain.ids import is_uuid
from arke.errors import EventError
from arke.intake import answers, dcs, redirect
from arke.intake import dcs_codes as codes
from arke.intake.asgi import bearer, header, read_body, respond
from arke.intake.line_stream import BodyRefused
from arke.intake.opt_outs import OptOuts
from arke.intake.origins import cors, may_hear
from arke.intake.query import cookies
from arke.tokens import PREFIX

if TYPE_CHECKING:
    from arke.clock import Clock, Entropy
    from arke.domain.event import Accepted
    from arke.intake.asgi import Header, Receive, Scope, Send
    from arke.intake.dcs import DcsRequest, Visitor
    from arke.intake.dcs_codes import DcsError
    from arke.intake.ports import Ingest, OptOutPort, TokenPort
    from arke.intake.room import Reservation
    from arke.intake.settings import IntakeSettings

MAX_HEADER_SIGNAL_CHARS: Final = 2_048
_FORM_TYPES: Final = (b"", b"application/x-www-form-urlencoded", b"text/plain")
"""text/plain: what a browser's sendBeacon says of a string."""

_HEADER_NAMES: Final = frozenset(name.encode() for name in dcs.HEADER_SIGNALS)


class DcsEndpoints:
    """The three public endpoints. The caller has checked the method."""

    def __init__(
        self,
        ingest: Ingest,
        opt_outs: OptOutPort,
        tokens: TokenPort,
        settings: IntakeSettings,
        entropy: Entropy,
        clock: Clock,
    ) -> None:
        self._ingest = ingest
        self._tokens = tokens
        self._settings = settings
        self._entropy = entropy
        self._opt_outs = OptOuts(opt_outs, ingest, settings.opt_outs, clock)

    async def event(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw = scope["query_string"]
        if scope["method"] == "POST":
            raw = _join(raw, await self._form(scope, receive))
        public = await self._public(scope)
        with await self._ingest.enter(1) as place:
            request = dcs.parse(raw, visitor(scope), self._ingest)
            accepted, errors = await self._store(request, place, public=public)
        await self._answer(scope, send, request, accepted, errors, public=public)

    async def id_sync(self, scope: Scope, raw: bytes, send: Send) -> None:
        """`raw` is what follows `/ibs:`, query string included."""
        public = await self._public(scope)
        with await self._ingest.enter(1) as place:
            request = self._id_sync(scope, raw)
            accepted, errors = await self._store(request, place, public=public)
        await self._answer(scope, send, request, accepted, errors, public=public)

    def _id_sync(self, scope: Scope, raw: bytes) -> DcsRequest:
        request = dcs.parse(raw, visitor(scope), self._ingest, plus_is_space=False)
        if request.redirect is not None and not redirect.allowed(request.redirect):
            wrong = codes.invalid_parameters("redir is not an absolute http or https address")
            request = msgspec.structs.replace(request, event=None, errors=(wrong,))
        if request.event is not None:
            only_ids = msgspec.structs.replace(request.event, signals={}, traits=())
            request = msgspec.structs.replace(request, event=only_ids)
        return request

    async def opt_out(self, scope: Scope, send: Send) -> None:
        """Opt out the UUID or ids that the request names; without any, the cookie's device, and mark the
        browser. See `OptOuts`.
        """
        public = await self._public(scope)
        who = msgspec.structs.replace(visitor(scope), opted_out=False)  # asking twice is no offence
        request = dcs.parse(scope["query_string"], who, self._ingest, opting_out=True)
        if request.event is None:
            await self._answer(scope, send, request, None, list(request.errors))
            return
        if public and not self._opt_outs.may(scope):
            await self._answer(scope, send, request, None, [codes.OTHER_ORIGIN], status=403)
            return
        errors = await self._opt_outs.take(request, request.event, who.cookie_uuid, public=public)
        named = request.explicit_uuid or bool(request.event.ids) or codes.ALL_IDS_INVALID in request.errors
        marks = [] if named else answers.opt_out_cookies(self._settings)
        await self._answer(scope, send, request, None, [*request.errors, *errors], marks)

    async def _form(self, scope: Scope, receive: Receive) -> bytes:
        kind = header(scope, b"content-type").partition(b";")[0].strip().lower()
        if kind not in _FORM_TYPES:
            raise BodyRefused(
                415, "unknown_content_type", "send the parameters as application/x-www-form-urlencoded"
            )
        body = await read_body(receive, self._settings.max_form_bytes, self._settings.body_idle_timeout_s)
        return body.strip(b"\r\n")

    async def _public(self, scope: Scope) -> bool:
        """Whether the caller shows no token. Raises Unauthorized for a token of ours without the scope `ingest`."""
        token = bearer(scope)
        if token is None or not token.startswith(PREFIX):
            return (
                True  # another system's token, such as one that a proxy in front asks for, says nothing here
            )
        await self._tokens.authorize(token, "ingest")
        return False

    async def _store(
        self, request: DcsRequest, place: Reservation, *, public: bool
    ) -> tuple[Accepted | None, list[DcsError]]:
        """Store the event, durably, if there is one. Returns what was accepted, and the errors to answer."""
        accepted, errors = await self._stored(request, place, public=public)
        self._ingest.figures.answered(errors, stored=accepted is not None)
        return accepted, errors

    async def _stored(
        self, request: DcsRequest, place: Reservation, *, public: bool
    ) -> tuple[Accepted | None, list[DcsError]]:
        errors = list(request.errors)
        if request.event is None:
            return None, errors
        event = msgspec.structs.replace(request.event, region=self._settings.region, public=public)
        result = (await self._ingest.ingest((event,), place))[0]
        if isinstance(result, EventError):
            return None, [*errors, codes.unspecified(result.message)]
        if result.opted_out:
            return None, [*errors, codes.OPTED_OUT]
        return result, [*errors, *_warnings(result)]

    async def _answer(
        self,
        scope: Scope,
        send: Send,
        request: DcsRequest,
        accepted: Accepted | None,
        errors: list[DcsError],
        extra: list[Header] | None = None,
        status: int = 200,
        *,
        public: bool = True,
    ) -> None:
        tid = answers.transaction_id(self._entropy)
        headers = [(b"x-tid", tid.encode()), *cors(scope, self._settings.listeners), *(extra or [])]
        content = {}
        location = None
        if accepted is not None:
            shown = self._shown(scope, request, accepted) if public else answers.Shown()
            content = answers.accepted_body(request, accepted, self._settings.region, tid, shown)
            if request.use_cookies and not request.explicit_uuid and shown.cookie:
                # A UUID that was passed never becomes the cookie: a link must not choose who somebody is.
                headers.append(answers.device_cookie(accepted.uuid, self._settings))
            if request.redirect is not None:
                location = redirect.fill(
                    request.redirect,
                    uuid=accepted.uuid if shown.cookie else "",
                    gdpr=request.gdpr,
                    gdpr_consent=request.gdpr_consent,
                )
        body, own = answers.render(request, content, errors)
        if location is None:
            await respond(send, status, body, [*own, *headers])
        else:
            problems = [item for item in own if item[0] == b"x-error"]
            await respond(send, 302, b"", [(b"location", location.encode("ascii")), *problems, *headers])

    def _shown(self, scope: Scope, request: DcsRequest, accepted: Accepted) -> answers.Shown:
        script = request.callback is not None
        heard = may_hear(scope, self._settings.listeners, script=script)
        return answers.shown(accepted, self._settings, heard=heard, script=script)


def visitor(scope: Scope) -> Visitor:
    """Who is asking, by the headers. A device cookie that is no UUID is as good as none."""
    found: dict[str, str] = {}
    jar: dict[str, str] = {}
    for name, value in scope["headers"]:
        if name in _HEADER_NAMES:
            found.setdefault(name.decode(), value.decode("utf-8", "replace")[:MAX_HEADER_SIGNAL_CHARS])
        elif name == b"cookie":
            jar = {**cookies(value), **jar}
    device = jar.get("demdex", "")
    return dcs.Visitor(
        headers=found,
        cookie_uuid=device if is_uuid(device) else None,
        opted_out=any(jar.get(name) == dcs.NOT_A_TARGET for name in answers.DEVICE_COOKIES),
    )


def _warnings(accepted: Accepted) -> list[DcsError]:
    """The warnings for what was left out of an event that was stored."""
    withheld = accepted.withheld
    return [
        *(codes.unauthorized_id(declared.dpid, declared.id) for declared in withheld.ids),
        *(codes.not_taken_over(declared.id) for declared in withheld.takeovers),
        *([codes.TRAITS_NOT_EVALUATED] if withheld.traits else []),
        *(codes.trait_not_evaluated(left.message) for left in accepted.left_out if left.part == "trait"),
    ]


def _join(query: bytes, form: bytes) -> bytes:
    return query + b"&" + form if query and form else query or form
