"""API tokens: minting and checking. The secret is never stored."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from typing import TYPE_CHECKING, Final

from arke.domain.token import SCOPES, Scope, Token
from arke.errors import InvalidInput, Unauthorized

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from arke.clock import Clock
    from arke.storage.ports.directory import Tokens

PREFIX: Final = "arke_"
SECRET_BYTES: Final = 32
MAX_SECRET_CHARS: Final = 128
MAX_NAME_CHARS: Final = 255
MAX_LIFETIME_S: Final = 10 * 365 * 86_400

_LIFETIME: Final = re.compile(r"([0-9]{1,6})(m|h|d|w|y)")
_UNIT_S: Final = {"m": 60, "h": 3_600, "d": 86_400, "w": 7 * 86_400, "y": 365 * 86_400}


def mint(
    name: str,
    scopes: Iterable[str],
    *,
    now: int,
    lifetime_s: int | None = None,
    random_bytes: Callable[[int], bytes] = secrets.token_bytes,
) -> tuple[str, Token]:
    """A fresh secret, to be shown once, and the token to store. Raises `InvalidInput` on a bad scope."""
    if len(name) > MAX_NAME_CHARS or not name.isprintable():
        raise InvalidInput(f"a token's name has at most {MAX_NAME_CHARS} characters, all of them printable")
    secret = PREFIX + base64.urlsafe_b64encode(random_bytes(SECRET_BYTES)).rstrip(b"=").decode()
    token = Token(
        id=random_bytes(6).hex(),
        name=name,
        scopes=check_scopes(scopes),
        secret_hash=digest(secret),
        created=now,
        expires=None if lifetime_s is None else now + lifetime_s,
    )
    return secret, token


async def authorize(store: Tokens, secret: str | None, scope: str, now: float) -> Token:
    """The live token behind a secret, if it carries the scope; otherwise raises `Unauthorized`.

    Wrong, expired and revoked secrets get the same answer, so that nobody learns which one he holds.
    """
    if not secret:
        raise Unauthorized("a token is needed: send `Authorization: Bearer arke_...`")
    wanted = digest(secret[:MAX_SECRET_CHARS])
    token = await store.find(wanted)
    if token is None or not hmac.compare_digest(token.secret_hash, wanted) or not token.live(now):
        raise Unauthorized("the token is unknown, expired or revoked: `arke token create` makes a new one")
    if not token.allows(scope):
        raise Unauthorized(f"the token lacks the scope {scope!r}", forbidden=True)
    return token


class Doorkeeper:
    """Who may do what, by the tokens of a store."""

    def __init__(self, store: Tokens, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def authorize(self, secret: str | None, scope: str) -> str:
        """The id of the token, which carries the scope. Raises `Unauthorized`, StoreUnavailable."""
        return (await authorize(self._store, secret, scope, self._clock.now())).id


def digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def check_scopes(scopes: Iterable[str]) -> tuple[Scope, ...]:
    """Scopes in their fixed order, each once. Raises `InvalidInput` on an unknown one or on none."""
    wanted = {scope.strip() for scope in scopes} - {""}
    unknown = sorted(wanted - set(SCOPES))
    if unknown:
        raise InvalidInput(f"unknown scope {unknown[0]!r}: choose from {', '.join(SCOPES)}")
    if not wanted:
        raise InvalidInput(f"a token needs at least one scope: {', '.join(SCOPES)}")
    if "browser" in wanted and len(wanted) > 1:
        raise InvalidInput(
            "a token of scope browser stands in pages, where everybody can read it: it has no other scope"
        )
    return tuple(scope for scope in SCOPES if scope in wanted)


def parse_lifetime_s(text: str) -> int:
    """Seconds of `90d`, `12h`, `30m`, `2w` or `1y`. Raises `InvalidInput`."""
    match = _LIFETIME.fullmatch(text)
    lifetime_s = int(match[1]) * _UNIT_S[match[2]] if match is not None else 0
    if not 0 < lifetime_s <= MAX_LIFETIME_S:
        raise InvalidInput(
            f"{text!r} is not a lifetime: a number and m, h, d, w or y, such as 90d; at most 10y"
        )
    return lifetime_s
