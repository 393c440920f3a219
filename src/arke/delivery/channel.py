"""The way to one destination: a message is signed, gets a token where one is needed, and is posted.

A message has two attempts at most (SPEC section 5). Both send the same body, signatures and message id; each has a
deadline of its own.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from arke.delivery.https.endpoint import parse_endpoint
from arke.delivery.https.request import USER_AGENT, HeadTemplate, OutboundRequest
from arke.delivery.oauth import AccessToken, TokenSource
from arke.delivery.signing import signature_headers, standard_webhooks_headers, webhook_key

if TYPE_CHECKING:
    from arke.clock import Clock
    from arke.delivery.https.ports import Answer, Poster
    from arke.delivery.secrets import Secrets
    from arke.domain.catalog import Destination

TIMEOUT_S = 3.0
RETRY_DELAY_S = 0.1

PASSING: Final = frozenset({401, 403, 408, 425, 429})
"""The 4xx that say nothing of what the message holds."""
_UNREACHABLE: Final = frozenset({"dns", "connect", "tls"})
_TIMEOUTS_UNREACHED: Final = frozenset({"timeout_dns", "timeout_connect", "timeout_tls"})

Fields = list[tuple[str, str]]


class Wire(msgspec.Struct, frozen=True):
    """What all messages of a shard leave through. `timeout_s` bounds an attempt; a retry waits `retry_delay_s`.

    `shard` is the shard's number, from 0, and how many there are: each keeps to its share of a destination's
    bounds.
    """

    poster: Poster
    secrets: Secrets
    timeout_s: float = TIMEOUT_S
    retry_delay_s: float = RETRY_DELAY_S
    shard: tuple[int, int] = (0, 1)


class Message(msgspec.Struct, frozen=True):
    """A message to a destination, with its exact bytes. `at` is the time it was made, in epoch seconds."""

    destination: Destination
    id: str
    kind: str
    body: bytes
    at: float


class Delivery(msgspec.Struct, frozen=True):
    """How a delivery ended after `attempts` (0 to 2).

    `answer` is what the ledger records: a status, or the stable name of what failed. `sent` says whether the
    destination may have received the message; `refused`: it answered that it does not take what the message holds;
    `unreachable`: there was no connection to it.
    """

    acknowledged: bool
    answer: str
    attempts: int
    sent: bool = True
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
        self._endpoint = parse_endpoint(destination.url)
        constant = [("User-Agent", USER_AGENT), ("Content-Type", destination.content_type)]
        self.tokens: TokenSource | None = None
        if destination.oauth2 is not None:
            if before is not None and _same_credentials(before.destination, destination):
                self.tokens = before.tokens
            else:
                self.tokens = TokenSource(
                    wire.poster,
                    clock,
                    wire.secrets,
                    destination=destination.id,
                    endpoint=parse_endpoint(destination.oauth2.token_url),
                    credentials=destination.oauth2.credentials,
                    confined=destination.confined,
                    tls=destination.tls,
                )
            constant.append(("Accept-Encoding", "gzip"))
        self._head = HeadTemplate(self._endpoint, constant)

    def sign(self, message: Message) -> Fields:
        """The header fields that both attempts of a message send. Raises SecretUnresolved."""
        destination, secrets = self.destination, self._wire.secrets
        fields = signature_headers(
            destination.signatures, secrets, message.body, confined=destination.confined
        )
        if destination.standard_webhooks is not None:
            secret = secrets.value(destination.standard_webhooks.key, confined=destination.confined)
            fields += standard_webhooks_headers(
                webhook_key(secret), message.id, int(message.at), message.body
            )
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
        success = self.destination.success
        first = await self._attempt(message, fields, 1)
        if first.status in success:
            return Delivery(True, first.code, attempts=1)
        retries.failed(first)
        await asyncio.sleep(self._wire.retry_delay_s)
        if not await retries.turn(message):
            return _failed(first, 1, sent=first.sent)
        try:
            second = await self._attempt(message, fields, 2)
        finally:
            retries.answered()
        if second.status in success:
            return Delivery(True, second.code, attempts=2)
        retries.failed(second)
        return _failed(second, 2, sent=first.sent or second.sent)

    async def _attempt(self, message: Message, fields: Fields, attempt: int) -> Answer:
        """Send at most one request. The deadline covers fetching a token, too."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._wire.timeout_s
        token: AccessToken | Answer | None = None
        if self.tokens is not None:
            token = await self.tokens.token(timeout_s=self._wire.timeout_s)
            if not isinstance(token, AccessToken):
                return token
            fields = [token.header, *fields]
        request = OutboundRequest(
            destination=self.destination.id,
            kind=message.kind,
            message=message.id,
            attempt=attempt,
            endpoint=self._endpoint,
            head=self._head.complete(len(message.body), fields),
            body=message.body,
            tls=self.destination.tls,
        )
        answer = await self._wire.poster.post(request, timeout_s=max(0.0, end - loop.time()))
        if answer.status == 401 and self.tokens is not None and isinstance(token, AccessToken):
            self.tokens.invalidate(token)  # so that the retry fetches a new one
        return answer

    async def close(self) -> None:
        """Cancel a token's fetch. Safe twice."""
        if self.tokens is not None:
            await self.tokens.close()


def _same_credentials(before: Destination, now: Destination) -> bool:
    """Whether a token fetched for one may be shown to the other: not what was fetched with a secret that a catalog
    from the network may not refer to.
    """
    return before.oauth2 == now.oauth2 and before.confined == now.confined


def _failed(answer: Answer, attempts: int, *, sent: bool) -> Delivery:
    """How a delivery ended whose last attempt got this answer."""
    status = answer.status
    return Delivery(
        False,
        answer.code,
        attempts,
        sent=sent,
        refused=status is not None and 400 <= status < 500 and status not in PASSING,
        unreachable=answer.reason in _UNREACHABLE or answer.cause in _TIMEOUTS_UNREACHED,
    )
