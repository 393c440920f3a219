"""A shard's process: `python -m arke.worker`, started by the engine with one end of a socket.

It ends when the engine's end closes, however that came about, after committing what it had taken; and at once when
the shard breaks: the engine starts another process then.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from arke.background import Background
from arke.data_directory import PRIVATE_UMASK
from arke.errors import ArkeError
from arke.garbage import collect_seldom, keep_what_is_there
from arke.log import configure_logging, get_logger
from arke.settings import Settings
from arke.transport.answering import answered_by
from arke.transport.frames import decode_call, read_frame

if TYPE_CHECKING:
    from arke.transport.frames import Call

STREAM_LIMIT_BYTES = 1 << 20


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket", type=int, required=True)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--settings", required=True)
    parser.add_argument("--log-level", type=int, required=True)
    arguments = parser.parse_args()
    configure_logging(arguments.log_level)
    os.umask(PRIVATE_UMASK)
    # The engine decides when to stop; a Ctrl-C, or a service manager's SIGTERM, reaches the whole process group.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    settings = msgspec.json.decode(arguments.settings, type=Settings)
    connection = socket.socket(fileno=arguments.socket)
    collect_seldom()
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(connection, arguments.store, settings))


async def _serve(connection: socket.socket, store: Path, settings: Settings) -> None:
    from arke.shard_app import open_shard

    log = get_logger("worker", shard=store.stem)
    reader, writer = await asyncio.open_connection(sock=connection, limit=STREAM_LIMIT_BYTES)
    try:
        shard = open_shard(store, settings)
        await shard.start()
    except ArkeError as error:
        log.error("start_failed", code=error.code, message=str(error))
        sys.exit(1)
    keep_what_is_there()
    calls = Background()

    async def answer(call: Call) -> None:
        answered = await answered_by(shard, call)
        if shard.broke.is_set():
            return  # the next process is asked again, and knows what was stored
        # The engine may be gone while the shard still finishes: what was asked is done all the same.
        with contextlib.suppress(ConnectionError, RuntimeError):  # uvloop says it by a RuntimeError
            writer.write(answered)
            await writer.drain()

    async def read_calls() -> None:
        while True:
            call = decode_call(await read_frame(reader))
            calls.spawn(answer(call), "call")

    reading, breaking = asyncio.create_task(read_calls()), asyncio.create_task(shard.broke.wait())
    await asyncio.wait([reading, breaking], return_when=asyncio.FIRST_COMPLETED)
    if shard.broke.is_set():
        sys.exit(1)
    breaking.cancel()
    await asyncio.gather(reading, return_exceptions=True)  # however the engine's end was closed
    await shard.stop()
    await calls.until_idle(1.0)
    writer.close()


if __name__ == "__main__":
    main()
