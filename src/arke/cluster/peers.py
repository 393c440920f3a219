"""The other nodes, each by its address, and this one, which is asked without a socket."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from arke.errors import ShardDown, ShardMoved
from arke.transport.answering import answers_of
from arke.transport.peers.peer import Peer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from arke.cluster.owned_shard import Asked
    from arke.errors import ArkeError
    from arke.shard.protocol import Question
    from arke.transport.answering import Answering
    from arke.transport.peers.trust import Trust

A = TypeVar("A")


class Here:
    """The shards that this process owns."""

    def __init__(self, shards: Mapping[int, Answering]) -> None:
        self._shards = shards

    async def ask(self, shard: int, question: Question[A]) -> A:
        """See `Peer.ask`."""
        found = self._shards.get(shard)
        if found is None:
            raise ShardMoved(f"shard {shard} is not owned here")
        return await found.call(question)

    async def ask_each(self, shards: Sequence[int], question: Question[A]) -> dict[int, A | ArkeError]:
        """See `Peer.ask_each`."""
        answers = await answers_of(self._shards, shards, question)
        return {number: answer if refusal is None else refusal.error() for number, answer, refusal in answers}


class Peers:
    """Connections to nodes stay open until the end. `here`: the address of this node, and its shards."""

    def __init__(self, trust: Trust, here: str, shards: Mapping[int, Answering]) -> None:
        self._trust = trust
        self._here = here
        self._own = Here(shards)
        self._peers: dict[str, Peer] = {}

    def at(self, address: str) -> Asked:
        """The node at an address. Raises ShardDown for one that is none."""
        if address == self._here:
            return self._own
        peer = self._peers.get(address)
        if peer is None:
            host, _, port = address.rpartition(":")
            if not port.isdecimal():
                raise ShardDown(f"a node says that it is at {address!r}, which is no address")
            peer = self._peers[address] = Peer(host.strip("[]"), int(port), self._trust)
        return peer

    async def close(self) -> None:
        await asyncio.gather(*(peer.close() for peer in self._peers.values()))
