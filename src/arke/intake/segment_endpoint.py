"""`POST /v1/track` and its siblings: Segment's HTTP API, so that its libraries need only another host and key.

What is answered with `{"success": true}` is durable, but for the calls of a batch that it names as rejected. Errors
have the form that the libraries read: `{"success": false, "code", "message"}`.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections import Counter
from typing import TYPE_CHECKING, Final

import msgspec

from arke.defects import HELD, INTERNAL, MAX_DEFECTS, Defects
from arke.errors import EventError, Overloaded, Unauthorized, Unavailable
from arke.intake import dcs_codes as codes
from arke.intake.asgi import answer_json, bearer, come_again, content_encoding, header, read_body
from arke.intake.consent import Refusal
from arke.intake.dcs import DcsRequest
from arke.intake.line_stream import BodyRefused, unpacked
from arke.intake.ndjson import left_out, refusal
from arke.intake.opt_outs import visitor_address
from arke.intake.origins import cors
from arke.intake.reception import visitor
from arke.intake.segment import event_of_call
from arke.intake.segment_consent import code_of, judged
from arke.intake.segment_requests import BATCH, MAX_BATCH_BYTES, MAX_CALL_BYTES, calls_in
from arke.tokens import PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from arke.clock import Clock
    from arke.domain.event import IncomingEvent, LeftOut
    from arke.doors.answers import Answer
    from arke.intake.asgi import Receive, Scope
    from arke.intake.opt_outs import OptOuts
    from arke.intake.ports import Ingest, TokenPort
    from arke.intake.segment_requests import Calls
    from arke.intake.settings import IntakeSettings

ALLOWED_HEADERS: Final = b"Authorization, Content-Encoding, Content-Type, X-Retry-Count"
"""What a page's library may send along."""
MAX_UNPROVEN_BYTES: Final = 32 * 1024 * 1024
"""Of bodies at a time whose senders have not shown a key that only they have: it may be in the body."""
MAX_UNPROVEN_OF_ONE: Final = MAX_UNPROVEN_BYTES // 4
"""Of these, what comes from one address: nobody fills the room for all others."""
MAX_REMARKS: Final = 100
"""Calls that an answer names, of each sort."""
CALLS_A_SLICE: Final = 100
"""So many are read before others have their turn."""
_TOO_LARGE: Final = 413
_WITHDRAWN: Final = ("opted_out", "no_consent")
"""Refused by the person and not for a fault of the sender, who has nothing to mend."""


class CallRemark(msgspec.Struct, frozen=True, gc=False):
    """Why a call, counted from 0, was refused, or a part of it was left out."""

    call: int
    code: str
    message: str


class Sender(msgspec.Struct, frozen=True):
    """Whose word a request is: with a key of scope `browser` anybody's, for it stands in pages. `refusal`: the
    browser that sent it says that nothing may be stored.
    """

    public: bool = False
    refusal: Refusal | None = None


