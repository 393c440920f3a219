"""Answers each request of the reference server: routes it, verifies it, and applies its message."""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
import sqlite3
import time
from collections import OrderedDict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

import msgspec

from arke.clock import Clock, SystemClock
from arke.domain.secret_text import name_and_password
from arke.errors import InvalidInput
from arke.receiver.connection import Reply
from arke.receiver.faults import status_of
from arke.receiver.http import Answer, Record, Request, RequestLog, error_answer, json_answer
from arke.receiver.message import Message, MessageError
from arke.receiver.misbehaviour import ANSWERS_ANYWAY, Misbehaviour, MisbehaviourPlan
from arke.receiver.nearly import what_is_wrong
from arke.receiver.parser import parse
from arke.receiver.verifier import VerificationError, bearer_token, verify

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    OnMessage = Callable[[Message, Request], None]

    from arke.receiver.config import ReceiverConfig
    from arke.receiver.state import AudienceState

_log = logging.getLogger(__name__)
_PAUSE_PER_HINT: Final = 5.0
"""How many times as long as it took to look for a hint none is looked for: whoever sends anything makes us look."""


class ReceiverStats(msgspec.Struct, kw_only=True):
    """Counters since the start. `requests` are messages only, not tokens or questions about the state; `addresses`
    counts connections by the address that they came to.
    """

    requests: int = 0
    accepted: int = 0
    users: int = 0
    entries: int = 0
    verified: int = 0
    failed: dict[str, int] = {}
    misbehaved: dict[str, int] = {}
    connections: int = 0
    addresses: dict[str, int] = {}
    tls_failures: int = 0
    tokens_issued: int = 0

    def fail(self, verdict: str) -> None:
        self.failed[verdict] = self.failed.get(verdict, 0) + 1

    def reach(self, address: str) -> None:
        self.addresses[address] = self.addresses.get(address, 0) + 1

    def misbehave(self, kind: str) -> None:
        self.misbehaved[kind] = self.misbehaved.get(kind, 0) + 1


