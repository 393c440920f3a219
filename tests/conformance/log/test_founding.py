"""A cluster whose events go through Kafka is made: schema and topic, each checked the next time."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from arke.cluster_app import check_cluster, found_cluster
from arke.errors import SettingsError, StoreUnavailable
from arke.settings import Cluster, Kafka, Settings
from patience import PATIENCE_S, eventually
from servers.postgres import KINDS, fresh_schema

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator


SHARDS = 16


@pytest.fixture
def settings(bootstrap: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    schema = fresh_schema(KINDS[-1])
    monkeypatch.setenv("PG_OF_TEST", next(schema))
    yield Settings(
        cluster=Cluster(store="env:PG_OF_TEST", log="kafka", shards=SHARDS),
        kafka=Kafka(prefix=f"t{secrets.token_hex(4)}", options={"bootstrap.servers": bootstrap}),
    )
    next(schema, None)


def _topic_anew(settings: Settings, partitions: int) -> None:
    """The topic of a cluster as somebody else makes it."""
    admin = AdminClient({"bootstrap.servers": str(settings.kafka.options["bootstrap.servers"])})
    name = f"{settings.kafka.prefix}-events"
    for deleted in admin.delete_topics([name], operation_timeout=PATIENCE_S).values():
        deleted.result()
    for made in admin.create_topics([NewTopic(name, partitions, 1)], operation_timeout=PATIENCE_S).values():
        made.result()


async def test_schema_and_topic_are_made_and_the_next_time_they_are_there(settings: Settings) -> None:
    first = await found_cluster(settings)
    assert first.log is not None
    assert (first.store.before, first.log.name, first.log.partitions) == (
        0,
        f"{settings.kafka.prefix}-events",
        SHARDS,
    )
    again = await found_cluster(settings)
    assert (again.store.before, again.log) == (again.store.schema, first.log)


async def _refused(
    settings: Settings, words: str, to_do: Callable[[Settings], Awaitable[object]] = found_cluster
) -> None:
    """Not at once: brokers hear of another topic one after the other."""

    async def told() -> bool:
        try:
            await to_do(settings)
        except SettingsError as error:
            return words in str(error)
        except StoreUnavailable:  # of brokers that are on their way from one topic to the other
            return False
        return False

    await eventually(told, f"{words!r} to be told")


async def test_a_topic_that_was_made_anew_is_none_to_go_on_with(settings: Settings) -> None:
    """Positions in the store would mean other events."""
    await found_cluster(settings)
    _topic_anew(settings, SHARDS)
    await _refused(settings, "is not the topic that this cluster has read from")


async def test_a_topic_of_another_number_of_partitions_is_refused(settings: Settings) -> None:
    await found_cluster(settings)
    _topic_anew(settings, SHARDS + 1)
    await _refused(settings, f"has {SHARDS + 1} partitions and the cluster {SHARDS} shards")


async def test_a_node_starts_on_the_topic_of_its_cluster_only(settings: Settings) -> None:
    elsewhere = Settings(
        cluster=settings.cluster, kafka=Kafka(prefix="nobodys", options=settings.kafka.options)
    )
    await found_cluster(settings)
    await check_cluster(settings)
    with pytest.raises(SettingsError, match="there is no topic nobodys-events: run `arke cluster init`"):
        await check_cluster(elsewhere)
    _topic_anew(settings, SHARDS + 1)
    await _refused(settings, f"has {SHARDS + 1} partitions and the cluster {SHARDS} shards", check_cluster)


@pytest.fixture
def second(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Another cluster, in a store of its own, with the same brokers and prefix."""
    schema = fresh_schema(KINDS[-1])
    monkeypatch.setenv("PG_OF_ANOTHER", next(schema))
    yield Settings(
        cluster=Cluster(store="env:PG_OF_ANOTHER", log="kafka", shards=SHARDS), kafka=settings.kafka
    )
    next(schema, None)


async def test_a_topic_with_events_of_another_cluster_is_refused_and_nothing_is_made(
    settings: Settings, second: Settings
) -> None:
    await found_cluster(settings)
    await _send_something(settings)
    await _refused(second, "has, or had, events in it, and this cluster has never read from it")
    with pytest.raises(StoreUnavailable, match="there is no cluster in it"):
        await check_cluster(second)
    await found_cluster(settings)


async def _send_something(settings: Settings) -> None:
    producer = Producer({"bootstrap.servers": str(settings.kafka.options["bootstrap.servers"])})
    producer.produce(f"{settings.kafka.prefix}-events", b"x", partition=3)
    assert producer.flush(PATIENCE_S) == 0


async def test_two_clusters_that_were_made_on_one_empty_topic_do_not_share_it(
    settings: Settings, second: Settings
) -> None:
    """The first whose nodes are there has it."""
    await found_cluster(settings)
    await found_cluster(second)
    options = {"bootstrap.servers": str(settings.kafka.options["bootstrap.servers"])}
    member = Consumer({**options, "group.id": settings.kafka.prefix})
    member.subscribe([f"{settings.kafka.prefix}-events"])
    try:

        async def told() -> bool:
            member.poll(0)
            try:
                await check_cluster(second)
            except SettingsError as error:
                return "no node of this cluster is there" in str(error)
            return False

        await eventually(told, "the group to be noticed")
    finally:
        member.close()


async def test_another_prefix_is_not_taken_for_a_new_cluster(settings: Settings) -> None:
    await found_cluster(settings)
    renamed = Settings(
        cluster=settings.cluster,
        kafka=Kafka(prefix=f"{settings.kafka.prefix}x", options=settings.kafka.options),
    )
    with pytest.raises(SettingsError, match=r"kafka.prefix: there is no topic .*x-events, and this"):
        await found_cluster(renamed)
    admin = AdminClient({"bootstrap.servers": str(settings.kafka.options["bootstrap.servers"])})
    assert f"{renamed.kafka.prefix}-events" not in admin.list_topics(timeout=PATIENCE_S).topics


async def test_nothing_is_made_where_brokers_are_not_there(settings: Settings) -> None:
    away = Settings(
        cluster=settings.cluster, kafka=Kafka(options={"bootstrap.servers": "127.0.0.1:1", "log_level": 0})
    )
    with pytest.raises(StoreUnavailable, match="kafka: arke-events: "):
        await found_cluster(away)
    with pytest.raises(StoreUnavailable, match="there is no cluster in it"):
        await check_cluster(settings)
