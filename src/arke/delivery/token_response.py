"""A token server's answer (RFC 6749 section 5): the token in it, or why there is none."""

from __future__ import annotations

import math
import re
import zlib
from typing import TYPE_CHECKING, Any, Final

import msgspec

from arke.delivery.https.ports import Answer, TokenRefusal
from arke.domain.digits import whole_number
from arke.domain.secret_text import BYTE_ORDER_MARK

if TYPE_CHECKING:
    from arke.delivery.https.endpoint import Endpoint

TOKEN_BODY_LIMIT_BYTES: Final = 65_536
MIN_MARGIN_S: Final = 5.0
MARGIN_SHARE: Final = 0.1
_TOKEN = re.compile(r"[\x21-\x7e]{1,8192}")
_GZIP_MAGIC = b"\x1f\x8b"
# The error codes of RFC 6749 section 5.2; anything else a server says is repeated to operators only.
_ERROR_CODES = frozenset(
    {
        "invalid_request", "invalid_client", "invalid_grant",
        "unauthorized_client", "unsupported_grant_type", "invalid_scope",
    }
)  # fmt: skip


class TokenResponse(msgspec.Struct):
    """The fields of a token response that are read."""

    access_token: str
    token_type: str = "Bearer"  # noqa: S105 - a scheme, not a secret
    expires_in: msgspec.Raw = msgspec.Raw(b"null")
    """Of any type, and no reason to do without the token."""


def read_token_response(answer: Answer, endpoint: Endpoint) -> TokenResponse | Answer:
    """A token server's answer, or why there is no token in it."""
    if answer.status is None:
        return no_token(answer.cause, f"{endpoint}: {answer.detail}", answer)
    body = None if answer.truncated else plain_body(answer.body, TOKEN_BODY_LIMIT_BYTES)
    if answer.status != 200:
        refusal = _refusal(answer.status, body)
        said = f" ({refusal.error})" if refusal.error in _ERROR_CODES else ""
        failed = no_token("status", f"{endpoint} answered {answer.status}{said}", answer)
        return msgspec.structs.replace(failed, token_refusal=refusal, body=answer.body)
    if body is None:
        return no_token("bad_response", f"{endpoint} sent too large or broken a token response", answer)
    try:
        response = msgspec.json.decode(body.removeprefix(BYTE_ORDER_MARK.encode()), type=TokenResponse)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return no_token("bad_response", f"{endpoint} sent no JSON object with an access_token", answer)
    if response.token_type.lower() != "bearer":
        return no_token("token_type", f"{endpoint} sent a token that is not a bearer token", answer)
    if not _TOKEN.fullmatch(response.access_token):
        return no_token("bad_response", f"{endpoint} sent a token that no header can carry", answer)
    return response


def plain_body(body: bytes, limit: int) -> bytes | None:
    """The body, decompressed if its bytes really are gzip: the documented sample only claims to be.

    None when it is broken, cut short, or larger than the limit once unpacked.
    """
    if not body.startswith(_GZIP_MAGIC):
        return body
    unpacker = zlib.decompressobj(wbits=31)
    try:
        plain = unpacker.decompress(body, limit)
    except zlib.error:
        return None
    return plain if unpacker.eof else None


def _refusal(status: int, body: bytes | None) -> TokenRefusal:
    """What RFC 6749 says a refusal tells, as far as it is there."""
    try:
        told: Any = msgspec.json.decode(body or b"{}")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        told = None
    named = told if isinstance(told, dict) else {}
    error, description = named.get("error"), named.get("error_description")
    return TokenRefusal(
        status,
        error if isinstance(error, str) else "",
        description if isinstance(description, str) else "",
    )


def lifetime_s(expires_in: msgspec.Raw) -> float | None:
    """How long to use a token: until a tenth of its lifetime, and at least 5 s, before it expires. None: not said.

    A token with a shorter lifetime is used by the callers that waited for it, and not cached.
    """
    try:
        said = msgspec.json.decode(expires_in, type=int | float | str)
        whole = whole_number(said.strip()) if isinstance(said, str) else said
        whole_s = math.nan if whole is None else float(whole)
    except (msgspec.MsgspecError, UnicodeDecodeError, OverflowError):
        return None
    if not math.isfinite(whole_s):
        return None
    return whole_s - max(MIN_MARGIN_S, whole_s * MARGIN_SHARE)


def no_token(cause: str, detail: str, answer: Answer | None = None, elapsed_ms: float = 0.0) -> Answer:
    """The answer of an attempt that had no token."""
    return Answer(
        reason="oauth",
        cause=f"oauth_{cause}",
        detail=f"no OAuth token: {detail}",
        elapsed_ms=answer.elapsed_ms if answer else elapsed_ms,
        retry_after_s=answer.retry_after_s if answer else None,
    )
