"""The way to one destination: a message is signed, gets a token where one is needed, and is posted.

A message has two attempts at most (SPEC section 5). Both send the same body, signatures and message id; each has a
deadline of its own.
"""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING

import msgspec

from arke.delivery.https.endpoint import parse_endpoint
from arke.delivery.https.ports import Answer
from arke.delivery.https.request import USER_AGENT, HeadTemplate, OutboundRequest, carried
from arke.delivery.oauth import AccessToken, TokenSource
from arke.delivery.refusals import Refusals, refused_by
from arke.delivery.signing import signature_headers, standard_webhooks_headers, webhook_keys_of
from arke.domain.secret_text import is_reference, name_and_password
from arke.errors import InvalidInput, SecretUnresolved

if TYPE_CHECKING:
    from arke.clock import Clock
    from arke.delivery.https.ports import Poster
    from arke.delivery.secrets import Secrets
    from arke.domain.catalog import BasicAuth, Destination

TIMEOUT_S = 3.0
RETRY_DELAY_S = 0.1
AUTHORIZATION = "Authorization"
_DOUBTS_THE_TOKEN = frozenset({401, 403})

Fields = list[tuple[str, str]]


class Wire(msgspec.Struct, frozen=True):
    """What all messages of a shard leave through, and where it is kept why some were refused. `timeout_s` bounds an
    attempt; a retry waits `retry_delay_s`.
    """

    poster: Poster
    secrets: Secrets
    refusals: Refusals = msgspec.field(default_factory=Refusals)
    timeout_s: float = TIMEOUT_S
    retry_delay_s: float = RETRY_DELAY_S


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
        fields: Fields = []
        if destination.basic_auth is not None:
            fields.append((AUTHORIZATION, self._basic(destination.basic_auth)))
        for one in destination.headers:
            if one.secret:
                fields.append((one.name, self._header_secret(one.value)))
        fields += signature_headers(destination.signatures, secrets, message.body, at, confined=confined)
        if destination.standard_webhooks is not None:
            keys = webhook_keys_of(destination.standard_webhooks, secrets, confined=confined)
            fields += standard_webhooks_headers(keys, message.id, at, message.body)
        return fields

    def _secret(self, reference: str) -> str:
        return self._wire.secrets.value(reference, confined=self.destination.confined)

    def _header_secret(self, reference: str) -> str:
        """A secret that a header carries as it is. Raises SecretUnresolved."""
        value = self._secret(reference)
        if not carried(value):
            raise SecretUnresolved(f"{reference}: the secret has characters that a header cannot carry")
        return value

    def _basic(self, auth: BasicAuth) -> str:
        """The value of the header Authorization. Raises SecretUnresolved."""
        if auth.pair is not None:
            try:
                name, password = name_and_password(self._secret(auth.pair))
            except InvalidInput as error:
                raise SecretUnresolved(f"{auth.pair}: {error}") from None
        else:
            name = self._secret(auth.username) if is_reference(auth.username) else auth.username
            password = self._secret(auth.password or "")
            if ":" in name:
                raise SecretUnresolved(f"{auth.username}: a user name must not hold a colon")
        return f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"

    async def deliver(self, message: Message, fields: Fields) -> Delivery:
        """Send a message with its signatures, and send it once more if that failed. Never a third time."""
        success = self.destination.success
        asker = object()
        first, _ = await self._attempt(message, fields, 1, asker)
        if first.status in success:
            return Delivery(True, first.code, attempts=1, sloppy=int(first.sloppy))
        await asyncio.sleep(self._wire.retry_delay_s)
        second, token = await self._attempt(message, fields, 2, asker)
        if second.status not in success:
            self.refused(message, second, fields if token is None else [token.header, *fields], attempts=2)
        return Delivery(
            second.status in success,
            second.code,
            attempts=2,
            sent=first.sent or second.sent,
            sloppy=first.sloppy + second.sloppy,
        )

    def refused(self, message: Message, answer: Answer, fields: Fields, *, attempts: int) -> None:
        """Keep why a message was not acknowledged, without the secrets that were in its header `fields`."""
        secrets = [value for name, value in fields if name.lower() in self._hidden]
        if self.tokens is not None:
            secrets += self.tokens.secret_texts()
        refused = refused_by(
            answer,
            secrets,
            destination=message.destination.id,
            message=message.id,
            kind=message.kind,
            users=message.users,
            attempts=attempts,
            at=self._clock.now(),
        )
        self._wire.refusals.add(refused)

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
        request = OutboundRequest(
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
        answer = await self._wire.poster.post(request, timeout_s=max(0.0, end - loop.time()))
        if answer.status in _DOUBTS_THE_TOKEN and self.tokens is not None and token is not None:
            self.tokens.refused(token, answer.status, asker, last=attempt == 2)
        return answer, token

    async def close(self) -> None:
        """Cancel a token's fetch. Safe twice."""
        if self.tokens is not None:
            await self.tokens.close()
