"""The reference token endpoint's memory: which client credentials are known, which bearer tokens are good."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from typing import Final

from arke.clock import Clock, SystemClock

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

    def expire_all(self) -> None:
        """Make every token issued so far worthless: the next message gets a 401."""
        self._expiry_by_hash.clear()


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
