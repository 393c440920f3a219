"""A topic that an embedded engine reads: each message counts once, whatever happens to the engine or the broker."""

from __future__ import annotations

import json
import subprocess
import time
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException, TopicPartition

from arke.domain.time import utc_text
from e2e.catalogs import DPID, IN_MARKET, catalog, device
from e2e.engine_process import ARKE, OPEN, EngineProcess
from patience import wait_until
from servers.kafka import kafka_cluster
from sources.topics import TeamTopic, camera, source, taken, verify

if TYPE_CHECKING:
    from pathlib import Path


EVENTS = 20_000


def engine_of(folder: Path, *settings: str) -> EngineProcess:
    return EngineProcess(folder, settings=OPEN + "".join(settings), shards=2)


def test_an_engine_that_is_killed_counts_each_message_once(tmp_path: Path, brokers: str) -> None:
    """kill -9, again and again, while it reads."""
    topic = TeamTopic(brokers).make()
    topic.see(EVENTS)
    topic.flush()
    engine = engine_of(tmp_path, topic.settings())
    engine.start()
    engine.apply(catalog([]))
    try:
        for share in (0.2, 0.4, 0.7):
            wait_taken(engine, topic, int(share * EVENTS))
            engine.kill()
            engine.start()
        client = engine.client()
        wait_until(lambda: taken(client, topic, EVENTS), "all to be taken")
        found = source(client, topic)
        assert (found.events, found.refused, found.skipped) == (EVENTS, 0, 0)
        verify(client, topic.seen)
    finally:
        engine.stop()


def wait_taken(engine: EngineProcess, topic: TeamTopic, events: int) -> None:
    client = engine.client()
    wait_until(lambda: source(client, topic).events >= events, "some to be taken")


def test_what_is_bad_goes_aside_with_its_place(tmp_path: Path, brokers: str) -> None:
    topic = TeamTopic(brokers, partitions=1).make()
    person = {"uuid": device(7), "signals": {"c_see": "camera"}}
    topic.write(json.dumps(person, indent=2).encode(), key=b"ignored", headers={"trace": "ignored"})
    topic.write(None, key=b"a tombstone")
    topic.write(b'{"uuid": "7"}')
    topic.write(b"\n".join([json.dumps(person).encode(), b"", b"{", json.dumps(person).encode()]))
    topic.write(json.dumps([person, {"ids": [{"dpid": 99, "id": "x"}]}, person]).encode())
    topic.write(b"[1, ")
    topic.write(b"")
    topic.flush()
    with engine_of(tmp_path, topic.settings()) as engine:
        engine.apply(catalog([]))
        client = engine.client()
        wait_until(lambda: taken(client, topic, 9), "all to be taken")
        found = source(client, topic)
        assert (found.events, found.refused, found.partitions[0].next) == (5, 4, 7)
        refused = {(one.offset, one.item): one.code for one in client.refused_of_sources(10)}
        assert refused == {
            (2, 0): "bad_uuid",
            (3, 1): "bad_json",
            (4, 1): "all_ids_invalid",
            (5, -1): "bad_json",
        }
        (trait,) = client.explain(device(7), None).traits
        assert trait.count == 5
        said = arke(engine, "source", "refused")
        assert f"{topic.name} partition 0 offset 3, event 1: bad_json: " in said
        assert f"source {topic.name} (group arke-{topic.name}): 5 events taken, 4 refused" in arke(
            engine, "status"
        )
        said = "partition 0: next offset 7, 0 behind, read by engine"
        wait_until(lambda: said in arke(engine, "source", "status"), "the reader to be named")
        assert client.status().refused_by_code["bad_json"] == 2