class SegmentEndpoint:
    """The endpoint. The caller has checked the method."""

    def __init__(
        self, ingest: Ingest, opt_outs: OptOuts, tokens: TokenPort, settings: IntakeSettings, clock: Clock
    ) -> None:
        self._ingest = ingest
        self._opt_outs = opt_outs
        self._tokens = tokens
        self._settings = settings
        self._clock = clock
        self._defects = Defects("intake", "event_failed", clock)
        self._unproven = Unproven()

    async def __call__(self, scope: Scope, receive: Receive, takes: str) -> Answer:
        """`takes`: the type of call that the address is for, or a batch."""
        headers = cors(scope, self._settings.listeners)
        try:
            status, answer = await self._answer(scope, receive, takes)
        except (Overloaded, Unavailable) as problem:
            said = _failure(problem.code, problem.to_strangers)
            return answer_json(problem.status, said, [come_again(problem), *headers], hang_up=True)
        except Unauthorized as problem:
            said = _failure(problem.code, str(problem))
            return answer_json(problem.status, said, headers, hang_up=True)
        except BodyRefused as problem:
            self._ingest.figures.refused(problem.reason)
            status = 400 if problem.status == _TOO_LARGE else problem.status  # as Segment has it
            said = _failure(problem.reason, problem.message)
            return answer_json(status, said, headers, hang_up=True)
        return answer_json(status, answer, headers)

    async def _answer(self, scope: Scope, receive: Receive, takes: str) -> tuple[int, dict[str, object]]:
        key = _key_in_head(scope)
        is_open = self._settings.auth == "open"
        public = await self._word_of(key) if is_open or key is not None else None
        # A key of scope `browser` stands in pages: it is shown by anybody.
        body = await self._body(scope, receive, takes, proven=public is False and not is_open)
        try:
            calls = calls_in(body, takes)
        except EventError as problem:
            if public is None:
                await self._word_of(None)  # a stranger is told no more than that
            self._ingest.figures.refused(problem.reason)
            return 400, _failure(problem.reason, problem.message)
        if public is None:
            public = await self._word_of(calls.write_key)
        outcome = Outcome(self._ingest)
        if calls.calls:
            await self._take(scope, calls, Sender(public, self._word_of_browser(scope)), outcome)
        return outcome.answer()

    async def _word_of(self, key: str | None) -> bool:
        """Whether what is said with this key is anybody's word. Raises Unauthorized for no key of ours."""
        if self._settings.auth == "open":
            return False
        try:
            await self._tokens.authorize(key, "ingest")
        except Unauthorized as problem:
            if problem.forbidden:
                with contextlib.suppress(Unauthorized):
                    await self._tokens.authorize(key, "browser")
                    return True
            raise
        return False

    def _word_of_browser(self, scope: Scope) -> Refusal | None:
        who = visitor(scope)
        if who.opted_out:
            return Refusal(codes.OPTED_OUT)
        return judged({}, self._settings.consent, (), gpc=who.gpc)

    async def _body(self, scope: Scope, receive: Receive, takes: str, *, proven: bool) -> bytes:
        """The body, unpacked. Raises BodyRefused, Disconnected, and Overloaded for one too many without a key."""
        most = MAX_BATCH_BYTES if takes == BATCH else MAX_CALL_BYTES
        idle_s = self._settings.body_idle_timeout_s
        if proven:
            body = await read_body(receive, most, idle_s)
        else:
            with self._unproven.held_by(visitor_address(scope)) as hold:
                body = await read_body(receive, most, idle_s, hold)
        ratio = self._settings.max_inflate_ratio
        return unpacked(body, content_encoding(scope), ratio, most)

    async def _take(self, scope: Scope, calls: Calls, sender: Sender, outcome: Outcome) -> None:
        """Store what can be stored of the calls. Raises Overloaded and Unavailable; then nothing of them was."""
        withdrawn: list[IncomingEvent] = []
        in_a_row = 0
        with await self._ingest.enter(len(calls.calls)) as place:
            events: dict[int, IncomingEvent] = {}
            for at in range(len(calls.calls)):
                if at % CALLS_A_SLICE == CALLS_A_SLICE - 1:
                    await asyncio.sleep(0)
                try:
                    event = self._event(calls, at, sender, outcome, withdrawn)
                except Exception as defect:  # noqa: BLE001 - whatever it is, it costs this call alone
                    refused = self._defects.met(defect, call=at)
                    in_a_row += 1
                    if in_a_row > MAX_DEFECTS:
                        raise BodyRefused(500, INTERNAL, HELD) from None
                    outcome.refused(at, refused.reason, refused.message)
                    continue
                in_a_row = 0
                if event is not None:
                    events[at] = event
            if events:
                answers = await self._ingest.ingest(tuple(events.values()), place, evaluated=False)
                for at, answer in zip(events, answers, strict=True):
                    problem = refusal(answer)
                    if problem is not None:
                        outcome.refused(at, problem.reason, problem.message)
                    else:
                        outcome.stored(at, left_out(answer))
        for event in withdrawn:
            await self._opt_outs.withdraw(scope, DcsRequest(), event, public=sender.public)

    def _event(
        self, calls: Calls, at: int, sender: Sender, outcome: Outcome, withdrawn: list[IncomingEvent]
    ) -> IncomingEvent | None:
        """The event of a call; None, noted in the outcome, where nothing of it may be stored."""
        now = int(self._clock.now())
        try:
            event, left, no = event_of_call(
                calls.read(at), self._settings.segment, now, self._ingest, sender.refusal
            )
        except EventError as problem:
            outcome.refused(at, problem.reason, problem.message)
            self._ingest.figures.ids_dropped.update(problem.id_codes)
            return None
        outcome.left(left)
        if no is not None:
            outcome.refused(at, *code_of(no))
            if no.withdraws:
                withdrawn.append(event)
            return None
        if not sender.public:
            return event
        return msgspec.structs.replace(event, public=True, region=self._settings.region)


