"""The way to one destination: a message is signed, gets a token where one is needed, and is posted.

A message has two attempts at most (SPEC section 5). Both send the same body, signatures and message id; each has a
deadline of its own.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from arke.delivery.authentication import AUTHORIZATION, Fields, secret_fields
from arke.delivery.gate import Gates
from arke.delivery.https.endpoint import parse_endpoint
from arke.delivery.https.ports import Answer
from arke.delivery.https.request import USER_AGENT, HeadTemplate, OutboundRequest
from arke.delivery.lease import Lease
from arke.delivery.oauth import AccessToken, TokenSource
from arke.delivery.refusals import Refusals, refused_by
from arke.delivery.signing import signature_headers, standard_webhooks_headers, webhook_keys_of
from arke.tracing import Tracer

if TYPE_CHECKING:
    from arke.clock import Clock
    from arke.delivery.https.ports import Poster
    from arke.delivery.secrets import Secrets
    from arke.domain.catalog import Destination
    from arke.tracing import Span

TIMEOUT_S = 3.0
RETRY_DELAY_S = 0.1
TRACEPARENT: Final = "traceparent"
_DOUBTS_THE_TOKEN = frozenset({401, 403})

PASSING: Final = frozenset({401, 403, 408, 425, 429})
"""The 4xx that say nothing of what the message holds."""
_UNREACHABLE: Final = frozenset({"dns", "connect", "tls"})
_TIMEOUTS_UNREACHED: Final = frozenset({"timeout_dns", "timeout_connect", "timeout_tls"})


class Wire(msgspec.Struct, frozen=True):
    """What all messages of a shard leave through, and where it is kept why some were refused. `timeout_s` bounds an
    attempt; a retry waits `retry_delay_s`.

    `shard` is the shard's number, from 0, and how many there are: each keeps to its share of a destination's
    bounds; where there are `gates`, all shards of a worker together. Messages leave under the `lease`; None:
    nobody else can own the shard. `tracer` takes down some of the deliveries.
    """

    poster: Poster
    secrets: Secrets
    refusals: Refusals = msgspec.field(default_factory=Refusals)
    timeout_s: float = TIMEOUT_S
    retry_delay_s: float = RETRY_DELAY_S
    shard: tuple[int, int] = (0, 1)
    gates: Gates | None = None
    lease: Lease | None = None
    tracer: Tracer | None = None


class Message(msgspec.Struct, frozen=True):
    """A message to a destination about some users, with its exact bytes. `at` is the time it was made, in epoch
    seconds.
    """

    destination: Destination
    id: str
    kind: str
    body: bytes
    at: float
    users: int = 0


class Delivery(msgspec.Struct, frozen=True):
    """How a delivery ended after `attempts` (0 to 2).

    `answer` is what the ledger records: a status, or the stable name of what failed. `sent` says whether the
    destination may have received the message; `sloppy` counts answers that were not well-formed, `unanswered`
    attempts without one: the destination may have seen those or not; `refused`: it answered that it does not take
    what the message holds; `unreachable`: there was no connection to it.
    """

    acknowledged: bool
    answer: str
    attempts: int
    sent: bool = True
    sloppy: int = 0
    unanswered: int = 0
    refused: bool = False
    unreachable: bool = False


class Retries(Protocol):
    """Says when a retry may leave."""

    def failed(self, answer: Answer) -> None:
        """An attempt failed, with this answer."""
        ...

    async def turn(self, message: Message) -> bool:
        """Wait until the message's retry may leave. False: it never may."""
        ...

    def answered(self) -> None:
        """The retry has ended."""
        ...