def arke(engine: EngineProcess, *words: str) -> str:
    done = subprocess.run(
        [ARKE, *words, "--data", str(engine.data)], capture_output=True, text=True, env=engine.environ
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_event_has_the_time_of_its_message(tmp_path: Path, brokers: str) -> None:
    """It waited in the topic, which says nothing about the sender's clock."""
    topic = TeamTopic(brokers, partitions=1).make()
    now = int(time.time())
    written = now - 40 * 86_400
    person = {"uuid": device(7), "signals": {"c_see": "camera"}}
    topic.write(json.dumps(person).encode(), timestamp=written * 1000)
    sent = {**person, "uuid": device(8), "ts": written + 3_500, "sent_at": written + 3_600}
    topic.write(json.dumps(sent).encode(), timestamp=written * 1000)
    topic.write(json.dumps(person).encode(), timestamp=(now - 131 * 86_400) * 1000)
    topic.flush()
    with engine_of(tmp_path, topic.settings()) as engine:
        engine.apply(catalog([]))
        client = engine.client()
        wait_until(lambda: taken(client, topic, 3), "all to be taken")
        (first,), (second,) = (client.explain(device(number), None).traits for number in (7, 8))
        assert (first.last, second.last) == (utc_text(written), utc_text(written - 100))
        (refused,) = client.refused_of_sources(10)
        assert refused.code == "too_old"


def test_a_broker_may_be_away_at_the_start_and_later(tmp_path: Path) -> None:
    with kafka_cluster(tmp_path / "kafka", nodes=1) as cluster:
        topic = TeamTopic(cluster.bootstrap, partitions=2).make()
        topic.see(500)
        topic.flush()
        cluster.kill(1)
        with engine_of(tmp_path, topic.settings()) as engine:
            engine.apply(catalog([]))
            engine.accept({"uuid": device(7), "signals": {"c_see": "camera"}})
            client = engine.client()
            wait_until(lambda: source(client, topic).problem, "the trouble to be told")
            assert client.status().ready
            assert "held up: " in arke(engine, "status")
            cluster.restart(1)
            wait_until(lambda: taken(client, topic, 500), "what was there to be taken")
            cluster.kill(1)
            wait_until(lambda: source(client, topic).problem, "the trouble to be told")
            cluster.restart(1)
            cluster.wait_ready()
            wait_until(
                lambda: not source(client, topic).problem, "the brokers to be there, though nothing came"
            )
            topic.see(500)
            topic.flush()
            wait_until(lambda: taken(client, topic, 1_000), "what came later to be taken")
            wait_until(lambda: not source(client, topic).problem, "no trouble to be left")
            verify(client, topic.seen)


def test_who_stops_while_brokers_are_away_is_named_nowhere(tmp_path: Path) -> None:
    """Its group had dropped it by then, or so it believes; the next one reads on."""
    with kafka_cluster(tmp_path / "kafka", nodes=1) as cluster:
        topic = TeamTopic(cluster.bootstrap, partitions=2).make()
        topic.see(500)
        topic.flush()
        engine = engine_of(tmp_path, topic.settings())
        with engine:
            engine.apply(catalog([]))
            wait_until(lambda: taken(engine.client(), topic, 500), "all to be taken")
            wait_until(lambda: read_by(engine, topic) == {"engine"}, "the reader to be named")
            cluster.kill(1)
            wait_until(lambda: "shards_lost" in engine.log(), "a session to be over")
        with engine:
            assert read_by(engine, topic) == {""}
            cluster.restart(1)
            cluster.wait_ready()
            wait_until(lambda: read_by(engine, topic) == {"engine"}, "reading to go on")
            verify(engine.client(), topic.seen)


def read_by(engine: EngineProcess, topic: TeamTopic) -> set[str]:
    return {part.reader for part in source(engine.client(), topic).partitions}


def test_what_the_topic_has_lost_is_said_and_counted(tmp_path: Path, brokers: str) -> None:
    topic = TeamTopic(brokers, partitions=1).make()
    topic.see(100, users=10)
    topic.flush()
    engine = engine_of(tmp_path, topic.settings())
    with engine:
        engine.apply(catalog([]))
        wait_until(lambda: taken(engine.client(), topic, 100), "all to be taken")
    for number in range(50):
        topic.write(json.dumps(camera(f"lost-{number}")).encode())
    topic.flush()
    topic._admin.delete_records([TopicPartition(topic.name, 0, 150)])[TopicPartition(topic.name, 0)].result(
        30
    )
    topic.see(10, users=10)
    topic.flush()
    with engine:
        client = engine.client()
        wait_until(lambda: taken(client, topic, 110), "the rest to be taken")
        assert source(client, topic).skipped == 50
        assert "50 offsets were gone before they were read" in arke(engine, "status")
        assert "source_skipped" in engine.log()
        verify(client, topic.seen)


def test_a_topic_that_is_made_anew_is_read_anew(tmp_path: Path, brokers: str) -> None:
    """Its offsets begin at 0 again: what is there counts, though the old ones did."""
    topic = TeamTopic(brokers, partitions=1).make()
    topic.see(20, users=10)
    topic.flush()
    engine = engine_of(tmp_path, topic.settings())
    with engine:
        engine.apply(catalog([]))
        wait_until(lambda: taken(engine.client(), topic, 20), "all to be taken")
    topic.delete()
    again = TeamTopic(brokers, partitions=1, name=topic.name)
    wait_until(lambda: made(again), "the topic to be made again")
    again.see(30, users=10)
    again.flush()
    with engine:
        client = engine.client()
        wait_until(lambda: taken(client, topic, 50), "what is new to be taken")
        assert "source_made_anew" in engine.log()
        verify(client, topic.seen + again.seen)


def made(topic: TeamTopic) -> bool:
    try:
        topic.make()
    except KafkaException:  # it is being deleted still
        return False
    return True


def test_a_source_may_begin_at_the_end(tmp_path: Path, brokers: str) -> None:
    """And stays there, though it was stopped before anything came."""
    topic = TeamTopic(brokers, partitions=1).make()
    topic.write(json.dumps(camera("before")).encode())
    topic.flush()
    engine = engine_of(tmp_path, topic.settings(start="latest"))
    with engine:
        engine.apply(catalog([]))
        wait_until(lambda: bool(source(engine.client(), topic).partitions), "the partition to be taken")
        wait_until(lambda: source(engine.client(), topic).partitions[0].next == 1, "its end to be noted")
    topic.see(5, users=5)
    topic.flush()
    with engine:
        client = engine.client()
        wait_until(lambda: taken(client, topic, 5), "what came after to be taken")
        verify(client, topic.seen)
        assert client.status().profiles == 5


def test_calls_of_segment(tmp_path: Path, brokers: str) -> None:
    topic = TeamTopic(brokers, partitions=1).make()
    call = {
        "type": "track",
        "event": "Viewed",
        "anonymousId": "a1",
        "messageId": "m1",
        "properties": {"see": "camera"},
        "context": {"library": {"name": "analytics.js"}},
    }
    for body in (call, call, {**call, "messageId": "m2"}, {**call, "type": "trak"}):
        topic.write(json.dumps(body).encode())
    topic.flush()
    settings = topic.settings(format="segment") + f"[intake.segment]\nanonymous_id = {DPID}\n"
    with engine_of(tmp_path, settings) as engine:
        engine.apply(catalog([]))
        client = engine.client()
        wait_until(lambda: taken(client, topic, 4), "all to be taken")
        found = source(client, topic)
        assert (found.events, found.refused, found.left) == (3, 1, {"context": 3})
        explained = client.explain(None, f"{DPID}:a1")
        assert [trait.count for trait in explained.traits] == [2], "m1 counts once"
        assert IN_MARKET in {one.id for one in explained.segments}


def test_who_has_opted_out_stays_out(tmp_path: Path, brokers: str) -> None:
    topic = TeamTopic(brokers, partitions=1).make()
    with engine_of(tmp_path, topic.settings()) as engine:
        engine.apply(catalog([]))
        engine.accept({"uuid": device(7), "signals": {"c_see": "camera"}})
        arke(engine, "privacy", "delete", "--uuid", device(7))
        for number in (7, 8):
            topic.write(json.dumps({"uuid": device(number), "signals": {"c_see": "camera"}}).encode())
        topic.flush()
        client = engine.client()
        wait_until(lambda: taken(client, topic, 2), "all to be taken")
        assert client.status().refused_by_code == {"opted_out": 1}
        assert client.refused_of_sources(10) == [], "there is nothing wrong with the event"
        assert client.status().profiles == 1


def test_without_the_extra_the_engine_says_which_one(tmp_path: Path) -> None:
    (tmp_path / "confluent_kafka.py").write_text("raise ImportError('no module named confluent_kafka')")
    engine = engine_of(tmp_path, '[[intake.kafka]]\ntopic = "a"\noptions = {"bootstrap.servers" = "k:1"}')
    path = ":".join(filter(None, [str(tmp_path), engine.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [ARKE, "up", "--config", str(engine.config), "--data", str(engine.data)],
        capture_output=True,
        text=True,
        env={**engine.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 2
    assert "intake.kafka needs the extra arke[kafka]" in done.stderr


def test_an_option_that_librdkafka_does_not_know_is_refused(tmp_path: Path) -> None:
    settings = '[[intake.kafka]]\ntopic = "a"\noptions = {"bootstrap.servers" = "k:1", "no.such" = 1}'
    engine = engine_of(tmp_path, settings)
    done = subprocess.run(
        [ARKE, "up", "--config", str(engine.config), "--data", str(engine.data)],
        capture_output=True,
        text=True,
        env=engine.environ,
    )
    assert done.returncode == 2
    assert 'intake.kafka.options: No such configuration property: "no.such"' in done.stderr
