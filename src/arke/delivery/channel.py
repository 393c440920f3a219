"""The way to one destination: a message is signed, gets a token where one is needed, and is posted.

A message has two attempts at most (SPEC section 5). Both send the same body, signatures and message id; each has a
deadline of its own.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

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

Fields = list[tuple[str, str]]


class Wire(msgspec.Struct, frozen=True):
    """What all messages of a shard leave through. `timeout_s` bounds an attempt; a retry waits `retry_delay_s`."""

    poster: Poster
    secrets: Secrets
    timeout_s: float = TIMEOUT_S
    retry_delay_s: float = RETRY_DELAY_S


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
    destination may have received the message; `sloppy` counts answers that were not well-formed.
    """

    acknowledged: bool
    answer: str
    attempts: int
    sent: bool = True
    sloppy: int = 0


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

    async def deliver(self, message: Message, fields: Fields) -> Delivery:
        """Send a message with its signatures, and send it once more if that failed. Never a third time."""
        success = self.destination.success
        first = await self._attempt(message, fields, 1)
        if first.status in success:
            return Delivery(True, first.code, attempts=1, sloppy=int(first.sloppy))
        await asyncio.sleep(self._wire.retry_delay_s)
        second = await self._attempt(message, fields, 2)
        return Delivery(
            second.status in success,
            second.code,
            attempts=2,
            sent=first.sent or second.sent,
            sloppy=first.sloppy + second.sloppy,
        )

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
