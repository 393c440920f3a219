"""Links and sessions end by themselves, on a clock that is set."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

from arke.clock import ManualClock
from arke.domain.token import Token
from arke.errors import Unauthorized, Unavailable
from arke.operations import sign_in
from arke.operations.sign_in import SignIns
from arke.tokens import digest


class Tokens:
    """A store of tokens in memory."""

    def __init__(self, *tokens: Token) -> None:
        self.tokens = list(tokens)

    async def list(self) -> list[Token]:
        return self.tokens

    async def find(self, secret_hash: bytes) -> Token | None:
        return next((one for one in self.tokens if one.secret_hash == secret_hash), None)


class Audit:
    """Takes everything."""

    async def record(self, *_: str) -> None:
        return


def reader(expires: int | None = None) -> Token:
    return Token(id="t1", name="", scopes=("read",), secret_hash=digest("secret"), created=0, expires=expires)


def desk(clock: ManualClock, *tokens: Token, address: str | None = "http://here") -> SignIns:
    store: Any = Tokens(*tokens)
    audit: Any = Audit()
    return SignIns(store, clock, audit, address)


def code(url: str) -> str:
    return url.partition("?link=")[2]


async def test_a_link_that_nobody_opens_expires() -> None:
    clock = ManualClock(1_000)
    signs = desk(clock)
    first, second = await signs.link(), await signs.link()
    clock.set(1_000 + sign_in.LINK_S - 1)
    await signs.open_link(code(first.url))
    clock.set(1_000 + sign_in.LINK_S)
    with pytest.raises(Unauthorized, match="older than ten minutes"):
        await signs.open_link(code(second.url))


async def test_a_session_ends_when_nothing_is_asked() -> None:
    clock = ManualClock(0)
    signs = desk(clock)
    secret, session = await signs.open_link(code((await signs.link()).url))
    clock.set(sign_in.IDLE_S - 1)
    assert await signs.find(secret) is session
    clock.set(2 * sign_in.IDLE_S - 2)
    assert await signs.find(secret) is session
    clock.set(3 * sign_in.IDLE_S)
    assert await signs.find(secret) is None
    clock.set(2 * sign_in.IDLE_S)
    assert await signs.find(secret) is None, "it came back"


async def test_a_session_ends_however_much_is_asked() -> None:
    clock = ManualClock(0)
    signs = desk(clock)
    secret, _ = await signs.open_link(code((await signs.link()).url))
    for now in range(0, sign_in.SESSION_S, sign_in.IDLE_S // 2):
        clock.set(now)
        assert await signs.find(secret) is not None
    clock.set(sign_in.SESSION_S)
    assert await signs.find(secret) is None


async def test_a_session_ends_with_its_token() -> None:
    clock = ManualClock(0)
    signs = desk(clock, reader(expires=50))
    secret, session = await signs.open_token("secret")
    assert (session.allows("read"), session.allows("operate"), session.actor) == (True, False, "t1")
    clock.set(49)
    assert await signs.find(secret) is session
    clock.set(50)
    assert await signs.find(secret) is None


async def test_a_link_of_a_token_that_expired_does_not_sign_in() -> None:
    clock = ManualClock(0)
    signs = desk(clock, reader(expires=50))
    link = await signs.link(actor="t1")
    clock.set(50)
    with pytest.raises(Unauthorized, match="revoked or has expired"):
        await signs.open_link(code(link.url))


async def test_the_oldest_go_where_there_are_too_many() -> None:
    signs = desk(ManualClock(0))
    links = [await signs.link() for _ in range(sign_in.MAX_LINKS + 1)]
    with pytest.raises(Unauthorized):
        await signs.open_link(code(links[0].url))
    await signs.open_link(code(links[1].url))


async def test_without_an_engine_there_is_no_console() -> None:
    with pytest.raises(Unavailable, match="start `arke up`"):
        await desk(ManualClock(0), address=None).link()


async def test_what_nobody_asks_for_any_more_is_forgotten() -> None:
    clock = ManualClock(0)
    signs = desk(clock, reader())
    _, left = await signs.open_token("secret")
    left.kept["draft"] = "a large catalog"
    gone = weakref.ref(left)
    del left
    clock.set(sign_in.IDLE_S)
    await signs.open_token("secret")
    gc.collect()
    assert gone() is None