class Channel:
    """Delivers messages to one destination, and keeps what is constant about it: endpoint, head and token."""

    def __init__(
        self, destination: Destination, wire: Wire, clock: Clock, before: Channel | None = None
    ) -> None:
        """`before` is the channel as it was before an edit of the destination. Raises InvalidInput."""
        self.destination = destination
        self._wire = wire
        self._clock = clock
        self._endpoint = parse_endpoint(destination.url)
        constant = [("User-Agent", USER_AGENT), ("Content-Type", destination.content_type)]
        constant += [(one.name, one.value) for one in destination.headers if not one.secret]
        self.tokens: TokenSource | None = None
        oauth = destination.oauth2
        if oauth is not None:
            tls, confined = destination.tls, destination.confined
            known = before.tokens if before is not None else None
            if known is not None and known.serves(oauth, confined=confined, tls=tls):
                self.tokens = known
            else:
                self.tokens = TokenSource(
                    wire.poster,
                    clock,
                    wire.secrets,
                    oauth,
                    destination=destination.id,
                    confined=confined,
                    tls=tls,
                )
            constant.append(("Accept-Encoding", "gzip"))
        self._head = HeadTemplate(self._endpoint, constant, destination.method)
        secret = (one.name.lower() for one in destination.headers if one.secret)
        self._hidden = frozenset((AUTHORIZATION.lower(), *secret))

    def sign(self, message: Message) -> Fields:
        """The header fields that both attempts of a message send. Raises SecretUnresolved."""
        destination, secrets = self.destination, self._wire.secrets
        confined, at = destination.confined, int(message.at)
        fields = secret_fields(destination, secrets)
        fields += signature_headers(destination.signatures, secrets, message.body, at, confined=confined)
        if destination.standard_webhooks is not None:
            keys = webhook_keys_of(destination.standard_webhooks, secrets, confined=confined)
            fields += standard_webhooks_headers(keys, message.id, at, message.body)
        return fields

    async def connect(self) -> bool:
        """Have a connection ready for the next message. False: none can be made."""
        destination = self.destination
        failure = await self._wire.poster.connect(
            destination.id, self._endpoint, destination.tls, timeout_s=self._wire.timeout_s
        )
        return failure is None

    async def deliver(self, message: Message, fields: Fields, retries: Retries) -> Delivery:
        """Send a message with its signatures, and send it once more if that failed. Never a third time."""
        tracer = self._wire.tracer
        span = tracer.begin("client") if tracer is not None else None
        if tracer is None or span is None:
            return await self._delivered(message, fields, retries)
        if tracer.tells_destinations:
            fields = [*fields, (TRACEPARENT, span.traceparent)]
        delivery: Delivery | None = None
        try:
            delivery = await self._delivered(message, fields, retries)
        finally:
            self._traced(span, message, delivery)
        return delivery

    def _traced(self, span: Span, message: Message, delivery: Delivery | None) -> None:
        facts: dict[str, str | int | float] = {
            "arke.destination": self.destination.id,
            "arke.kind": message.kind,
            "arke.users": message.users,
            "http.request.method": self.destination.method,
            "server.address": self._endpoint.host,
        }
        if delivery is not None:
            facts |= {"arke.answer": delivery.answer, "arke.attempts": delivery.attempts}
        span.end("deliver", facts, failed=delivery is None or not delivery.acknowledged)

    async def _delivered(self, message: Message, fields: Fields, retries: Retries) -> Delivery:
        success = self.destination.success
        asker = object()
        first, token = await self._attempt(message, fields, 1, asker)
        if first.status in success:
            return Delivery(True, first.code, attempts=1, sloppy=self._sloppy(first))
        retries.failed(first)
        await asyncio.sleep(self._wire.retry_delay_s)
        if not await retries.turn(message):
            self.refused(message, first, _shown(fields, token), attempts=1)
            return _failed(first, sloppy=self._sloppy(first))
        try:
            second, token = await self._attempt(message, fields, 2, asker)
        finally:
            retries.answered()
        sloppy = self._sloppy(first, second)
        if second.status in success:
            return Delivery(True, second.code, attempts=2, sloppy=sloppy, unanswered=_unanswered(first))
        retries.failed(second)
        self.refused(message, second, _shown(fields, token), attempts=2)
        return _failed(first, second, sloppy=sloppy)

    def _sloppy(self, *answers: Answer) -> int:
        """How many of a message's answers were not well-formed, with those of the token server meanwhile."""
        found = sum([answer.sloppy for answer in answers])
        return found if self.tokens is None else found + self.tokens.take_sloppy()

    def refused(self, message: Message, answer: Answer, fields: Fields, *, attempts: int) -> None:
        """Keep why a message was not acknowledged, without the secrets that were in its header `fields`."""
        now = self._clock.now()
        refused = refused_by(
            answer,
            self.secrets_in(fields),
            destination=message.destination.id,
            message=message.id,
            kind=message.kind,
            users=message.users,
            attempts=attempts,
            at=now,
        )
        self._wire.refusals.add(refused, now)

    async def _attempt(
        self, message: Message, fields: Fields, attempt: int, asker: object
    ) -> tuple[Answer, AccessToken | None]:
        """Send at most one request: its answer, and the token in it. The deadline covers fetching a token."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._wire.timeout_s
        token: AccessToken | None = None
        if self.tokens is not None:
            got = await self.tokens.token(timeout_s=self._wire.timeout_s, asker=asker)
            if isinstance(got, Answer):
                return got, None
            token = got
            fields = [token.header, *fields]
        request = self.request(message, fields, attempt)
        answer = await self._wire.poster.post(request, timeout_s=max(0.0, end - loop.time()))
        if answer.status in _DOUBTS_THE_TOKEN and self.tokens is not None and token is not None:
            self.tokens.refused(token, answer.status, asker, last=attempt == 2)
        return answer, token

    def request(self, message: Message, fields: Fields, attempt: int = 1) -> OutboundRequest:
        """The request of an attempt, with these header fields."""
        return OutboundRequest(
            destination=self.destination.id,
            kind=message.kind,
            message=message.id,
            attempt=attempt,
            endpoint=self._endpoint,
            head=self._head.complete(len(message.body), fields),
            body=message.body,
            tls=self.destination.tls,
            hidden=self._hidden,
        )

    def secrets_in(self, fields: Fields) -> list[str]:
        """What must be shown to nobody of a message with these header fields, and of its tokens."""
        found = [value for name, value in fields if name.lower() in self._hidden]
        return found if self.tokens is None else [*found, *self.tokens.secret_texts()]

    async def close(self) -> None:
        """Cancel a token's fetch. Safe twice."""
        if self.tokens is not None:
            await self.tokens.close()


def _failed(*answers: Answer, sloppy: int) -> Delivery:
    """How a delivery ended whose attempts, none of which succeeded, got these answers."""
    answer = answers[-1]
    status = answer.status
    return Delivery(
        False,
        answer.code,
        attempts=len(answers),
        sent=any(one.sent for one in answers),
        sloppy=sloppy,
        unanswered=_unanswered(*answers),
        refused=status is not None and 400 <= status < 500 and status not in PASSING,
        unreachable=answer.reason in _UNREACHABLE or answer.cause in _TIMEOUTS_UNREACHED,
    )


def _unanswered(*answers: Answer) -> int:
    """How many of these attempts have no answer."""
    return sum(answer.status is None for answer in answers)


def _shown(fields: Fields, token: AccessToken | None) -> Fields:
    """The header fields of an attempt."""
    return fields if token is None else [token.header, *fields]