class Unproven:
    """Bytes of bodies under way whose senders may be anybody: of all, and of each address."""

    def __init__(self) -> None:
        self._all = 0
        self._held: Counter[str] = Counter()

    @contextlib.contextmanager
    def held_by(self, address: str) -> Iterator[Callable[[int], None]]:
        """Takes the size of each part of a body, until all of it is there. It raises Overloaded."""
        held = 0

        def hold(size: int) -> None:
            nonlocal held
            of_one = self._held[address] + size
            if self._all + size > MAX_UNPROVEN_BYTES or of_one > MAX_UNPROVEN_OF_ONE:
                raise Overloaded("too many requests without a key in their heads: try again shortly")
            self._held[address] = of_one
            self._all += size
            held += size

        try:
            yield hold
        finally:
            self._all -= held
            self._held[address] -= held
            if not self._held[address]:
                del self._held[address]


class Outcome:
    """What became of the calls of a request."""

    def __init__(self, ingest: Ingest) -> None:
        self._figures = ingest.figures
        self._taken = 0
        self._rejected: list[CallRemark] = []
        self._warnings: list[CallRemark] = []

    def refused(self, call: int, code: str, message: str) -> None:
        self._rejected.append(CallRemark(call, code, message))

    def stored(self, call: int, parts: tuple[LeftOut, ...]) -> None:
        self._taken += 1
        self._figures.left_out(parts)
        self._warnings += [CallRemark(call, part.code, part.message) for part in parts]

    def left(self, names: tuple[str, ...]) -> None:
        self._figures.left_of_call(names)

    def answer(self) -> tuple[int, dict[str, object]]:
        """Status and body: 400 where nothing was taken and a sender has something to mend, 500 where it is the
        engine that failed: then the libraries come again.
        """
        for one in self._rejected:  # not before: of a request that is to come again nothing is refused
            self._figures.refused(one.code)
        self._rejected.sort(key=lambda remark: remark.call)
        faults = [one for one in self._rejected if one.code not in _WITHDRAWN]
        named = {**_named("rejected", self._rejected), **_named("warnings", self._warnings)}
        if faults and not self._taken:
            status = 500 if all(one.code == INTERNAL for one in faults) else 400
            return status, {**_failure(faults[0].code, faults[0].message), **named}
        return 200, {"success": True, **named}


def _named(name: str, remarks: list[CallRemark]) -> dict[str, object]:
    if not remarks:
        return {}
    shown: dict[str, object] = {name: remarks[:MAX_REMARKS]}
    return {**shown, f"{name}_total": len(remarks)} if len(remarks) > MAX_REMARKS else shown


def _failure(code: str, message: str) -> dict[str, object]:
    return {"success": False, "code": code, "message": message}


def _key_in_head(scope: Scope) -> str | None:
    """The write key of `Authorization`: a user's name without a password, or a bearer token. None where there is
    none of ours: another system's, such as one that a proxy in front asks for, says nothing here.
    """
    key = bearer(scope)
    if key is None:
        kind, _, encoded = header(scope, b"authorization").partition(b" ")
        if kind.lower() != b"basic":
            return None
        try:
            key = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")[0]
        except ValueError:
            return None
    return key if key.startswith(PREFIX) else None
