"""The log of events between intake nodes and workers, and who reads which shard. Adapters are in folders beside it.

A message holds the sightings of one shard that many callers appended within a few milliseconds. Messages of a shard
are numbered from 1 without a gap: that number is its **position**, and a shard that is stored up to position 7 goes
on with message 8. Who reads a shard is agreed on by the workers, but proved by nothing here: only the store's
compare-and-set on (epoch, position) makes sure that a message counts once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from arke.shard.commands import Sight

if TYPE_CHECKING:
    from collections.abc import Sequence


class LogMessage(msgspec.Struct, frozen=True):
    """One message of a shard. What could not be read is not in it; the position counts all the same."""

    shard: int
    position: int
    sights: tuple[Sight, ...]


class Unreadable(msgspec.Struct, frozen=True):
    """A message, or one sighting in it (`item`, from 0; -1: all of it), that nothing can be made of."""

    source: str
    """The log's name: of a topic, or `postgresql`."""
    shard: int
    position: int
    item: int
    reason: str
    body: bytes


class RefusedMessages(Protocol):
    """What the log held and nobody could read, kept for whoever looks into it."""

    async def refuse(self, unreadable: Sequence[Unreadable]) -> None:
        """Keep them; durable on return. What was kept before is not kept twice. Raises StoreUnavailable."""
        ...


class LogWriter(Protocol):
    """The intake's end. Any number of them write to the same shards."""

    async def append(self, shard: int, sights: Sequence[Sight]) -> int:
        """Returns once all are durable: the position of the message with the last of them. The sightings of one
        call follow one another; those of two calls are in the order of the calls.

        Raises Overloaded (too much waits already) and StoreUnavailable (the log does not answer): none of them is
        in the log. Raises ShardDown after `Bounds.answer_s`, or where an answer was lost: nobody knows, and a
        caller that repeats it may be counted twice. Raises InvalidInput for a sighting that no message can carry.
        """
        ...

    async def check(self) -> None:
        """Returns if the log answers, within seconds. Raises StoreUnavailable."""
        ...

    async def close(self) -> None:
        """Wait for what is in flight, up to `Bounds.answer_s`; what is left then fails with ShardDown."""
        ...


class ShardStream(Protocol):
    """The messages of one shard, from the position on at which it was opened. One reader."""

    @property
    def end(self) -> int:
        """The newest position that is known of; as far as nothing is known, the position read to."""
        ...

    async def read(self) -> list[LogMessage]:
        """All that has arrived; waits for at least one. Empty once the stream is closed.

        Raises LogGap if the next message is not the one after the last: the log was trimmed, or made anew, behind
        the worker's back, and to go on would lose events. Raises StoreUnavailable if what cannot be read could not
        be refused; read again then.
        """
        ...

    def taken(self, position: int) -> None:
        """The store has everything up to this position: the log may be trimmed."""
        ...

    def close(self) -> None:
        """Read no more of it. Does not wait, and is safe twice."""
        ...


class LogReader(Protocol):
    """A worker's end: streams of the shards that it owns. Stops fetching for a stream that is not read."""

    def open(self, shard: int, position: int) -> ShardStream:
        """Read a shard on from after `position`, the one that the store has: what lies before it may be trimmed. A
        stream of the shard that was open is closed.
        """
        ...


class Rebalances(msgspec.Struct):
    """What has befallen a worker since it started, in shards: those that it was `assigned`, has `taken` from
    the store (again, perhaps, after they were `fenced`: the store said that they are another's), has given up
    when they were `revoked`, and has dropped when they were `lost`.
    """

    assigned: int = 0
    taken: int = 0
    revoked: int = 0
    lost: int = 0
    fenced: int = 0


class ShardOwner(Protocol):
    """A worker, as the assignment sees it. All is called on its event loop."""

    def assigned(self, shards: frozenset[int]) -> None:
        """These are to be taken and read, in addition to what was assigned before."""
        ...

    async def revoked(self, shards: frozenset[int]) -> None:
        """Finish with these, then return: the next owner waits for it, but no longer than the assignment says;
        after that `lost` follows.
        """
        ...

    def lost(self, shards: frozenset[int]) -> None:
        """Others may own these already: drop them at once and write nothing more."""
        ...


class Assignment(Protocol):
    """Agrees with the other workers on who owns which shard. A member that dies is noticed within 10 s."""

    async def start(self, owner: ShardOwner) -> None:
        """Join. Raises StoreUnavailable."""
        ...

    async def stop(self) -> None:
        """Have everything revoked, and leave: the others go on at once. Safe twice."""
        ...

    def proved_at(self, shard: int) -> float | None:
        """The monotonic time just before the last question whose answer said that the shard is this member's; None
        if the assignment never says (only the store's commits prove it then), or it is not.
        """
        ...
