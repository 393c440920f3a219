"""What the checks share: the connection, the token, the made-up users with their messages, the results so far."""

from __future__ import annotations

import secrets
import time
import uuid
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from arke.clock import SystemEntropy, new_uuid
from arke.delivery.signing import standard_webhooks_headers
from arke.receiver.probe.client import Exchange, ProbeClient, Unanswered
from arke.receiver.probe.target import ProbeTarget
from arke.receiver.verifier import sign

if TYPE_CHECKING:
    from collections.abc import Callable

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
        context = self.target.token_tls_context()
        client = ProbeClient(endpoint, context, self._policy, patience_s=self._patience_s)
        headers, body = self.target.token_form(USER_AGENT)
        try:
            exchange = await client.send(body, headers)
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
        target = self.target
        headers = [("User-Agent", USER_AGENT), ("Content-Type", target.content_type), *target.headers]
        chosen_token = self._token if token == "" else token
        if chosen_token is not None:
            headers.append(("Authorization", f"Bearer {chosen_token}"))
        headers += self.signatures(body) if signatures is None else signatures
        return await self.client.send(body, headers, target.method)

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


Outcome = Literal["pass", "warn", "fail", "skip"]

CHECKS: Final = {
    "tls": "TLS 1.2 or newer with a certificate that is trusted and matches",
    "token": "the token endpoint issues a bearer token",
    "answers_200": "a plain message is answered with 200",
    "in_time": "the answer is complete within 3000 ms",
    "small_response": "the body of the answer is at most 4 KB",
    "keep_alive": "the connection can be used again",
    "numbers_as_strings": "every number comes as a string, with leading zeros",
    "ten_users": "ten users in one message",
    "regions_absent": "a message without AAM_Regions",
    "free_text_segment": "a Segment_ID of free text",
    "pipe_id": "a DataPartner_UUID with a pipe",
    "long_uuid": "an AAM_UUID of 43 digits, as in Adobe's sample",
    "unknown_segment": "a Segment_ID the destination does not know",
    "repeat": "the same message again",
    "wrong_signature": "a message with a wrong signature is refused",
    "missing_signature": "a message without a signature is refused",
    "wrong_token": "a message with a wrong token is refused",
    "missing_token": "a message without a token is refused",
    "latency": "many messages in a row stay within 3000 ms",
    "status_0": "Status 0, which also takes back what the probe told",
}


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One check's outcome with its reason."""

    name: str
    outcome: Outcome
    explanation: str

    @property
    def title(self) -> str:
        return CHECKS[self.name]


class ProbeReport(msgspec.Struct, frozen=True, kw_only=True):
    """All checks in order. `passed` is false as soon as one failed; warnings do not count."""

    endpoint: str
    passed: bool
    checks: tuple[Check, ...]


_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_ADVERTISING_DPIDS: Final = frozenset({20914, 20915})
_ONE_MESSAGE: Final = 10


class ProbeUser(msgspec.Struct, frozen=True):
    """A made-up device."""

    aam_uuid: str
    partner_id: str


class ProbeMessages:
    """Builds bodies in the wire format and keeps account of who was told to be in which segment."""

    def __init__(self, target: ProbeTarget) -> None:
        self._target = target
        self._told: dict[ProbeUser, set[str]] = {}
        self._run = secrets.token_hex(4)
        self.users = [self._user(number) for number in range(_ONE_MESSAGE)]

    def user(self, *, aam_uuid: str | None = None, partner_id: str | None = None) -> ProbeUser:
        """The first made-up user, with an id of another shape."""
        first = self.users[0]
        if aam_uuid is not None and self._target.user_dpid == 0:
            partner_id = aam_uuid  # the id is the UUID itself
        return ProbeUser(aam_uuid or first.aam_uuid, partner_id or first.partner_id)

    def body(
        self, users: list[ProbeUser] | None = None, *, segment_id: str | None = None, regions: bool = True
    ) -> bytes:
        """A message that says: these users (by default the first) are in the segment."""
        chosen = users or self.users[:1]
        segment = segment_id or self._target.segment_id
        for user in chosen:
            self._told.setdefault(user, set()).add(segment)
        return self._encode([(user, [segment]) for user in chosen], status="1", regions=regions)

    def take_back(self) -> list[bytes]:
        """Messages with Status 0 for everything that was told so far."""
        told = [(user, sorted(segments)) for user, segments in self._told.items()]
        return [
            self._encode(told[start : start + _ONE_MESSAGE], status="0", regions=True)
            for start in range(0, len(told), _ONE_MESSAGE)
        ]

    def _encode(self, users: list[tuple[ProbeUser, list[str]]], *, status: str, regions: bool) -> bytes:
        now = wire_date(time.time())
        return msgspec.json.encode(
            {
                "ProcessTime": now,
                "User_DPID": str(self._target.user_dpid),
                "Client_ID": self._target.client_id,
                "AAM_Destination_Id": self._target.destination_id,
                "User_count": str(len(users)),
                "Users": [_user_fields(user, segments, status, now, regions) for user, segments in users],
            }
        )

    def _user(self, number: int) -> ProbeUser:
        device = new_uuid(SystemEntropy())
        if self._target.user_dpid == 0:
            return ProbeUser(device, device)
        if self._target.user_dpid in _ADVERTISING_DPIDS:
            text = str(uuid.uuid4())
            return ProbeUser(device, text.upper() if self._target.user_dpid == 20915 else text)
        return ProbeUser(device, f"arke-probe-{self._run}-{number}")


def wire_date(at_s: float) -> str:
    """The wire's date text, independent of the machine's language."""
    year, month, day, hour, minute, second, weekday = time.gmtime(at_s)[:7]
    clock = f"{hour:02d}:{minute:02d}:{second:02d}"
    return f"{_DAYS[weekday]} {_MONTHS[month - 1]} {day:02d} {clock} UTC {year}"


def _user_fields(
    user: ProbeUser, segments: list[str], status: str, now: str, regions: bool
) -> dict[str, Any]:
    return {
        "AAM_UUID": user.aam_uuid,
        "DataPartner_UUID": user.partner_id,
        **({"AAM_Regions": ["9"]} if regions else {}),
        "Segments": [{"Segment_ID": segment, "Status": status, "DateTime": now} for segment in segments],
    }
