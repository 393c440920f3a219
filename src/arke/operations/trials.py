"""One message about somebody who does not exist, sent to a destination to see what it answers."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Final

import msgspec

from arke.clock import SystemEntropy
from arke.delivery.body import BodyBuilder
from arke.delivery.channel import Channel, Message
from arke.delivery.https.ports import Answer, Failure
from arke.delivery.https.request import TOKEN
from arke.delivery.made_up import made_up
from arke.delivery.refusals import Refusals, Refused
from arke.domain.message import SegmentState, UserEntry
from arke.domain.message_body import encode_user
from arke.domain.time import utc_text
from arke.domain.token import LOCAL
from arke.errors import ArkeError
from arke.operations.destinations import no_destination
from arke.operations.exchanges import answer_shown, request_shown
from arke.operations.outgoing import Timings, TrialReport
from arke.telling.records import Telling

if TYPE_CHECKING:
    from arke.delivery.channel import Wire
    from arke.delivery.https.endpoint import Endpoint
    from arke.delivery.https.ports import Poster
    from arke.delivery.https.request import OutboundRequest
    from arke.domain.catalog import Catalog, Destination, Tls
    from arke.operations.engine import Engine
    from arke.operations.outgoing import AnswerShown, RequestShown, TrialAsk

AT_ONCE: Final = 4
"""Tests under way at a time; further ones wait."""
LABEL: Final = "arke-test"
"""What made-up ids begin with, where their form allows it; and the alias where nothing is mapped."""


class TrialOperations:
    """Sends test messages, through the channel that real ones take. Each is audited."""

    def __init__(self, engine: Engine, wire: Wire) -> None:
        self._engine = engine
        self._wire = wire
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def send(self, number: int, ask: TrialAsk, *, actor: str = LOCAL) -> TrialReport:
        """One message, once; also to a destination that is off, or whose circuit is open. Raises NotFound."""
        catalog = self._engine.live.catalog
        destination = next((one for one in catalog.destinations if one.id == number), None)
        if destination is None:
            raise no_destination(number)
        async with self._turns:
            report = await self._sent(destination, catalog, ask)
        outcome = report.answer.code if report.answer is not None else "not sent"
        await self._engine.audit.record(actor, "destination_tested", f"destination {number}: {outcome}")
        return report

    async def _sent(self, destination: Destination, catalog: Catalog, ask: TrialAsk) -> TrialReport:
        at = self._engine.clock.now()
        name = f"{LABEL}-{secrets.token_hex(8)}"
        witness = _Witness(self._wire.poster)
        wire = msgspec.structs.replace(self._wire, poster=witness, refusals=Refusals(), retry_delay_s=0.0)
        telling = _made_up(destination, catalog, ask, name, int(at))
        acknowledged, problem, hidden = False, None, list[str]()
        channel = None
        try:
            channel = Channel(destination, wire, self._engine.clock)
            body = BodyBuilder().build(destination, telling.dpid, [telling], [encode_user(telling.entry)], at)
            message = Message(destination, name, "realtime", body, at, 1)
            fields = channel.sign(message)
            if await channel.connect():
                acknowledged = (await channel.deliver(message, fields, _Once())).acknowledged
            hidden = channel.secrets_in(fields)
        except ArkeError as error:
            problem = str(error)
        finally:
            if channel is not None:
                await channel.close()
        sent, kept = "realtime" in witness.passed, wire.refusals.of(destination.id, at)
        return TrialReport(
            destination=destination.id,
            at=utc_text(int(at)),
            message=name,
            user=telling.id,
            acknowledged=acknowledged,
            request=_request(destination, telling, witness),
            answer=_answer(witness, hidden),
            timings=Timings(witness.connect_ms, witness.ms_of(TOKEN), witness.ms_of("realtime")),
            problem=problem or witness.problem or (None if sent else _reason(kept)),
        )


class NoWayOut:
    """A poster of engines that send nothing."""

    async def post(self, request: OutboundRequest, *, timeout_s: float) -> Answer:  # noqa: ARG002
        return Answer(reason=_NO_WAY_OUT.reason, cause=_NO_WAY_OUT.cause, detail=_NO_WAY_OUT.detail)

    async def connect(
        self,
        destination: int,  # noqa: ARG002
        endpoint: Endpoint,  # noqa: ARG002
        tls: Tls,  # noqa: ARG002
        *,
        timeout_s: float,  # noqa: ARG002
    ) -> Failure | None:
        return _NO_WAY_OUT

    async def close(self) -> None:
        """There is nothing to close."""


_NO_WAY_OUT: Final = Failure("connect", "no_way_out", "this engine sends nothing")


class _Once:
    """No retry: see `Retries`."""

    def failed(self, answer: Answer) -> None:
        """The witness has it."""

    async def turn(self, message: Message) -> bool:  # noqa: ARG002
        return False

    def answered(self) -> None:
        """There is no retry."""


class _Witness:
    """A poster that remembers what passed through it."""

    def __init__(self, poster: Poster) -> None:
        self._poster = poster
        self.passed: dict[str, tuple[OutboundRequest, Answer]] = {}
        self.connect_ms: float | None = None
        self.problem: str | None = None

    async def post(self, request: OutboundRequest, *, timeout_s: float) -> Answer:
        answer = await self._poster.post(request, timeout_s=timeout_s)
        self.passed[request.kind] = (request, answer)
        return answer

    async def connect(
        self, destination: int, endpoint: Endpoint, tls: Tls, *, timeout_s: float
    ) -> Failure | None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        failure = await self._poster.connect(destination, endpoint, tls, timeout_s=timeout_s)
        self.connect_ms = round((loop.time() - began) * 1_000, 1)
        self.problem = None if failure is None else f"{failure.cause}: {failure.detail}"
        return failure

    async def close(self) -> None:
        """The poster is another's."""

    def ms_of(self, kind: str) -> float | None:
        return round(self.passed[kind][1].elapsed_ms, 1) if kind in self.passed else None


