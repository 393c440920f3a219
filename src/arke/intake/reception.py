"""What the public endpoints do alike: whose word a request is, what of it is stored, and who opts out by it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from arke.domain.ids import is_uuid
from arke.errors import EventError
from arke.intake import answers, dcs
from arke.intake import dcs_codes as codes
from arke.intake.asgi import bearer, content_encoding, header, read_body
from arke.intake.line_stream import BodyRefused, unpacked
from arke.intake.origins import may_hear
from arke.intake.query import cookies
from arke.tokens import PREFIX

if TYPE_CHECKING:
    from arke.domain.event import Accepted
    from arke.intake.asgi import Receive, Scope
    from arke.intake.dcs import DcsRequest, Visitor
    from arke.intake.dcs_codes import DcsError
    from arke.intake.opt_outs import OptOuts
    from arke.intake.ports import Ingest, TokenPort
    from arke.intake.room import Reservation
    from arke.intake.settings import IntakeSettings

MAX_HEADER_SIGNAL_CHARS: Final = 2_048
_FORM_TYPES: Final = (b"", b"application/x-www-form-urlencoded", b"text/plain")
"""text/plain: what a browser's sendBeacon says of a string."""

_HEADER_NAMES: Final = frozenset(name.encode() for name in dcs.HEADER_SIGNALS)


class Reception:
    """Takes DCS requests. What is returned as accepted is durable."""

    def __init__(
        self, ingest: Ingest, opt_outs: OptOuts, tokens: TokenPort, settings: IntakeSettings
    ) -> None:
        self._ingest = ingest
        self._opt_outs = opt_outs
        self._tokens = tokens
        self._settings = settings

    async def public(self, scope: Scope) -> bool:
        """Whether the caller shows no token. Raises Unauthorized for a token of ours without the scope `ingest`."""
        token = bearer(scope)
        if token is None or not token.startswith(PREFIX):
            return (
                True  # another system's token, such as one that a proxy in front asks for, says nothing here
            )
        await self._tokens.authorize(token, "ingest")
        return False

    async def parameters(self, scope: Scope, receive: Receive) -> bytes:
        """The query, and the form of a POST behind it. Raises BodyRefused."""
        raw: bytes = scope["query_string"]
        if scope["method"] != "POST":
            return raw
        kind = header(scope, b"content-type").partition(b";")[0].strip().lower()
        if kind not in _FORM_TYPES:
            raise BodyRefused(
                415, "unknown_content_type", "send the parameters as application/x-www-form-urlencoded"
            )
        most = self._settings.max_form_bytes
        body = await read_body(receive, most, self._settings.body_idle_timeout_s)
        ratio = self._settings.max_inflate_ratio
        form = unpacked(body, content_encoding(scope), ratio, most).strip(b"\r\n")
        return raw + b"&" + form if raw and form else raw or form

    def understand(
        self, scope: Scope, raw: bytes, *, plus_is_space: bool = True, only_ids: bool = False
    ) -> DcsRequest:
        """What a request says; with `only_ids` nothing but whose event it is."""
        request = dcs.parse(
            raw,
            visitor(scope),
            self._ingest,
            plus_is_space=plus_is_space,
            consent_rules=self._settings.consent,
        )
        if only_ids and request.event is not None:
            event = msgspec.structs.replace(request.event, signals={}, traits=(), event_id=None)
            request = msgspec.structs.replace(request, event=event)
        return request

    async def store(
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
        result = (await self._ingest.ingest((event,), place, evaluated=request.wants_memberships))[0]
        if isinstance(result, EventError):
            return None, [*errors, codes.unspecified(result.message)]
        if result.opted_out:
            return None, [*errors, codes.OPTED_OUT]
        return result, [*errors, *_warnings(result)]

    def shown(self, scope: Scope, request: DcsRequest, accepted: Accepted, *, public: bool) -> answers.Shown:
        """What the answer may show to the caller."""
        if not public:
            return answers.Shown()
        script = request.callback is not None
        heard = may_hear(scope, self._settings.listeners, script=script)
        return answers.shown(accepted, self._settings, heard=heard, script=script)

    async def heed(self, scope: Scope, request: DcsRequest, *, public: bool) -> None:
        """Opt out the device of a visitor who said by the request that he does not agree, if he did."""
        if request.withdrawn is not None:
            await self._opt_outs.withdraw(scope, request, request.withdrawn, public=public)


def visitor(scope: Scope) -> Visitor:
    """Who is asking, by the headers. A device cookie that is no UUID is as good as none."""
    found: dict[str, str] = {}
    jar: dict[str, str] = {}
    gpc = False
    for name, value in scope["headers"]:
        if name in _HEADER_NAMES:
            found.setdefault(name.decode(), value.decode("utf-8", "replace")[:MAX_HEADER_SIGNAL_CHARS])
        elif name == b"cookie":
            jar = {**cookies(value), **jar}
        elif name == b"sec-gpc":
            gpc = gpc or b"1" in map(bytes.strip, value.split(b","))
    device = jar.get("demdex", "")
    return dcs.Visitor(
        headers=found,
        cookie_uuid=device if is_uuid(device) else None,
        opted_out=any(jar.get(name) == dcs.NOT_A_TARGET for name in answers.DEVICE_COOKIES),
        gpc=gpc,
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
