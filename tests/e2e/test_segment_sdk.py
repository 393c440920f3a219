"""Segment's own Python library, pointed at Arke: its calls move people into segments that a destination is told."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from segment.analytics.client import Client

from e2e.catalogs import DPID, IN_MARKET, LENSES, catalog, destination
from e2e.engine_process import LOOPBACK, EngineProcess, request
from e2e.receiver_thread import ReceiverThread
from patience import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

USER = 501
SETTINGS = f"""{LOOPBACK}
[intake.segment]
anonymous_id = {DPID}
user_id = {USER}
"""


@pytest.fixture
def receiver() -> Iterator[ReceiverThread]:
    with ReceiverThread() as receiver:
        yield receiver


@pytest.fixture
def engine(tmp_path: Path, receiver: ReceiverThread) -> Iterator[EngineProcess]:
    with EngineProcess(tmp_path, settings=SETTINGS, shards=1) as engine:
        engine.apply(catalog([destination(423, receiver.url, receiver.ca_file)]))
        yield engine


def key(engine: EngineProcess, scope: str) -> str:
    done = engine.arke("token", "create", "--scope", scope, "--json")
    assert done.returncode == 0, done.stderr
    secret: str = json.loads(done.stdout)["secret"]
    return secret


@contextlib.contextmanager
def library(engine: EngineProcess, write_key: str, **options: Any) -> Iterator[tuple[Client, list[Any]]]:
    """The library, and what it says went wrong. On the way out everything has been sent."""
    wrong: list[Any] = []
    client = Client(
        write_key,
        host=f"http://{engine.intake}",
        on_error=lambda problem, _: wrong.append(problem),
        upload_interval=0.05,
        max_retries=1,
        **options,
    )
    try:
        yield client, wrong
    finally:
        client.flush()
        client.join()


def events(engine: EngineProcess) -> int:
    return engine.client().status().events


@pytest.mark.parametrize("packed", [False, True])
def test_its_calls_reach_a_destination(engine: EngineProcess, receiver: ReceiverThread, packed: bool) -> None:
    with library(engine, key(engine, "ingest"), gzip=packed) as (client, wrong):
        client.identify(user_id="u1", anonymous_id="visitor-1", traits={"plan": "pro"})
        client.track(anonymous_id="visitor-1", event="Viewed", properties={"see": "camera"})
        client.page(anonymous_id="visitor-2", name="Home", properties={"see": "lens"})
        client.screen(anonymous_id="visitor-2", name="Home")
        client.group(user_id="u1", group_id="g1")
        client.alias(previous_id="visitor-3", user_id="u1")
    assert wrong == []
    wanted = {"visitor-1": str(IN_MARKET), "visitor-2": str(LENSES)}
    for visitor, segment in wanted.items():
        wait_until(lambda v=visitor, s=segment: s in receiver.segments_of(v), f"{visitor} is told")  # type: ignore[misc]
    assert engine.client().status().parts_left.keys() >= {"context"}


def test_what_is_sent_again_counts_once(engine: EngineProcess) -> None:
    with library(engine, key(engine, "ingest")) as (client, wrong):
        for _ in range(3):
            client.track(anonymous_id="visitor-1", event="Viewed", message_id="m1")
    assert wrong == []
    status = engine.client().status()
    assert (status.events, status.repeated) == (3, 2)


def test_a_wrong_key_and_a_bad_call_are_told_to_whoever_calls(engine: EngineProcess) -> None:
    with library(engine, "arke_wrong") as (client, wrong):
        client.track(anonymous_id="visitor-1", event="Viewed")
    (refused,) = wrong
    assert (refused.status, refused.code) == (401, "unauthorized")
    with library(engine, key(engine, "ingest")) as (client, wrong):
        client.track(anonymous_id="undefined", event="Viewed")
    (refused,) = wrong
    assert (refused.status, refused.code) == (400, "all_ids_invalid")
    assert events(engine) == 0
    scrapes = {"Authorization": f"Bearer {key(engine, 'metrics')}"}
    metrics = request(engine.admin, "GET", "/metrics", headers=scrapes)
    assert b'arke_events_refused_total{code="all_ids_invalid"} 1.0' in metrics.body


def test_a_key_of_pages_cannot_say_more_than_a_page(engine: EngineProcess) -> None:
    write_key = key(engine, "browser")
    with library(engine, write_key) as (client, wrong):
        client.track(anonymous_id="visitor-1", event="Viewed", properties={"see": "camera"})
    assert wrong == []
    assert events(engine) == 1
    assert engine.send({"memberships": {"12176": 1}}, token=write_key).status == 403
