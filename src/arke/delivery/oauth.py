"""OAuth 2.0 client credentials (SPEC section 6): a destination's token is cached and fetched once for all.

The request is the one that Audience Manager sends (IRIS), to the byte, except for Host and User-Agent. The
documented response has no `expires_in`, so a token without one is kept until the destination answers 401.
"""

from __future__ import annotations

import asyncio
import math
import re
import zlib
from typing import TYPE_CHECKING, Final

import msgspec

from arke.delivery.https.ports import Answer
from arke.delivery.https.request import TOKEN, USER_AGENT, OutboundRequest, exact_head
from arke.domain.catalog import Tls
from arke.domain.digits import whole_number
from arke.errors import InvalidInput, SecretUnresolved

if TYPE_CHECKING:
    from arke.clock import Clock
    from arke.delivery.https.endpoint import Endpoint
    from arke.delivery.https.ports import Poster
    from arke.delivery.secrets import Secrets

TOKEN_BODY_LIMIT_BYTES: Final = 65_536
MIN_MARGIN_S: Final = 5.0
MARGIN_SHARE: Final = 0.1
_REQUEST_BODY: Final = b"grant_type=client_credentials"
_TOKEN = re.compile(r"[\x21-\x7e]{1,8192}")
_GZIP_MAGIC = b"\x1f\x8b"
# The error codes of RFC 6749 section 5.2; anything else a server says is not repeated.
_ERROR_CODES = frozenset(
    {
        "invalid_request", "invalid_client", "invalid_grant",
        "unauthorized_client", "unsupported_grant_type", "invalid_scope",
    }
)  # fmt: skip


class AccessToken:
    """A bearer token. Only `header` has its text; a repr does not."""

    __slots__ = ("_expires_at", "header")

    def __init__(self, text: str, expires_at: float | None) -> None:
        self.header = ("Authorization", f"Bearer {text}")
        self._expires_at = expires_at

    def usable(self, now: float) -> bool:
        return self._expires_at is None or now < self._expires_at

    def __repr__(self) -> str:
        return "AccessToken(...)"


class _TokenResponse(msgspec.Struct):
    """The fields of a token response that are read."""

    access_token: str
    token_type: str = "Bearer"  # noqa: S105 - a scheme, not a secret
    expires_in: int | float | str | None = None


class _ErrorResponse(msgspec.Struct):
    """A token server's refusal."""

    error: str = ""


