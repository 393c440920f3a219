"""What the checks share: the connection, the token, the made-up users, and the results so far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from arke.receiver.probe.client import Exchange, ProbeClient, Unanswered
from arke.receiver.probe.messages import ProbeMessages
from arke.receiver.probe.report import CHECKS, Check, Outcome
from arke.receiver.verifier import sign

if TYPE_CHECKING:
    from collections.abc import Callable

    from arke.receiver.probe.target import ProbeTarget

USER_AGENT: Final = "Arke probe"


class _TokenResponse(msgspec.Struct):
    """What a token endpoint must answer (dossier 6)."""

    access_token: str
    token_type: str


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
        self.client = ProbeClient(target.endpoint, self._context, self._policy, patience_s=patience_s)
        self._token: str | None = None

    def record(self, name: str, outcome: Outcome, explanation: str) -> None:
        check = Check(name=name, outcome=outcome, explanation=explanation)
        self.checks.append(check)
        if self._on_check is not None:
            self._on_check(check)

    def skip_rest(self, why: str) -> None:
        """Skip every check that has no result yet."""
        done = {check.name for check in self.checks}
        for name in CHECKS:
            if name not in done:
                self.record(name, "skip", why)

    async def fetch_token(self) -> None:
        """Get a bearer token as a sender would; Unanswered says what is wrong with the answer."""
        endpoint = self.target.token_endpoint
        if endpoint is None:
            return
        client = ProbeClient(endpoint, self._context, self._policy, patience_s=self._patience_s)
        headers = [
            ("User-Agent", USER_AGENT),
            ("Authorization", f"Basic {self.target.credentials}"),
            ("Content-Type", "application/x-www-form-urlencoded;charset=UTF-8"),
        ]
        try:
            exchange = await client.post(b"grant_type=client_credentials", headers)
        finally:
            await client.close()
        self._token = _token(exchange)

    async def send(
        self,
        body: bytes,
        *,
        token: str | None = "",
        signatures: list[tuple[str, str]] | None = None,
    ) -> Exchange:
        """Post a message, signed and with the token; other ones, or None, may be given in their place."""
        headers = [("User-Agent", USER_AGENT), ("Content-Type", "application/json"), *self.target.headers]
        chosen_token = self._token if token == "" else token
        if chosen_token is not None:
            headers.append(("Authorization", f"Bearer {chosen_token}"))
        headers += self.signatures(body) if signatures is None else signatures
        return await self.client.post(body, headers)

    def signatures(self, body: bytes) -> list[tuple[str, str]]:
        return [(key.header, sign(body, key)) for key in self.target.keys]

    def accepted(self, exchange: Exchange) -> bool:
        return exchange.status in self.target.success

    async def close(self) -> None:
        await self.client.close()


def _token(exchange: Exchange) -> str:
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
    return response.access_token
