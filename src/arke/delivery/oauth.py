"""OAuth 2.0 client credentials (SPEC section 6): a destination's token is cached and fetched once for all.

Without options the request is the one that Audience Manager sends (IRIS), to the byte, except for Host and
User-Agent. The documented response has no `expires_in`: a token without one is kept for an hour, or until the
destination refuses it.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Final

from arke.delivery.authentication import token_request, token_secrets
from arke.delivery.https.endpoint import parse_endpoint
from arke.delivery.https.ports import Answer
from arke.delivery.https.request import TOKEN, USER_AGENT, OutboundRequest, exact_head
from arke.delivery.token_response import (
    TOKEN_BODY_LIMIT_BYTES,
    lifetime_s,
    no_token,
    read_token_response,
)
from arke.domain.catalog import Tls
from arke.domain.secret_text import name_and_password
from arke.errors import InvalidInput, SecretUnresolved

if TYPE_CHECKING:
    from arke.clock import Clock
    from arke.delivery.https.ports import Poster
    from arke.delivery.secrets import Secrets
    from arke.domain.catalog import OAuth2

UNKNOWN_LIFETIME_S: Final = 3_600.0
"""How long a token is used whose server does not say how long it lives."""
FORBIDDEN_S: Final = 60.0
"""After a new token was answered with 403 as well, how long a 403 is not taken for the token's fault."""


class AccessToken:
    """A bearer token. Only `header` has its text; a repr does not.

    `known_end`: the server said when it expires. `secrets` are those of the request for it, `asker` on whose behalf
    that was made.
    """

    __slots__ = ("_expires_at", "asker", "header", "known_end", "secrets")

    def __init__(
        self, text: str, expires_at: float, *, known_end: bool, secrets: tuple[str, ...], asker: object
    ) -> None:
        self.header = ("Authorization", f"Bearer {text}")
        self._expires_at = expires_at
        self.known_end = known_end
        self.secrets = secrets
        self.asker = asker

    def usable(self, now: float) -> bool:
        return now < self._expires_at

    def __repr__(self) -> str:
        return "AccessToken(...)"