class TokenSource:
    """The token of one destination.

    `token` returns the cached token or joins the fetch in flight. After a 401 `invalidate` drops the refused token,
    and no newer one, so that many 401s at once cause one fetch.
    """

    def __init__(
        self,
        poster: Poster,
        clock: Clock,
        secrets: Secrets,
        *,
        destination: int,
        endpoint: Endpoint,
        credentials: str,
        confined: bool = False,
        tls: Tls = Tls(),  # noqa: B008 - immutable
    ) -> None:
        self._poster = poster
        self._clock = clock
        self._secrets = secrets
        self._destination = destination
        self._endpoint = endpoint
        self._credentials = credentials
        self._confined = confined
        self._tls = tls
        self._current: AccessToken | None = None
        self._fetching: asyncio.Task[AccessToken | Answer] | None = None

    async def token(self, *, timeout_s: float) -> AccessToken | Answer:
        """Return a token, or an Answer with reason `oauth` or `secret`, within `timeout_s`.

        The time spent here counts towards the attempt's deadline: the post has what is left.
        """
        current = self._current
        if current is not None and current.usable(self._clock.now()):
            return current
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch(timeout_s))
            self._fetching.add_done_callback(self._fetched)
        started = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(timeout_s):
                # Shielded: one caller that gives up must not take the token from the others.
                return await asyncio.shield(self._fetching)
        except TimeoutError:
            elapsed_s = asyncio.get_running_loop().time() - started
            return _failure("timeout", "no token within the delivery's deadline", elapsed_ms=elapsed_s * 1000)

    def invalidate(self, token: AccessToken) -> None:
        """Drop a token that the destination refused."""
        if self._current is token:
            self._current = None

    async def close(self) -> None:
        """Cancel a fetch in flight. Safe twice."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])

    def _fetched(self, task: asyncio.Task[AccessToken | Answer]) -> None:
        self._fetching = None
        if not task.cancelled() and task.exception() is None:
            result = task.result()
            if isinstance(result, AccessToken):
                self._current = result

    async def _fetch(self, timeout_s: float) -> AccessToken | Answer:
        try:
            request = self._request()
        except SecretUnresolved as error:
            return Answer(reason="secret", cause="secret_unresolved", detail=str(error))
        except InvalidInput:
            return _failure("credentials", f"{self._credentials} has characters that a header cannot carry")
        asked_at = self._clock.now()
        answer = await self._poster.post(request, timeout_s=timeout_s)
        return _read(answer, self._endpoint, asked_at)

    def _request(self) -> OutboundRequest:
        head = exact_head(
            self._endpoint,
            [
                ("User-Agent", USER_AGENT),
                ("Authorization", f"Basic {self._secrets.value(self._credentials, confined=self._confined)}"),
                ("Content-Type", "application/x-www-form-urlencoded;charset=UTF-8"),
                ("Content-Length", str(len(_REQUEST_BODY))),
                ("Accept-Encoding", "gzip"),
            ],
        )
        return OutboundRequest(
            destination=self._destination,
            kind=TOKEN,
            endpoint=self._endpoint,
            head=head,
            body=_REQUEST_BODY,
            tls=self._tls,
            body_limit=TOKEN_BODY_LIMIT_BYTES,
        )


def _read(answer: Answer, endpoint: Endpoint, asked_at: float) -> AccessToken | Answer:
    """The token in a token server's answer, or why there is none."""
    if answer.status is None:
        return _failure(answer.cause, f"{endpoint}: {answer.detail}", answer)
    body = None if answer.truncated else _plain(answer.body)
    if answer.status != 200:
        code = _error_code(body)
        said = f" ({code})" if code else ""
        return _failure("status", f"{endpoint} answered {answer.status}{said}", answer)
    if body is None:
        return _failure("bad_response", f"{endpoint} sent too large or broken a token response", answer)
    try:
        response = msgspec.json.decode(body, type=_TokenResponse)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _failure("bad_response", f"{endpoint} sent no JSON object with an access_token", answer)
    if response.token_type.lower() != "bearer":
        return _failure("token_type", f"{endpoint} sent a token that is not a bearer token", answer)
    if not _TOKEN.fullmatch(response.access_token):
        return _failure("bad_response", f"{endpoint} sent a token that no header can carry", answer)
    return AccessToken(response.access_token, _expires_at(response.expires_in, asked_at))


def _plain(body: bytes) -> bytes | None:
    """The body, decompressed if its bytes really are gzip: the documented sample only claims to be.

    None when it is broken, cut short, or larger than the limit once unpacked.
    """
    if not body.startswith(_GZIP_MAGIC):
        return body
    unpacker = zlib.decompressobj(wbits=31)
    try:
        plain = unpacker.decompress(body, TOKEN_BODY_LIMIT_BYTES)
    except zlib.error:
        return None
    return plain if unpacker.eof else None


def _error_code(body: bytes | None) -> str:
    try:
        code = msgspec.json.decode(body or b"{}", type=_ErrorResponse).error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
    return code if code in _ERROR_CODES else ""


def _expires_at(expires_in: float | str | None, asked_at: float) -> float | None:
    """When to stop using a token: a tenth of its lifetime, and at least 5 s, before it expires.

    A token with a shorter lifetime is used by the callers that waited for it, and not cached.
    """
    lifetime_s = whole_number(expires_in.strip()) if isinstance(expires_in, str) else expires_in
    if lifetime_s is None or not math.isfinite(lifetime_s):
        return None
    return asked_at + lifetime_s - max(MIN_MARGIN_S, lifetime_s * MARGIN_SHARE)


def _failure(cause: str, detail: str, answer: Answer | None = None, elapsed_ms: float = 0.0) -> Answer:
    return Answer(
        reason="oauth",
        cause=f"oauth_{cause}",
        detail=f"no OAuth token: {detail}",
        elapsed_ms=answer.elapsed_ms if answer else elapsed_ms,
        retry_after_s=answer.retry_after_s if answer else None,
    )
