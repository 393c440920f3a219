"""A cluster that changes under load: workers are replaced one by one, and a database goes back in time."""

from __future__ import annotations

import json
import random
import signal
from collections import Counter
from typing import TYPE_CHECKING, Final

import pytest

from cluster.world import USERS, Sender, World, verify
from e2e.catalogs import DPID
from patience import wait_until
from servers.kafka import kafka_cluster
from servers.postgres import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cluster.world import NodeProcess
    from servers.kafka import Cluster as Brokers

BETWEEN: Final = 300
"""Events that are accepted between two steps."""


@pytest.fixture(scope="module")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Brokers]:
    with kafka_cluster(tmp_path_factory.mktemp("kafka") / "cluster", nodes=3) as cluster:
        yield cluster


def begun(world: World) -> tuple[NodeProcess, NodeProcess, list[NodeProcess], Sender]:
    """Admin, intake, workers, and who sends to the intake."""
    admin, intake = world.node("admin"), world.node("intake")
    workers = [world.node("worker") for _ in range(3)]
    world.apply(admin)
    return admin, intake, workers, Sender(lambda: [intake.doors["intake"]], random.Random(0))


def told_again(world: World) -> set[str]:
    """Users whom a message told what the one before had told them; one that is sent again is the same message."""
    before: dict[str, object] = {}
    again = set()
    for body in dict.fromkeys(record.request.body for record in world.receiver.messages()):
        for user in json.loads(body)["Users"]:
            name, segments = user["DataPartner_UUID"], user["Segments"]
            if before.get(name) == segments:
                again.add(name)
            before[name] = segments
    return again


def failed(world: World, admin: NodeProcess, user: str) -> int:
    """How many messages about a user had no answer in time, on a machine that has other things to do."""
    explained = world.client(admin).explain(None, f"{DPID}:{user}")
    tries = [one for side in explained.destinations for told in side.ids for one in told.tries]
    return sum(one.answer != "200" for one in tries)


def test_workers_that_are_replaced_one_by_one_lose_nothing_and_tell_nothing_twice(tmp_path: Path) -> None:
    """A rolling upgrade. Only shards that move change hands."""
    with World(tmp_path, KINDS[0]) as world:
        admin, intake, workers, sender = begun(world)
        with sender:
            for place, leaving in enumerate(workers):
                sender.more(BETWEEN)
                before = world.owners()
                assert leaving.ended(signal.SIGTERM) == 0
                wait_until(lambda: gone(world, leaving), "its shards to be others'")  # noqa: B023
                assert_only_moved(before, world.owners())
                sender.more(BETWEEN)
                before = world.owners()
                workers[place] = new = world.node("worker")
                wait_until(lambda: has_its_share(world, new), "the new one to have its share")  # noqa: B023
                assert_only_moved(before, world.owners())
            sender.more(BETWEEN)
            sender.stop()
            verify(world, admin, sender)
            assert [user for user in told_again(world) if not failed(world, admin, user)] == []
        for node in (admin, intake, *workers):
            assert node.ended(signal.SIGTERM) == 0, node.log()[-3_000:]


def gone(world: World, node: NodeProcess) -> bool:
    return all(owner is not None and not node.is_named(owner) for owner, _ in world.owners().values())


def has_its_share(world: World, node: NodeProcess) -> bool:
    """Shares differ by one at most, and nothing is on its way any more."""
    owners = [owner for owner, _ in world.owners().values()]
    shares = Counter(owners)
    is_even = None not in shares and max(shares.values()) - min(shares.values()) <= 1
    return is_even and any(node.is_named(owner) for owner in owners if owner is not None)


def assert_only_moved(
    before: dict[int, tuple[str | None, int]], after: dict[int, tuple[str | None, int]]
) -> None:
    """A shard that stays has the epoch that it had: nobody has taken it anew."""
    stayed = {shard: epoch for shard, (owner, epoch) in before.items() if after[shard][0] == owner}
    assert stayed
    assert {shard: after[shard][1] for shard in stayed} == stayed


def test_a_database_that_goes_back_a_while_gets_all_events_of_that_while_again(
    tmp_path: Path, brokers: Brokers
) -> None:
    """As an asynchronous replica that takes over, which lacks the last commits. Events are in Kafka: shards take
    them again from the positions that it has.
    """
    with World(tmp_path, KINDS[-1], brokers) as world:
        admin, intake, workers, sender = begun(world)
        with sender:
            sender.more(4 * USERS)  # mappings of ids are in no log: these are older than the copy
            copied = positions(world)
            world.postgres.stop()
            older = world.postgres.clone(world.postgres.port)
            world.postgres.start()
            sender.more(BETWEEN)
            lost = [shard for shard, position in positions(world).items() if position > copied[shard]]
            assert lost
            world.postgres.kill()
            world.postgres.close()
            world.postgres = older
            older.start()
            sender.more(BETWEEN)
            sender.stop()
            verify(world, admin, sender)
        for node in (admin, intake, *workers):
            assert node.ended(signal.SIGTERM) == 0, node.log()[-3_000:]


def positions(world: World) -> dict[int, int]:
    return {one["shard"]: one["position"] for one in world.cluster()["shards"]}