class TokenSource:
    """The token of one destination.

    `token` returns the cached token or joins the fetch in flight. `refused` drops a token that was refused, and no
    newer one, so that many refusals at once cause one fetch. A token is made from a URL, parameters, TLS files and
    secrets: an edit of the catalog makes a new source, and a secret with another value a new token.
    """

    def __init__(
        self,
        poster: Poster,
        clock: Clock,
        secrets: Secrets,
        oauth: OAuth2,
        *,
        destination: int,
        confined: bool = False,
        tls: Tls = Tls(),  # noqa: B008 - immutable
    ) -> None:
        """`tls` is the destination's, used where `oauth` has none of its own. Raises InvalidInput."""
        self._poster = poster
        self._clock = clock
        self._secrets = secrets
        self._oauth = oauth
        self._destination = destination
        self._endpoint = parse_endpoint(oauth.token_url)
        self._confined = confined
        self._tls = tls if oauth.tls is None else oauth.tls
        self._current: AccessToken | None = None
        self._fetching: asyncio.Task[AccessToken | Answer] | None = None
        self._forbidden_until = -math.inf
        self._sloppy = 0

    def serves(self, oauth: OAuth2, *, confined: bool, tls: Tls) -> bool:
        """Whether a token of this source is what an edited destination would get. Not one that was fetched with a
        secret which a catalog from the network may not refer to.
        """
        own = tls if oauth.tls is None else oauth.tls
        return (self._oauth, self._confined, self._tls) == (oauth, confined, own)

    async def token(self, *, timeout_s: float, asker: object = None) -> AccessToken | Answer:
        """Return a token, or an Answer with reason `oauth` or `secret`, within `timeout_s`.

        A token that has to be fetched is fetched for `asker`. The time spent here counts towards the attempt's
        deadline: the post has what is left.
        """
        current = self._current
        if current is not None and current.usable(self._clock.now()) and self._made_the_same_way(current):
            return current
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch(timeout_s, asker))
            self._fetching.add_done_callback(self._fetched)
        started = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(timeout_s):
                # Shielded: one caller that gives up must not take the token from the others.
                return await asyncio.shield(self._fetching)
        except TimeoutError:
            elapsed_s = asyncio.get_running_loop().time() - started
            return no_token("timeout", "no token within the delivery's deadline", elapsed_ms=elapsed_s * 1000)

    def refused(self, token: AccessToken, status: int, asker: object, *, last: bool) -> None:
        """A message with this token was answered with 401 or 403. Drop the token where a new one may help.

        It does not after a last attempt with a token of its own (`asker`). Nor, for a 403, where the server said
        how long the token lives and gave it out for this very message, or soon after a new one was forbidden as
        well: then it is about something else.
        """
        now = self._clock.now()
        its_own = token.asker is asker
        if its_own and last and status == 403:
            self._forbidden_until = now + FORBIDDEN_S
        if its_own and (last or (token.known_end and status == 403)):
            return
        if status == 403 and now < self._forbidden_until:
            return
        if self._current is token:
            self._current = None

    def take_sloppy(self) -> int:
        """How many answers of the token server were not well-formed since this was last asked."""
        sloppy, self._sloppy = self._sloppy, 0
        return sloppy

    def secret_texts(self) -> list[str]:
        """Every secret that a request for a token says, so that no answer is shown with one of them in it."""
        try:
            found = self._resolved()
        except SecretUnresolved:
            return []
        texts = [*found]
        for text in found[:1] if self._oauth.credentials is not None else ():
            try:
                texts.append(name_and_password(text)[1])
            except InvalidInput:
                continue
        return texts

    async def close(self) -> None:
        """Cancel a fetch in flight. Safe twice."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])

    def _made_the_same_way(self, token: AccessToken) -> bool:
        """Whether the secrets are what they were. One that is not there just now may be about to be replaced."""
        try:
            return token.secrets == self._resolved()
        except SecretUnresolved:
            return True

    def _resolved(self) -> tuple[str, ...]:
        """The values of all secrets, the credentials first. Raises SecretUnresolved."""
        return token_secrets(self._oauth, self._secrets, confined=self._confined)

    def _fetched(self, task: asyncio.Task[AccessToken | Answer]) -> None:
        self._fetching = None
        if not task.cancelled() and task.exception() is None:
            result = task.result()
            if isinstance(result, AccessToken):
                self._current = result

    async def _fetch(self, timeout_s: float, asker: object) -> AccessToken | Answer:
        try:
            secrets = self._resolved()
            request = self._request(secrets)
        except SecretUnresolved as error:
            return Answer(reason="secret", cause="secret_unresolved", detail=str(error))
        except InvalidInput as error:
            return no_token("credentials", f"{self._oauth.credentials}: {error}")
        asked_at = self._clock.now()
        answer = await self._poster.post(request, timeout_s=timeout_s)
        self._sloppy += answer.sloppy
        read = read_token_response(answer, self._endpoint)
        if isinstance(read, Answer):
            return read
        known_s = lifetime_s(read.expires_in)
        return AccessToken(
            read.access_token,
            asked_at + (UNKNOWN_LIFETIME_S if known_s is None else known_s),
            known_end=known_s is not None,
            secrets=secrets,
            asker=asker,
        )

    def _request(self, secrets: tuple[str, ...]) -> OutboundRequest:
        """Raises InvalidInput where a secret cannot be sent."""
        fields, body = token_request(self._oauth, secrets, USER_AGENT)
        fields += [("Content-Length", str(len(body))), ("Accept-Encoding", "gzip")]
        return OutboundRequest(
            destination=self._destination,
            kind=TOKEN,
            endpoint=self._endpoint,
            head=exact_head(self._endpoint, fields),
            body=body,
            tls=self._tls,
            body_limit=TOKEN_BODY_LIMIT_BYTES,
        )
