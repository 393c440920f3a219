"""The HTTPS courier: headers, signatures and tokens around a message, posted within the deadline.

A 401 drops the token that was refused, so that the retry fetches a new one: that resend is the one retry.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from arke.delivery.https.endpoint import parse_endpoint
from arke.delivery.https.request import USER_AGENT, HeadTemplate, OutboundRequest
from arke.delivery.oauth import AccessToken, TokenSource
from arke.delivery.sender import TIMEOUT_S, Outbound, Reply
from arke.delivery.signing import signature_headers, standard_webhooks_headers, webhook_key
from arke.errors import InvalidInput, SecretUnresolved

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from arke.clock import Clock
    from arke.delivery.https.endpoint import Endpoint
    from arke.delivery.https.ports import Answer, Poster
    from arke.delivery.secrets import Secrets
    from arke.domain.catalog import Destination


class Channel(msgspec.Struct, frozen=True):
    """What is constant about posting to one destination."""

    destination: Destination
    endpoint: Endpoint
    head: HeadTemplate
    tokens: TokenSource | None


class Parcel(msgspec.Struct, frozen=True):
    """A message with the header fields that both attempts send."""

    channel: Channel
    outbound: Outbound
    fields: list[tuple[str, str]]


class HttpsCourier:
    """Carries messages through a `Poster`."""

    def __init__(
        self,
        poster: Poster,
        secrets: Secrets,
        clock: Clock,
        *,
        timeout_s: float = TIMEOUT_S,
        on_close: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`on_close` closes what the poster holds open."""
        self._on_close = on_close
        self._poster = poster
        self._secrets = secrets
        self._clock = clock
        self._timeout_s = timeout_s
        self._channels: dict[int, Channel] = {}

    def prepare(self, outbound: Outbound) -> Parcel | Reply:
        destination = outbound.destination
        try:
            channel = self._channel(destination)
            fields = signature_headers(
                destination.signatures, self._secrets, outbound.body, confined=destination.confined
            )
            if destination.standard_webhooks is not None:
                secret = self._secrets.value(destination.standard_webhooks.key, confined=destination.confined)
                key = webhook_key(secret)
                fields += standard_webhooks_headers(key, outbound.message_id, int(outbound.at), outbound.body)
        except SecretUnresolved as error:
            return Reply(None, error.code)
        except InvalidInput as error:
            return Reply(None, error.code)
        return Parcel(channel, outbound, fields)

    def _channel(self, destination: Destination) -> Channel:
        known = self._channels.get(destination.id)
        if known is not None and known.destination is destination:
            return known
        endpoint = parse_endpoint(destination.url)
        constant = [("User-Agent", USER_AGENT), ("Content-Type", destination.content_type)]
        tokens = None
        if destination.oauth2 is not None:
            if known is not None and _same_credentials(known.destination, destination):
                tokens = known.tokens
            else:
                tokens = TokenSource(
                    self._poster,
                    self._clock,
                    self._secrets,
                    endpoint=parse_endpoint(destination.oauth2.token_url),
                    credentials=destination.oauth2.credentials,
                    confined=destination.confined,
                    tls=destination.tls,
                )
            constant.append(("Accept-Encoding", "gzip"))
        channel = Channel(destination, endpoint, HeadTemplate(endpoint, constant), tokens)
        self._channels[destination.id] = channel
        return channel

    async def carry(self, parcel: Parcel, attempt: int) -> Reply:
        loop = asyncio.get_running_loop()
        end = loop.time() + self._timeout_s
        channel, fields = parcel.channel, parcel.fields
        token: AccessToken | Answer | None = None
        if channel.tokens is not None:
            token = await channel.tokens.token(timeout_s=self._timeout_s)
            if not isinstance(token, AccessToken):
                return Reply(None, token.cause or token.reason or "oauth", sent=False)
            fields = [token.header, *fields]
        body = parcel.outbound.body
        try:
            head = channel.head.complete(len(body), fields)
        except InvalidInput as error:
            return Reply(None, error.code, sent=False)
        request = OutboundRequest(
            endpoint=channel.endpoint, head=head, body=body, tls=channel.destination.tls
        )
        left_s = max(0.0, end - loop.time())
        answer = await self._poster.post(request, timeout_s=left_s, fresh=attempt > 1)
        if answer.status == 401 and channel.tokens is not None and isinstance(token, AccessToken):
            channel.tokens.invalidate(token)
        if answer.status is not None:
            return Reply(answer.status)
        return Reply(None, answer.cause or answer.reason or "failed", sent=answer.sent)

    async def close(self) -> None:
        for channel in self._channels.values():
            if channel.tokens is not None:
                await channel.tokens.close()
        if self._on_close is not None:
            await self._on_close()


def _same_credentials(before: Destination, now: Destination) -> bool:
    """Whether a token fetched for one may be shown to the other: not what was fetched with a secret that a catalog
    from the network may not refer to.
    """
    return before.oauth2 == now.oauth2 and before.confined == now.confined
