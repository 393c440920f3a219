"""An ASGI app called in this process: the reply as it comes, what the app raises, and an app that is left alone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from arke.api import parameters
from arke.api.in_process import AHEAD, AsgiCall
from arke.api.session import Call
from arke.api.table import callers, catalog, undelivered

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    Send = Callable[[dict[str, Any]], Awaitable[None]]

START = {"type": "http.response.start", "status": 202, "headers": [(b"retry-after", b"7")]}
LIST = Call(undelivered.UNDELIVERED, parameters.AnyDestination(5))


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as one:
        yield one


def begun(runner: asyncio.Runner, app: Any, call: Call = LIST) -> AsgiCall:
    reply = AsgiCall(runner, app, call)
    reply.begin()
    return reply


def test_a_reply_has_status_headers_and_body(runner: asyncio.Runner) -> None:
    async def app(scope: dict[str, Any], receive: Any, send: Send) -> None:
        first = await receive()
        raw, query = scope["raw_path"], scope["query_string"]
        text = f"{scope['method']} {scope['path']} {raw!r} {query!r} {first['body']!r}"
        await send(START)
        await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
        await send({"type": "http.response.body", "body": b" end"})

    call = Call(catalog.APPLY, parameters.CatalogFile(dry_run=True), b"text")
    reply = begun(runner, app, call)
    assert (reply.status, reply.getheader("Retry-After", ""), reply.getheader("x", "-")) == (202, "7", "-")
    assert reply.read() == b"POST /v1/catalog b'/v1/catalog' b'dry_run=1' b'text' end"
    reply.end()
    revoked = begun(runner, app, Call(callers.REVOKE_TOKEN, parameters.OneToken("a/b")))
    assert revoked.read().startswith(b"DELETE /v1/tokens/a/b b'/v1/tokens/a%2Fb'")
    revoked.end()


def test_lines_come_whole_however_they_were_cut(runner: asyncio.Runner) -> None:
    async def app(_: Any, __: Any, send: Send) -> None:
        await send(START)
        for part in (b"on", b"e\ntwo\nth", b"", b"ree"):
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    reply = begun(runner, app)
    assert list(reply) == [b"one", b"two", b"three"]
    reply.end()


def test_what_the_app_raises_comes_out_where_the_reply_is_read(runner: asyncio.Runner) -> None:
    async def late(_: Any, __: Any, send: Send) -> None:
        await send(START)
        raise KeyError("late")

    async def at_once(_: Any, __: Any, ___: Send) -> None:
        raise KeyError("at once")

    reply = begun(runner, late)
    assert reply.status == 202
    with pytest.raises(KeyError, match="late"):
        reply.read()
    reply.end()
    with pytest.raises(KeyError, match="at once"):
        begun(runner, at_once)


def test_an_app_that_nobody_reads_stops_producing_and_is_ended(runner: asyncio.Runner) -> None:
    sent, ended = 0, False

    async def app(_: Any, __: Any, send: Send) -> None:
        nonlocal sent, ended
        try:
            await send(START)
            while True:
                await send({"type": "http.response.body", "body": b"x\n", "more_body": True})
                sent += 1
        finally:
            ended = True

    reply = begun(runner, app)
    assert next(iter(reply)) == b"x"
    assert sent <= 2 * AHEAD + 2
    reply.end()
    assert ended
