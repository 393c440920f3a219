"""Nodes ask each other over real sockets, and talk to nobody else."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import pytest
import trustme

from arke.domain.profile import Held
from arke.errors import InvalidInput, ShardDown, ShardMoved
from arke.shard.protocol import AskHeld, Compact, Question
from arke.transport.peers.door import PeerDoor
from arke.transport.peers.peer import Peer
from arke.transport.peers.trust import GREETING, Certificates, Trust
from patience import PATIENCE_S, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


SECRET = Trust(secret=b"a secret that all nodes know")
QUESTION = AskHeld(("701:somebody",))
UNREADABLE = "701:unreadable"


class Shard:
    """Answers one question as it is, refuses another, and keeps a third waiting."""

    def __init__(self) -> None:
        self.asked = 0
        self.gate = asyncio.Event()

    async def call(self, question: Question[Any]) -> Any:
        self.asked += 1
        if isinstance(question, AskHeld):
            if UNREADABLE in question.homes:
                return "an answer of another version"
            return {home: Held(heard=7) for home in question.homes}
        if isinstance(question, Compact):
            await self.gate.wait()
            return True
        raise InvalidInput("not like that")


@asynccontextmanager
async def door(trust: Trust, shards: dict[int, Shard]) -> AsyncIterator[int]:
    """The port of a node's door."""
    listener = socket.create_server(("127.0.0.1", 0))
    opened = PeerDoor(shards, trust)
    await opened.start(listener)
    try:
        yield listener.getsockname()[1]
    finally:
        await opened.stop()


@asynccontextmanager
async def peer(port: int, trust: Trust) -> AsyncIterator[Peer]:
    asking = Peer("127.0.0.1", port, trust)
    try:
        yield asking
    finally:
        await asking.close()


def certificates(folder: Path, authority: trustme.CA, name: str = "127.0.0.1") -> Trust:
    """A node's certificate."""
    folder.mkdir(parents=True, exist_ok=True)
    issued = authority.issue_cert(name)
    paths = Certificates(*(str(folder / file) for file in ("ca.pem", "cert.pem", "key.pem")))
    authority.cert_pem.write_to_path(paths.ca_file)
    issued.cert_chain_pems[0].write_to_path(paths.cert_file)
    issued.private_key_pem.write_to_path(paths.key_file)
    return Trust(certificates=paths)


def test_questions_are_answered_by_the_shard_they_are_for_at_once_and_refused_as_it_does() -> None:
    async def play() -> None:
        shards = {3: Shard(), 4: Shard()}
        async with door(SECRET, shards) as port, peer(port, SECRET) as node:
            waiting = asyncio.create_task(node.ask(4, Compact()))
            assert await node.ask(3, QUESTION) == {"701:somebody": Held(heard=7)}
            await eventually(lambda: shards[4].asked, "the other to be asked")
            shards[4].gate.set()
            assert await waiting
            with pytest.raises(InvalidInput, match="not like that"):
                await node.ask(3, cast("Question[None]", _another()))
            with pytest.raises(ShardMoved):
                await node.ask(5, QUESTION)

    asyncio.run(play())


def test_who_is_answered_what_nobody_can_read_is_told_so_and_may_ask_again() -> None:
    async def play() -> None:
        async with door(SECRET, {3: Shard()}) as port, peer(port, SECRET) as node:
            with pytest.raises(ShardDown, match="cannot be read"):
                await node.ask(3, AskHeld((UNREADABLE,)))
            assert await node.ask(3, QUESTION) == {"701:somebody": Held(heard=7)}

    asyncio.run(play())


def _another() -> Question[Any]:
    from arke.shard.protocol import AskBatches

    return AskBatches()


def test_who_does_not_know_the_secret_is_asked_nothing_and_asks_nothing() -> None:
    async def play() -> None:
        shard = Shard()
        async with door(SECRET, {0: shard}) as port:
            for stranger in (Trust(secret=b"another"), Trust()):
                async with peer(port, stranger) as node:
                    with pytest.raises(ShardDown):
                        await node.ask(0, QUESTION)
        async with door(Trust(secret=b"another"), {0: shard}) as port, peer(port, SECRET) as node:
            with pytest.raises(ShardDown):
                await node.ask(0, QUESTION)
        assert shard.asked == 0

    asyncio.run(play())


def test_certificates_of_one_authority_are_trusted_and_no_others(tmp_path: Path) -> None:
    async def play() -> None:
        ours, other = trustme.CA(), trustme.CA()
        shard = Shard()
        node_a, node_b = certificates(tmp_path / "a", ours), certificates(tmp_path / "b", ours)
        async with door(node_a, {0: shard}) as port:
            async with peer(port, node_b) as node:
                assert await node.ask(0, QUESTION)
            strangers = [
                certificates(tmp_path / "c", other),  # trusts nobody here
                Trust(
                    certificates=Certificates(
                        node_a.certificates.ca_file,  # type: ignore[union-attr]
                        str(tmp_path / "c/cert.pem"),  # is trusted by nobody here
                        str(tmp_path / "c/key.pem"),
                    )
                ),
                Trust(),  # does not speak TLS
            ]
            for stranger in strangers:
                async with peer(port, stranger) as node:
                    with pytest.raises(ShardDown):
                        await node.ask(0, QUESTION)
            assert shard.asked == 1
        named_otherwise = certificates(tmp_path / "d", ours, "elsewhere.test")
        async with door(named_otherwise, {0: shard}) as port, peer(port, node_b) as node:
            with pytest.raises(ShardDown):
                await node.ask(0, QUESTION)

    asyncio.run(play())


def test_a_node_that_goes_away_leaves_no_question_waiting_and_is_asked_again_when_it_is_back() -> None:
    async def play() -> None:
        shard = Shard()
        async with door(SECRET, {0: shard}) as port:
            node = Peer("127.0.0.1", port, SECRET)
            waiting = asyncio.create_task(node.ask(0, Compact()))
            await eventually(lambda: shard.asked, "the question to be there")
        with pytest.raises(ShardDown):
            await waiting
        with pytest.raises(ShardDown):
            await node.ask(0, QUESTION)
        listener = socket.create_server(("127.0.0.1", port))
        again = PeerDoor({0: shard}, SECRET)
        await again.start(listener)
        assert await node.ask(0, QUESTION)
        await node.close()
        await again.stop()

    asyncio.run(play())


def test_who_waits_no_longer_for_a_greeting_leaves_no_connection() -> None:
    async def play() -> None:
        greeted, left = asyncio.Event(), asyncio.Event()

        async def says_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readexactly(len(GREETING))
            greeted.set()
            await reader.read(-1)
            left.set()
            writer.close()

        server = await asyncio.start_server(says_nothing, "127.0.0.1", 0)
        async with server, peer(server.sockets[0].getsockname()[1], SECRET) as node:
            asking = asyncio.create_task(node.ask(0, QUESTION))
            await greeted.wait()
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            async with asyncio.timeout(PATIENCE_S):
                await left.wait()

    asyncio.run(play())


@pytest.mark.parametrize(
    "junk", [b"GET / HTTP/1.1\r\n\r\n", b"", GREETING, GREETING + bytes(32 + 32), bytes(4096)]
)
def test_junk_at_the_door_costs_nobody_else_anything(junk: bytes) -> None:
    async def play() -> None:
        shard = Shard()
        async with door(SECRET, {0: shard}) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(junk)
            writer.write_eof()
            await reader.read()
            writer.close()
            async with peer(port, SECRET) as node:
                assert await node.ask(0, QUESTION)

    asyncio.run(play())
