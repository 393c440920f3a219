"""Which of librdkafka's options are Arke's own to set: they decide whether an event counts once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from arke.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

REFUSED: Final = {
    "acks": "every event is acknowledged by all replicas in sync",
    "request.required.acks": "every event is acknowledged by all replicas in sync",
    "enable.idempotence": "without it, events could be doubled or change places",
    "enable.auto.commit": "positions are kept in PostgreSQL",
    "enable.auto.offset.store": "positions are kept in PostgreSQL",
    "auto.offset.reset": "a position that is gone has to stop its shard",
    "group.id": "it is the prefix",
    "group.protocol": "workers use the classic protocol, which notices a dead one within 6 s on any broker",
    "partition.assignment.strategy": "it is cooperative-sticky, so that only the shards of a dead worker stop",
    "isolation.level": "there are no transactions in the topic",
    "transactional.id": "there are no transactions in the topic",
    "enable.partition.eof": "it means nothing here",
    "enable.gapless.guarantee": "it means nothing here",
}

REFUSED_OF_SOURCES: Final = {
    "enable.auto.commit": "offsets are kept in the directory",
    "enable.auto.offset.store": "offsets are kept in the directory",
    "auto.offset.reset": "`start` says where to begin; an offset that is gone is reported, and read on from",
    "group.id": "it is `group`",
    "group.protocol": REFUSED["group.protocol"],
    "partition.assignment.strategy": REFUSED["partition.assignment.strategy"],
    "enable.partition.eof": "it means nothing here",
}
"""The same where a topic of others is read: nothing is written there, and they may use transactions."""


def check_options(names: Iterable[str], refused: Mapping[str, str] = REFUSED) -> None:
    """Raises InvalidInput for an option that cannot be set."""
    for name in names:
        if name in refused:
            raise InvalidInput(f"{name} cannot be set: {refused[name]}")
        if name.endswith("_cb") or name.startswith("on_"):
            raise InvalidInput(f"{name} is a function, which a setting cannot be")
