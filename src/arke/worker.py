"""A shard's process, started for the engine by the starter, with one end of a socket.

It ends when the engine's end closes, however that came about, after committing what it had taken; and at once when
the shard breaks: the engine starts another process then.
"""

from __future__ import annotations

import asyncio
import functools
import os
import sys
from typing import TYPE_CHECKING, Any

from arke.background import Background
from arke.data_directory import PRIVATE_UMASK
from arke.errors import ArkeError
from arke.garbage import collect_seldom, keep_what_is_there
from arke.log import configure_logging, get_logger
from arke.shard.protocol import Submit
from arke.transport.answering import answered_by, refused
from arke.transport.frames import FrameConnection, answer_frame, decode_call, refusal_frame

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from arke.settings import Settings
    from arke.shard.commands import Result
    from arke.shard.shard import Shard
    from arke.transport.frames import Call


def run(connection: socket.socket, store: Path, settings: Settings, level: int) -> None:
    """Be the process of this shard until the engine's end of the connection is closed."""
    configure_logging(level)
    os.umask(PRIVATE_UMASK)
    collect_seldom()
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(connection, store, settings))


async def _serve(connection: socket.socket, store: Path, settings: Settings) -> None:
    from arke.shard_app import open_shard

    log = get_logger("worker", shard=store.stem)
    try:
        shard = open_shard(store, settings)
        await shard.start()
    except ArkeError as error:
        log.error("start_failed", code=error.code, message=str(error))
        sys.exit(1)
    keep_what_is_there()
    _, calls = await asyncio.get_running_loop().create_connection(lambda: _Calls(shard), sock=connection)
    breaking = asyncio.create_task(shard.broke.wait())
    ends: list[asyncio.Future[Any]] = [calls.ended, breaking]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    if shard.broke.is_set():
        sys.exit(1)
    breaking.cancel()
    await shard.stop()
    await calls.others.until_idle(1.0)


class _Calls(FrameConnection):
    """The shard's end of the socket. What is appended to the log is in the queue when it has been read, and
    answered when it is durable, without a task of its own; `others` are tasks.
    """

    def __init__(self, shard: Shard) -> None:
        super().__init__()
        self.others = Background()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._shard = shard
        self._under_way: set[asyncio.Future[list[Result]]] = set()

    def took(self, body: bytes) -> None:
        call = decode_call(body)
        asked = call.question
        if not isinstance(asked, Submit) or not asked.first:
            self.others.spawn(self._answer(call), "call")
            return
        try:
            durable = asyncio.ensure_future(self._shard.take(asked.first, asked.commands))
        except Exception as error:  # noqa: BLE001 - whoever asked must hear of it
            self._say(refusal_frame(call.number, refused(asked, error)))
            return
        self._under_way.add(durable)
        durable.add_done_callback(functools.partial(self._durable, call.number, asked))

    def _durable(self, number: int, asked: Submit, durable: asyncio.Future[list[Result]]) -> None:
        self._under_way.discard(durable)
        error = durable.exception()
        if error is None:
            self._say(answer_frame(number, durable.result()))
        else:
            self._say(refusal_frame(number, refused(asked, error)))

    async def _answer(self, call: Call) -> None:
        self._say(await answered_by(self._shard, call))

    def _say(self, frame: bytes) -> None:
        """Unless the shard broke: the next process is asked again, and knows what was stored. The engine may be
        gone, and what was asked is done all the same.
        """
        if not self._shard.broke.is_set():
            self.send(frame)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - however the engine's end was closed
        self.ended.set_result(None)
