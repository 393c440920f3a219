"""Who looks at the console: links that sign in once, and the sessions that they or a token begin.

Both live in this process's memory: whoever is signed in signs in again after a restart, and nothing that lets
anybody in is ever stored.
"""

from __future__ import annotations

import hmac
import secrets
from typing import TYPE_CHECKING, Any, Final

import msgspec

from arke.domain.time import utc_text
from arke.domain.token import LOCAL
from arke.errors import Unauthorized, Unavailable
from arke.tokens import authorize, digest

if TYPE_CHECKING:
    from arke.clock import Clock
    from arke.domain.token import Scope, Token
    from arke.engine.audit import Audit
    from arke.storage.ports.directory import Tokens

SECRET_BYTES: Final = 32
LINK_S: Final = 600
"""How long a link waits to be opened."""
IDLE_S: Final = 2 * 3_600
"""A session ends when nothing was asked in it for so long,"""
SESSION_S: Final = 12 * 3_600
"""and after this in any case."""
MAX_LINKS: Final = 256
MAX_SESSIONS: Final = 4_096
"""Beyond either the oldest one ends."""
SIGN_IN: Final = "/console/sign-in"
LEAST_SCOPE: Final = "read"
"""Whoever has less than this finds nothing in the console."""


class SignInLink(msgspec.Struct, frozen=True):
    """A link to the console that signs in once, until `expires` (RFC 3339). `path` is its end, for whoever reaches
    the admin port by another address than `url` has.
    """

    url: str
    path: str
    expires: str


class Session:
    """Somebody who is signed in: `token`, or on this machine (None), who may do everything. `anti_forgery` is in
    every form that they are shown; `kept` is what pages remember from one request to the next.
    """

    def __init__(self, token: Token | None, now: float) -> None:
        self.token = token
        self.anti_forgery = secrets.token_urlsafe(SECRET_BYTES)
        self.begun = self.seen = now
        self.kept: dict[str, Any] = {}

    @property
    def actor(self) -> str:
        """Who does what is done, as the audit names them."""
        return LOCAL if self.token is None else self.token.id

    @property
    def scopes(self) -> tuple[Scope, ...]:
        return ("admin",) if self.token is None else self.token.scopes

    def allows(self, scope: str) -> bool:
        return self.token is None or self.token.allows(scope)

    def live(self, now: float) -> bool:
        return now - self.seen < IDLE_S and now - self.begun < SESSION_S

    def is_its_own(self, given: str) -> bool:
        """Whether a form that came back was shown to them."""
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.anti_forgery.encode())


class _Link(msgspec.Struct, frozen=True):
    """A link that nobody has opened. `token` is the id of whose it is; None: this machine's."""

    token: str | None
    expires: float


class SignIns:
    """Makes links, opens sessions and ends them. `address` is where people reach the admin port, as `http://...`;
    None: no console runs in this process. What lets anybody in is known by its hash only.
    """

    def __init__(self, store: Tokens, clock: Clock, audit: Audit, address: str | None = None) -> None:
        self._store = store
        self._clock = clock
        self._audit = audit
        self._address = address
        self._links: dict[bytes, _Link] = {}
        self._sessions: dict[bytes, Session] = {}

    async def link(self, *, actor: str = LOCAL) -> SignInLink:
        """A link that signs in with what `actor` may do. Raises Unavailable where no engine runs."""
        link = self.first_link(actor)
        await self._audit.record(actor, "console_link_made", f"holds for {LINK_S} s")
        return link

    def first_link(self, actor: str = LOCAL) -> SignInLink:
        """The one that an engine shows when it starts: nobody has asked for it, so it is not audited."""
        if self._address is None:
            raise Unavailable("the console is part of a running engine: start `arke up`, then ask again")
        code = secrets.token_urlsafe(SECRET_BYTES)
        expires = self._clock.now() + LINK_S
        self._links[digest(code)] = _Link(None if actor == LOCAL else actor, expires)
        _forget_oldest(self._links, MAX_LINKS)
        path = f"{SIGN_IN}?link={code}"
        return SignInLink(self._address + path, path, utc_text(int(expires)))

    async def open_link(self, code: str) -> tuple[str, Session]:
        """A new session, and the secret that it is asked for by. Raises Unauthorized: the link was used, has
        expired, or its token does not hold any more.
        """
        link = self._links.pop(digest(code), None)
        if link is None or self._clock.now() >= link.expires:
            raise Unauthorized(
                "This link was used already, or is older than ten minutes. `arke console` prints a new one."
            )
        token = None
        if link.token is not None:
            token = next((one for one in await self._store.list() if one.id == link.token), None)
            if token is None or not token.live(self._clock.now()):
                raise Unauthorized("The token that made this link was revoked or has expired.")
        return await self._begin(token)

    async def open_token(self, secret: str) -> tuple[str, Session]:
        """The same for the secret of a token. Raises Unauthorized."""
        return await self._begin(await authorize(self._store, secret, LEAST_SCOPE, self._clock.now()))

    async def find(self, secret: str) -> Session | None:
        """The session that is asked for by this; None where it has ended, by itself or with its token. Raises
        StoreUnavailable.
        """
        known = digest(secret)
        session = self._sessions.get(known)
        if session is None:
            return None
        now = self._clock.now()
        if not session.live(now) or not await self._still_holds(session, now):
            self._sessions.pop(known, None)
            return None
        session.seen = now
        return session

    async def end(self, secret: str) -> None:
        """Sign out. Safe twice."""
        session = self._sessions.pop(digest(secret), None)
        if session is not None:
            await self._audit.record(session.actor, "console_signed_out", "by themselves")

    async def _begin(self, token: Token | None) -> tuple[str, Session]:
        now = self._clock.now()
        # What they kept goes with those whom nobody asks for any more.
        self._sessions = {known: one for known, one in self._sessions.items() if one.live(now)}
        session = Session(token, now)
        secret = secrets.token_urlsafe(SECRET_BYTES)
        self._sessions[digest(secret)] = session
        _forget_oldest(self._sessions, MAX_SESSIONS)
        await self._audit.record(session.actor, "console_signed_in", f"with {','.join(session.scopes)}")
        return secret, session

    async def _still_holds(self, session: Session, now: float) -> bool:
        """Whether its token does, which may have been revoked in another process."""
        if session.token is None:
            return True
        token = await self._store.find(session.token.secret_hash)
        return token is not None and token.live(now)


def _forget_oldest(kept: dict[bytes, Any], most: int) -> None:
    """They stand in the order in which they began."""
    while len(kept) > most:
        del kept[next(iter(kept))]