def _made_up(destination: Destination, catalog: Catalog, ask: TrialAsk, name: str, at: int) -> Telling:
    """What the destination is told about the one who does not exist."""
    dpid = destination.user_dpids[0]
    form = next((source.id_form for source in catalog.data_sources if source.id == dpid), None)
    user = made_up(dpid, name, SystemEntropy(), form)
    segments = {segment.id: segment for segment in catalog.segments}
    alias, segment = LABEL, None
    if destination.segments:
        first = destination.segments[0]
        alias, segment = destination.alias(first, segments[first.segment]), first.segment
    status = ask.status if ask.status is not None else int(not destination.supports_unsegment)
    state = SegmentState(alias, bool(status), at, segment)
    ones, zeros = ((alias,), ()) if status else ((), (alias,))
    entry = UserEntry(user.uuid, user.partner_id, (), (state,))
    return Telling(dpid, user.partner_id, entry, ones, zeros, {dpid: user.partner_id}, seen_ts=at)


def _request(destination: Destination, telling: Telling, witness: _Witness) -> RequestShown | None:
    passed = witness.passed.get("realtime")
    return None if passed is None else request_shown(destination, passed[0], 1, telling.dpid)


def _answer(witness: _Witness, hidden: list[str]) -> AnswerShown | None:
    passed = witness.passed.get("realtime")
    return None if passed is None else answer_shown(passed[1], hidden)


def _reason(kept: list[Refused]) -> str | None:
    """Why nothing was sent of a message that was refused before: no token could be had."""
    if not kept:
        return None
    told = kept[0].oauth
    said = "" if told is None else f" ({' '.join((str(told.status), told.error, told.error_description))})"
    return f"{kept[0].answer}: {kept[0].detail}{said.rstrip()}"
