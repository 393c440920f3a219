"""What the report of a privacy request says that a cluster leaves to time."""

from __future__ import annotations

import msgspec
import pytest

from arke.cluster_app import copies_of
from arke.settings import Kafka, Settings
from arke.transport.kafka.topic import TopicFacts

SETTINGS = Settings(kafka=Kafka(prefix="shop"))
TOPIC = TopicFacts("id", 16, led=True, copies=3, min_insync=2, cleanup="delete", retention_ms=259_200_000)
DAY_S = 86_400


@pytest.mark.parametrize(
    ("topic", "where", "kept_s"),
    [
        (TOPIC, "topic shop-events", 3 * DAY_S),
        (msgspec.structs.replace(TOPIC, retention_ms=-1), "topic shop-events", None),
        (None, "the log of events (table log)", None),
    ],
)
def test_the_log_comes_first_then_refused_messages_then_the_server(
    topic: TopicFacts | None, where: str, kept_s: int | None
) -> None:
    events, unread, server = copies_of(SETTINGS, topic)
    assert (events.where, events.kept_s) == (where, kept_s)
    assert (unread.where, unread.kept_s) == ("table refused", 7 * DAY_S)
    assert server.kept_s is None
