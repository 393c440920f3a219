"""Another node, as it is asked: one connection, made when it is needed, for any number of questions at once."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from arke.errors import ShardDown
from arke.transport.frames import (
    call_each_frame,
    call_frame,
    decode_answer,
    decode_each,
    read_frame,
    reader_of,
)
from arke.transport.peers.trust import Trust, Untrusted, greet

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from arke.errors import ArkeError
    from arke.shard.protocol import Question
    from arke.transport.frames import Answer

A = TypeVar("A")

CONNECTED_WITHIN_S: Final = 3.0
STREAM_LIMIT_BYTES: Final = 1 << 20


class _Asked(msgspec.Struct, frozen=True):
    read: Callable[[msgspec.Raw], Any]
    future: asyncio.Future[Any]


class Peer:
    """A node at an address. A question that a broken connection left unanswered may have been done: ShardDown."""

    def __init__(self, host: str, port: int, trust: Trust) -> None:
        self._host = host
        self._port = port
        self._trust = trust
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._asked: dict[int, _Asked] = {}
        self._number = 0
        self._connecting = asyncio.Lock()

    async def ask(self, shard: int, question: Question[A]) -> A:
        """Ask a shard of that node. Raises ShardDown, ShardMoved where it is not owned there, and the error that
        the shard answered as a refusal.
        """
        writer = await self._connected()
        self._number += 1
        frame = call_frame(self._number, question, shard)
        answer: A = await self._answered(writer, frame, reader_of(type(question)))
        return answer

    async def ask_each(self, shards: Sequence[int], question: Question[A]) -> dict[int, A | ArkeError]:
        """Ask several shards of that node at once: what each answered or refused. Raises ShardDown."""
        writer = await self._connected()
        self._number += 1
        frame = call_each_frame(self._number, question, shards)
        kind = type(question)
        answers: dict[int, A | ArkeError] = await self._answered(
            writer, frame, lambda body: decode_each(body, kind)
        )
        return answers

    async def _answered(
        self, writer: asyncio.StreamWriter, frame: bytes, read: Callable[[msgspec.Raw], Any]
    ) -> Any:
        """The answer to the call with the newest number."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._asked[self._number] = _Asked(read, future)
        # Whoever reads from it sees that it broke, too, and answers the question.
        with contextlib.suppress(ConnectionError, RuntimeError):
            writer.write(frame)
            await writer.drain()
        return await future

    async def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def _connected(self) -> asyncio.StreamWriter:
        async with self._connecting:
            if self._writer is None:
                reader, self._writer = await self._connect()
                self._reading = asyncio.create_task(self._read(reader, self._writer), name="peer")
            return self._writer

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        certificates = self._trust.certificates
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(CONNECTED_WITHIN_S):
                reader, writer = await asyncio.open_connection(
                    self._host,
                    self._port,
                    ssl=certificates.asking() if certificates else None,
                    limit=STREAM_LIMIT_BYTES,
                )
                await greet(reader, writer, self._trust)
        except BaseException as error:
            if writer is not None:
                writer.close()
            if not isinstance(error, OSError | TimeoutError | asyncio.IncompleteReadError):
                raise
            why = str(error) if isinstance(error, Untrusted) else type(error).__name__
            raise ShardDown(f"the node at {self._host}:{self._port} cannot be asked: {why}") from error
        return reader, writer

    def _settle(self, asked: _Asked, answer: Answer) -> None:
        """Raises MsgspecError, and whoever asked is told, where a node of another version answers what nobody reads
        here.
        """
        if answer.refusal is not None:
            asked.future.set_exception(answer.refusal.error())
            return
        try:
            asked.future.set_result(asked.read(answer.body))
        except msgspec.MsgspecError:
            asked.future.set_exception(
                ShardDown(f"the node at {self._host}:{self._port} answers what cannot be read here")
            )
            raise

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                answer = decode_answer(await read_frame(reader))
                asked = self._asked.pop(answer.number, None)
                if asked is not None and not asked.future.done():
                    self._settle(asked, answer)
        except (ConnectionError, asyncio.IncompleteReadError, msgspec.MsgspecError):
            return
        finally:
            self._writer = None
            writer.close()
            asked_before, self._asked = self._asked, {}
            for asked in asked_before.values():
                if not asked.future.done():
                    asked.future.set_exception(
                        ShardDown(f"the node at {self._host}:{self._port} went away before it answered")
                    )
