"""A node's door for other nodes: questions to the shards that it owns."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Final

import msgspec

from arke.background import Background
from arke.errors import ShardMoved
from arke.log import get_logger
from arke.shard.protocol import Refusal
from arke.transport.answering import answered_by, answers_of
from arke.transport.frames import answer_frame, decode_call, read_frame, refusal_frame
from arke.transport.peers.trust import Trust, Untrusted, admit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from arke.transport.answering import Answering
    from arke.transport.frames import Call

ADMITTED_WITHIN_S: Final = 3.0
STREAM_LIMIT_BYTES: Final = 1 << 20

log = get_logger("peers")


class PeerDoor:
    """Answers what other nodes ask of `shards`, by their numbers; they may come and go."""

    def __init__(self, shards: Mapping[int, Answering], trust: Trust) -> None:
        self._shards = shards
        self._trust = trust
        self._calls = Background()
        self._connections: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def start(self, listener: socket.socket) -> None:
        """Listen on a socket that is bound."""
        certificates = self._trust.certificates
        self._server = await asyncio.start_server(
            self._serve,
            sock=listener,
            ssl=certificates.asked() if certificates else None,
            limit=STREAM_LIMIT_BYTES,
        )

    async def stop(self) -> None:
        """Hang up. What is being asked is answered to nobody."""
        if self._server is not None:
            self._server.close()
        for writer in tuple(self._connections):
            writer.close()
        await self._calls.stop()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            async with asyncio.timeout(ADMITTED_WITHIN_S):
                await admit(reader, writer, self._trust)
            while True:
                call = decode_call(await read_frame(reader))
                self._calls.spawn(self._answer(call, writer), "peer-call")
        except Untrusted as error:
            log.warning("peer_refused", message=str(error))
        except (ConnectionError, asyncio.IncompleteReadError, TimeoutError):
            pass  # it went away, or is no node
        except msgspec.MsgspecError:
            log.warning("peer_not_understood")  # of another version, perhaps
        finally:
            self._connections.discard(writer)
            writer.close()

    async def _answer(self, call: Call, writer: asyncio.StreamWriter) -> None:
        shard = self._shards.get(call.shard)
        if call.shards:
            frame = answer_frame(call.number, await answers_of(self._shards, call.shards, call.question))
        elif shard is None:
            moved = ShardMoved(f"shard {call.shard} is not owned here")
            frame = refusal_frame(call.number, Refusal.of(moved))
        else:
            frame = await answered_by(shard, call)
        # Whoever asked may be gone: what was asked is done all the same.
        with contextlib.suppress(ConnectionError, RuntimeError):  # uvloop says it by a RuntimeError
            writer.write(frame)
            await writer.drain()