class ReceiverService:
    """The destination's logic, free of sockets: a request in, a reply out."""

    def __init__(
        self,
        config: ReceiverConfig,
        *,
        state: AudienceState,
        log: RequestLog,
        plan: MisbehaviourPlan,
        tokens: TokenIssuer | None,
        change_plan: Callable[[list[str]], None],
        on_message: OnMessage | None,
    ) -> None:
        self._config = config
        self._state = state
        self._log = log
        self._plan = plan
        self._tokens = tokens
        self._change_plan = change_plan
        self._on_message = on_message
        self.stats = ReceiverStats()
        self._hints_from = 0.0

    def reply(self, request: Request) -> Reply:
        """Route one request."""
        match request.method, request.path:
            case "GET", "/stats":
                return Reply(answer=json_answer(self.report()))
            case "GET", "/state":
                return Reply(answer=self._about(request))
            case "GET", "/healthz":
                return Reply(answer=json_answer({"status": "ok"}))
            case _, path if path.startswith("/control/"):
                return Reply(answer=self._controlled(request))
            case "POST", "/oauth2/token" if self._tokens is not None:
                return self._token_reply(request, self._tokens)
            case "POST" | "PUT" | "PATCH", _:
                return self._message_reply(request)
            case _:
                allow = ("Allow", "POST, PUT, PATCH")
                return Reply(
                    answer=error_answer(
                        405, "method_not_allowed", "messages come by POST, PUT or PATCH", allow
                    )
                )

    def report(self) -> dict[str, Any]:
        """The counters, and what the state adds up to."""
        counts = self._state.counts()
        return {
            **msgspec.to_builtins(self.stats),
            "unique_ids": counts.ids,
            "state": {"active": counts.active, "inactive": counts.inactive},
        }

    # -- messages

    def _message_reply(self, request: Request) -> Reply:
        fault = self._plan.for_request(
            "message", now_s=time.monotonic(), applies=lambda rule: self._concerns(rule, request)
        )
        self.stats.requests += 1
        if fault is not None and fault.kind not in ANSWERS_ANYWAY:
            verdict, answer = "not_processed", Answer(status=500)
        else:
            verdict, answer = self._judge(request)
        if verdict == "accepted":
            self.stats.accepted += 1
        elif fault is None:
            self.stats.fail(verdict)
        return self._finish(request, verdict, answer, fault)

    def _concerns(self, rule: Misbehaviour, request: Request) -> bool:
        """Whether a fault that looks at requests is about this one."""
        if rule.kind == "poison":
            return _names(request.body, rule.value)
        if rule.kind == "stale-token":
            return self._tokens is not None and self._tokens.older_than(rule.seconds[0], _bearer(request))
        return True

    def _finish(self, request: Request, verdict: str, answer: Answer, fault: Misbehaviour | None) -> Reply:
        if fault is not None:
            self.stats.misbehave(fault.kind)
        record = Record(
            at=datetime.fromtimestamp(time.time(), UTC),
            request=request,
            verdict=verdict,
            status=answer.status if fault is None else status_of(fault, answer),
            fault=None if fault is None else fault.text,
        )
        try:
            self._log.add(record)
        except OSError:
            # The message itself is stored; a full disk under the inspection log must not cost the sender.
            self.stats.fail("log_unwritable")
        return Reply(answer=answer, fault=fault)

    def _judge(self, request: Request) -> tuple[str, Answer]:
        """Token, signature, format, store: the verdict and the answer."""
        if self._tokens is not None and not self._token_accepted(request):
            challenge = ("WWW-Authenticate", 'Bearer error="invalid_token"')
            return "bad_token", error_answer(401, "bad_token", "a valid bearer token is required", challenge)
        if self._config.keys:
            try:
                verify(request.body, request.headers, self._config.keys)
            except VerificationError as error:
                return "bad_signature", error_answer(403, "bad_signature", f"{error}{self._hint(request)}")
        if self._tokens is not None or self._config.keys:
            self.stats.verified += 1
        try:
            message = parse(request.body, max_body_bytes=self._config.max_body_bytes)
        except MessageError as error:
            return error.code, json_answer(
                {"error": error.code, "path": error.path, "message": error.reason}, 400
            )
        return self._take(message, request)

    def _hint(self, request: Request) -> str:
        """What an engineer may have done otherwise. Of thousands that are wrong most are answered at once."""
        begun = time.monotonic()
        if begun < self._hints_from:
            return ""
        hint = what_is_wrong(request.body, request.headers, self._config.keys)
        ended = time.monotonic()
        self._hints_from = ended + _PAUSE_PER_HINT * (ended - begun)
        return hint and f"; {hint}"

    def _take(self, message: Message, request: Request) -> tuple[str, Answer]:
        try:
            self._state.apply(message)
        except sqlite3.Error:
            return "store_unavailable", error_answer(503, "store_unavailable", "the store cannot be written")
        self.stats.users += len(message.users)
        self.stats.entries += sum(len(user.segments) for user in message.users)
        if self._on_message is not None:
            try:
                self._on_message(message, request)
            except Exception:  # noqa: BLE001 - the owner of the callback sees it in the log, the sender a 500
                _log.exception("the on_message callback failed")
                return "callback_failed", error_answer(500, "callback_failed", "see the receiver's log")
        return "accepted", json_answer({"accepted": len(message.users)})

    def _token_accepted(self, request: Request) -> bool:
        return self._tokens is not None and self._tokens.accepts(_bearer(request))

    # -- tokens

    def _token_reply(self, request: Request, tokens: TokenIssuer) -> Reply:
        fault = self._plan.for_request("token", now_s=time.monotonic())
        verdict, answer = self._issue(request, tokens)
        return self._finish(request, verdict, answer, fault)

    def _issue(self, request: Request, tokens: TokenIssuer) -> tuple[str, Answer]:
        no_store = ("Cache-Control", "no-store")
        form = parse_qs(request.body.decode("latin-1"))
        if not (tokens.knows(request.header("Authorization") or "") or tokens.named_in(form)):
            challenge = ("WWW-Authenticate", "Basic")
            return "bad_client", json_answer({"error": "invalid_client"}, 401, challenge, no_store)
        if form.get("grant_type") != ["client_credentials"]:
            return "bad_grant", json_answer({"error": "unsupported_grant_type"}, 400, no_store)
        content: dict[str, object] = {"token_type": "Bearer", "access_token": tokens.issue()}
        if self._config.announce_expiry:
            content["expires_in"] = int(tokens.lifetime_s)
        self.stats.tokens_issued = tokens.issued
        return "token_issued", json_answer(content, 200, no_store)

    # -- inspection and control

    def _about(self, request: Request) -> Answer:
        if not request.from_this_machine:
            return error_answer(403, "forbidden", "the state is shown on this machine only")
        ids = parse_qs(request.query).get("id", [])
        if len(ids) != 1:
            return error_answer(400, "bad_request", "name one id, as in /state?id=4250948725049857")
        return json_answer({"id": ids[0], "memberships": self._state.lookup(ids[0])})

    def _controlled(self, request: Request) -> Answer:
        if not self._config.control:
            return error_answer(404, "not_found", "control is off; start the receiver with --control")
        if not request.from_this_machine:
            return error_answer(403, "forbidden", "control is possible from this machine only")
        match request.method, request.path:
            case "POST", "/control/misbehave":
                return self._replace_plan(request.body)
            case "GET", "/control/misbehave":
                return json_answer({"misbehave": self._plan.remaining()})
            case "POST", "/control/expire-tokens" if self._tokens is not None:
                self._tokens.expire_all()
                return json_answer({"expired": True})
            case _:
                return error_answer(404, "not_found", "known: /control/misbehave, /control/expire-tokens")

    def _replace_plan(self, body: bytes) -> Answer:
        try:
            wanted = msgspec.json.decode(body, type=_Wanted)
            self._change_plan(wanted.misbehave)
        except (msgspec.MsgspecError, UnicodeDecodeError, InvalidInput) as error:
            return error_answer(400, "bad_misbehaviour", str(error))
        return json_answer({"misbehave": self._plan.remaining()})


