"""Topics that a team writes: made on brokers, and filled with events of which it is known what they come to."""

from __future__ import annotations

import json
import secrets
from collections import Counter
from typing import TYPE_CHECKING, Any, Self

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from e2e.catalogs import DPID, IN_MARKET, STILL_LOOKING, TRAITS
from patience import wait_until

if TYPE_CHECKING:
    from arke.api.client import Client
    from arke.engine.sources.reading import SourceStatus


class TeamTopic:
    """A topic of some partitions. `seen`: how often each user saw a camera by what was written."""

    def __init__(self, bootstrap: str, partitions: int = 4, name: str | None = None) -> None:
        self.bootstrap = bootstrap
        self.partitions = partitions
        self.name = name or f"clicks-{secrets.token_hex(4)}"
        self.seen: Counter[str] = Counter()
        self._admin = AdminClient({"bootstrap.servers": bootstrap})
        self._producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "linger.ms": 20})

    def make(self, **config: str) -> Self:
        # A broker looks every five minutes for messages whose own time is more than a week ago, and removes them.
        new = NewTopic(self.name, self.partitions, 1, config={"retention.ms": "-1"} | config)
        self._admin.create_topics([new])[self.name].result(30)
        return self

    def delete(self) -> None:
        self._admin.delete_topics([self.name])[self.name].result(30)
        wait_until(lambda: self.name not in self._admin.list_topics(timeout=5).topics, "the topic to be gone")

    def write(self, value: bytes | None, partition: int = 0, key: bytes | None = None, **more: Any) -> None:
        """A message as it is."""
        while True:
            try:
                self._producer.produce(self.name, value, key, partition, **more)
            except BufferError:
                self._producer.poll(0.1)
            else:
                return

    def see(self, count: int, users: int = 200, first: int = 0) -> None:
        """So many events over so many users, each in some partition."""
        for number in range(first, first + count):
            user = f"p{number % users}"
            self.write(json.dumps(camera(user)).encode(), number % self.partitions)
            self.seen[user] += 1

    def flush(self) -> None:
        """Return once the brokers have it all."""
        assert self._producer.flush(60) == 0

    def settings(self, **more: str) -> str:
        """The source as a table of arke.toml."""
        lines = "".join(f'{name} = "{value}"\n' for name, value in more.items())
        return (
            f'[[intake.kafka]]\ntopic = "{self.name}"\n{lines}'
            f'options = {{"bootstrap.servers" = "{self.bootstrap}"}}\n'
        )


def camera(user: str, **more: Any) -> dict[str, Any]:
    """An event of somebody who is known by an id alone."""
    return {"ids": [{"dpid": DPID, "id": user}], "signals": {"c_see": ["camera"]}, **more}


def source(client: Client, topic: TeamTopic) -> SourceStatus:
    return next(one for one in client.status().sources if one.topic == topic.name)


def taken(client: Client, topic: TeamTopic, events: int) -> bool:
    """Whether so many events were taken or refused, and nothing is left."""
    found = source(client, topic)
    return found.events + found.refused >= events and found.lag == 0


def verify(client: Client, seen: Counter[str]) -> None:
    """Each profile has counted what its user did."""
    for user, times in seen.items():
        explained = client.explain(None, f"{DPID}:{user}")
        assert {trait.id: trait.count for trait in explained.traits} == {TRAITS["camera"]: times}, user
        believed = {one.id for one in explained.segments if one.status == 1}
        assert believed == {IN_MARKET, STILL_LOOKING}, user
