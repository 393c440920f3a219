"""What the checks share: the connection, the token, the results so far, and what was noticed on the way."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import TYPE_CHECKING, Final

import msgspec

from arke.delivery.signing import standard_webhooks_headers
from arke.domain.digits import whole_number
from arke.receiver.probe.client import Exchange, ProbeClient, Unanswered
from arke.receiver.probe.messages import ProbeMessages
from arke.receiver.probe.report import CHECKS, Check, Outcome
from arke.receiver.verifier import sign

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from arke.delivery.https.endpoint import Endpoint
    from arke.domain.catalog import HttpMethod
    from arke.receiver.probe.target import ProbeTarget

USER_AGENT: Final = "Arke probe"
TURNS: Final = 3
"""How often a message is sent that is answered with 429."""
LONGEST_WAIT_S: Final = 5.0
WAITS_S: Final = 30.0
"""How long all the waiting that an endpoint asks for may take."""


class _TokenResponse(msgspec.Struct):
    """What a token endpoint must answer (dossier 6)."""

    access_token: str
    token_type: str
    expires_in: int | float | str | None = None


class ProbeSession:
    """One run of the probe against one target."""

    def __init__(
        self, target: ProbeTarget, *, patience_s: float, on_check: Callable[[Check], None] | None = None
    ) -> None:
        self.target = target
        self.messages = ProbeMessages(target)
        self.checks: list[Check] = []
        self._on_check = on_check
        self._patience_s = patience_s
        self._context = target.tls_context()
        self._policy = target.policy()
        self._way_out = target.way_out()
        self.client = self.another_client()
        self._token: Token | None = None
        self._wait_left_s = WAITS_S
        self.sent = 0
        self.answered = 0
        self.sloppy: list[str] = []
        """What the parser said of each answer that was not well-formed."""
        self.stale: list[tuple[float, int]] = []
        """Tokens that were refused after they had worked: their age in seconds, and the status."""

    def another_client(self) -> ProbeClient:
        """A client with a connection of its own."""
        return self._client(self.target.endpoint, self._context)

    def _client(self, endpoint: Endpoint, context: ssl.SSLContext) -> ProbeClient:
        return ProbeClient(endpoint, context, self._policy, patience_s=self._patience_s, proxy=self._way_out)

    def record(self, name: str, outcome: Outcome, explanation: str, **facts: object) -> None:
        check = Check(name=name, outcome=outcome, explanation=explanation, facts=facts)
        self.checks.append(check)
        if self._on_check is not None:
            self._on_check(check)

    def skip_rest(self, why: str) -> None:
        """Skip every check that has no result yet."""
        done = {check.name for check in self.checks}
        for name in CHECKS:
            if name not in done:
                self.record(name, "skip", why)

    @property
    def token(self) -> Token | None:
        return self._token

    async def fetch_token(self) -> Token | None:
        """Get a bearer token as a sender would; Unanswered says what is wrong with the answer."""
        endpoint = self.target.token_endpoint
        if endpoint is None:
            return None
        client = self._client(endpoint, self.target.token_tls_context())
        headers, body = self.target.token_form(USER_AGENT)
        self.sent += 1
        try:
            exchange = await client.send(body, headers)
        finally:
            await client.close()
        self._token = _token(exchange)
        return self._token

    async def send(
        self, body: bytes, *, token: str | None = "", signatures: list[tuple[str, str]] | None = None
    ) -> Exchange:
        """Send a message, signed and with the token; other ones, or None, may be given in their place.

        As a sender would: again after a 429, once it has waited; again with a new token where one that had worked
        is refused.
        """
        exchange = await self.send_once(body, token=token, signatures=signatures)
        for _ in range(TURNS - 1):
            if exchange.status != 429 or not await self.wait(exchange):
                break
            exchange = await self.send_once(body, token=token, signatures=signatures)
        known = self._token
        if token != "" or signatures is not None or known is None:
            return exchange
        if exchange.status in {401, 403} and known.worked:
            self.stale.append((time.monotonic() - known.fetched_at, exchange.status))
            await self.fetch_token()
            exchange = await self.send_once(body)
        elif self.accepted(exchange):
            known.worked = True
        return exchange

    async def send_once(
        self,
        body: bytes,
        *,
        token: str | None = "",
        signatures: list[tuple[str, str]] | None = None,
        content_type: str | None = None,
        method: HttpMethod | None = None,
        client: ProbeClient | None = None,
    ) -> Exchange:
        """Send one request, and note what its answer is like."""
        target = self.target
        headers = [("User-Agent", USER_AGENT), ("Content-Type", content_type or target.content_type)]
        headers += target.headers
        own = self._token.text if self._token is not None else None
        chosen_token = own if token == "" else token
        if chosen_token is not None:
            headers.append(("Authorization", f"Bearer {chosen_token}"))
        headers += self.signatures(body) if signatures is None else signatures
        self.sent += 1
        exchange = await (client or self.client).send(body, headers, method or target.method)
        self.answered += 1
        if exchange.sloppy:
            self.sloppy.append(exchange.sloppy)
        return exchange

    async def wait(self, exchange: Exchange) -> bool:
        """Wait as long as an answer asks for, within bounds. False: there has been enough of that."""
        asked_s = whole_number((exchange.retry_after or "").strip(), 10**6)
        wait_s = min(1.0 if asked_s is None else float(asked_s), LONGEST_WAIT_S)
        if wait_s > self._wait_left_s:
            return False
        self._wait_left_s -= wait_s
        await asyncio.sleep(wait_s)
        return True

    @property
    def signs(self) -> bool:
        return bool(self.target.keys or self.target.webhook_keys)

    def signatures(self, body: bytes, *, wrong: bool = False) -> list[tuple[str, str]]:
        """The header fields that prove a message; `wrong`: made with keys that nobody has."""
        now = int(time.time())
        secret = secrets.token_bytes(32)
        fields: list[tuple[str, str]] = []
        stamps: dict[str, str] = {}
        for key in self.target.keys:
            used = msgspec.structs.replace(key, secret=secret) if wrong else key
            fields.append((key.header, sign(body, used, now)))
            if key.timestamp_header is not None:
                stamps[key.timestamp_header] = str(now)
        fields += stamps.items()
        if self.target.webhook_keys:
            keys = (secret,) if wrong else self.target.webhook_keys
            fields += standard_webhooks_headers(keys, f"probe-{secrets.token_hex(8)}", now, body)
        return fields

    def accepted(self, exchange: Exchange) -> bool:
        return exchange.status in self.target.success

    async def close(self) -> None:
        await self.client.close()


class Token:
    """A bearer token, and since when it has been in use. `worked`: a message with it was accepted."""

    def __init__(self, text: str, expires_in: float | str | None) -> None:
        self.text = text
        self.expires_in = expires_in
        self.fetched_at = time.monotonic()
        self.worked = False

    def __repr__(self) -> str:
        return "Token(...)"


def _token(exchange: Exchange) -> Token:
    if exchange.status != 200:
        raise Unanswered("answer", f"the token endpoint answered {exchange.status} instead of 200")
    try:
        response = msgspec.json.decode(exchange.body, type=_TokenResponse)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise Unanswered(
            "answer", "the token endpoint's answer is no JSON object with access_token and token_type"
        ) from None
    if response.token_type.lower() != "bearer":
        raise Unanswered("answer", "the token endpoint's token_type is not Bearer")
    if not response.access_token or not all("!" <= letter <= "~" for letter in response.access_token):
        raise Unanswered("answer", "the access_token is not visible ASCII")
    return Token(response.access_token, response.expires_in)