class _Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """Body of POST /control/misbehave: the faults that shall be in force from now on."""

    misbehave: list[str]


_MAX_LIVE_TOKENS: Final = 10_000


class TokenIssuer:
    """Issues expiring bearer tokens for client credentials. Keeps only the tokens' hashes.

    The credentials are compared as the opaque text that follows `Basic ` (dossier 6).
    """

    def __init__(self, credentials: bytes, *, lifetime_s: float, clock: Clock | None = None) -> None:
        self._credentials = credentials
        self._clock = clock or SystemClock()
        self._expiry_by_hash: OrderedDict[bytes, float] = OrderedDict()
        self.lifetime_s = lifetime_s
        self.issued = 0

    def knows(self, authorization: str) -> bool:
        """Whether an Authorization header carries the client's credentials."""
        scheme, _, given = authorization.partition(" ")
        matches = hmac.compare_digest(given.encode("utf-8", "replace"), self._credentials)
        return scheme.lower() == "basic" and matches

    def named_in(self, form: Mapping[str, list[str]]) -> bool:
        """Whether a form names the client, as `client_id` and `client_secret`."""
        try:
            known = name_and_password(self._credentials.decode())
        except (InvalidInput, UnicodeDecodeError):
            return False  # opaque credentials
        given = [form.get(name, []) for name in ("client_id", "client_secret")]
        if any(len(values) != 1 for values in given):
            return False
        ours, theirs = (":".join(pair).encode() for pair in (known, [values[0] for values in given]))
        return hmac.compare_digest(ours, theirs)

    def issue(self) -> str:
        """A fresh token of 256 bits; beyond the bound the oldest one is forgotten."""
        token = secrets.token_urlsafe(32)
        self._expiry_by_hash[_hash(token)] = self._clock.now() + self.lifetime_s
        if len(self._expiry_by_hash) > _MAX_LIVE_TOKENS:
            self._expiry_by_hash.popitem(last=False)
        self.issued += 1
        return token

    def accepts(self, token: str) -> bool:
        expiry = self._expiry_by_hash.get(_hash(token))
        return expiry is not None and self._clock.now() < expiry

    def older_than(self, seconds: float, token: str) -> bool:
        """Whether this is one of its tokens, and was issued longer ago."""
        expiry = self._expiry_by_hash.get(_hash(token))
        return expiry is not None and self._clock.now() - (expiry - self.lifetime_s) > seconds

    def expire_all(self) -> None:
        """Make every token issued so far worthless: the next message gets a 401."""
        self._expiry_by_hash.clear()


def _bearer(request: Request) -> str:
    """The token of a request; empty where it has none."""
    try:
        return bearer_token(request.headers)
    except VerificationError:
        return ""


def _names(body: bytes, user: str) -> bool:
    """Whether a body, of whatever format, holds this id whole."""
    whole = rb"(?<![\w-])%s(?![\w-])" % re.escape(user.encode())
    return re.search(whole, body) is not None


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
