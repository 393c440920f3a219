"""Assignment of shards by Kafka's consumer group: the classic protocol, cooperative-sticky, a session of 6 s."""

from __future__ import annotations

import asyncio
from concurrent.futures import TimeoutError as NotInTime
from typing import TYPE_CHECKING, Final

from arke.log import get_logger

if TYPE_CHECKING:
    from arke.transport.kafka.consumer import ConsumerThread
    from arke.transport.ports import ShardOwner

log = get_logger("kafka")

FINISH_S: Final = 3.0
"""How long an owner may finish what was revoked. The streams of its other shards get nothing new meanwhile."""


class KafkaAssignment:
    """An `Assignment` by the group that the consumer joins. It never says that a shard is still this member's: only
    the store's commits prove it.
    """

    def __init__(self, consumer: ConsumerThread, shards: int | None = None) -> None:
        """`shards`: how many there are; partitions that somebody added to the topic are none. Without it every one
        is.
        """
        self._consumer = consumer
        self._shards = shards
        self._loop = asyncio.get_running_loop()
        self._owner: ShardOwner | None = None

    async def start(self, owner: ShardOwner) -> None:
        self._owner = owner
        self._consumer.join(_Bridge(owner, self._loop, self._consumer.topic, self._shards))

    async def stop(self) -> None:
        await self._consumer.stop()

    def proved_at(self, shard: int) -> float | None:  # noqa: ARG002 - as the port has it
        return None


class _Bridge:
    """From the consumer's thread to an owner on the event loop."""

    def __init__(
        self, owner: ShardOwner, loop: asyncio.AbstractEventLoop, topic: str, shards: int | None
    ) -> None:
        self._topic = topic
        self._shards = shards
        self._owner = owner
        self._loop = loop

    def _there(self, partitions: frozenset[int]) -> frozenset[int]:
        if self._shards is None:
            return partitions
        return frozenset(number for number in partitions if number < self._shards)

    def assigned(self, partitions: frozenset[int]) -> None:
        shards = self._there(partitions)
        log.info("shards_assigned", topic=self._topic, shards=sorted(shards))
        self._loop.call_soon_threadsafe(self._owner.assigned, shards)

    def revoked(self, partitions: frozenset[int]) -> None:
        shards = self._there(partitions)
        log.info("shards_revoked", topic=self._topic, shards=sorted(shards))
        finished = asyncio.run_coroutine_threadsafe(self._owner.revoked(shards), self._loop)
        try:
            finished.result(FINISH_S)
        except NotInTime:
            finished.cancel()
            self._lose(shards)
        except Exception as error:  # noqa: BLE001 - whatever it was, the shards change hands now
            log.error("revoke_failed", topic=self._topic, error=type(error).__name__)
            self._lose(shards)

    def lost(self, partitions: frozenset[int]) -> None:
        shards = self._there(partitions)
        log.warning("shards_lost", topic=self._topic, shards=sorted(shards))
        self._lose(shards)

    def _lose(self, shards: frozenset[int]) -> None:
        self._loop.call_soon_threadsafe(self._owner.lost, shards)
