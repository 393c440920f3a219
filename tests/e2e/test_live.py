"""What passes a running engine, watched over its admin API: events, changes and messages over all shards."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from arke.api.table import callers
from arke.operations.live import MAX_WATCHERS
from e2e.catalogs import IN_MARKET, catalog, destination, visit
from e2e.engine_process import EngineProcess, request
from e2e.live_watcher import LiveWatcher
from patience import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.receiver_thread import ReceiverThread


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, well: ReceiverThread) -> Iterator[EngineProcess]:
    with EngineProcess(tmp_path_factory.mktemp("engine"), shards=2) as running:
        running.apply(catalog([destination(1, well.url, well.ca_file)]))
        yield running


def test_events_changes_and_messages_are_seen_as_they_pass(
    engine: EngineProcess, well: ReceiverThread
) -> None:
    """From every shard, with what each was about; and the look is audited."""
    token = engine.client().create_token("operate", "watcher", None)
    visitors = iter(range(1, 10_000))
    with LiveWatcher(engine.admin, token.secret) as watcher:

        def all_kinds() -> bool:
            engine.accept(*(visit(next(visitors), "camera", region=6) for _ in range(4)))
            return watcher.kinds() == {"event", "change", "message"} and len(watcher.entries) > 20

        wait_until(all_kinds, "events, changes and messages to be seen")
    event = next(entry for entry in watcher.entries if entry.kind == "event")
    assert len(event.uuid) == 38
    assert event.signals == {"c_see": ["camera"]}
    assert event.ids[0].startswith("12345:p")
    assert event.traits == [1000]
    change = next(entry for entry in watcher.entries if entry.kind == "change")
    assert (change.segment, change.status, change.reason, change.cause) == (IN_MARKET, 1, "rule", "realtime")
    message = next(entry for entry in watcher.entries if entry.kind == "message")
    assert (message.destination, message.name, message.answer, message.acknowledged) == (
        1,
        "DSP 1",
        "200",
        True,
    )
    assert message.told[str(IN_MARKET)] == 1
    assert message.ms is not None
    audited = [
        entry for entry in engine.client().ask(callers.AUDIT).entries if entry.action == "live_watched"
    ]
    assert [(entry.actor, entry.detail) for entry in audited] == [(token.id, "with people")]


def test_watching_is_for_those_who_may_see_people(engine: EngineProcess) -> None:
    reader = engine.client().create_token("read", "reader", None)
    reply = request(engine.admin, "GET", "/v1/live", headers={"Authorization": f"Bearer {reader.secret}"})
    assert reply.status == 403


def test_more_than_so_many_watchers_are_told_to_come_again(engine: EngineProcess) -> None:
    token = engine.client().create_token("operate", "crowd", None)
    visitors = iter(range(20_000, 30_000))
    with contextlib.ExitStack() as stack:
        crowd = [
            stack.enter_context(LiveWatcher(engine.admin, token.secret)) for _ in range(MAX_WATCHERS + 4)
        ]

        def answered() -> bool:
            engine.accept(visit(next(visitors), "lens"))
            return all(watcher.status for watcher in crowd)

        wait_until(answered, "all of the crowd to be answered")
    statuses = [watcher.status for watcher in crowd]
    # Whoever went away before may not be forgotten yet.
    assert MAX_WATCHERS - 1 <= statuses.count(200) <= MAX_WATCHERS
    assert statuses.count(429) == len(crowd) - statuses.count(200)

    def free_again() -> bool:
        engine.accept(visit(next(visitors), "lens"))
        with LiveWatcher(engine.admin, token.secret, seconds=1) as late:
            wait_until(lambda: late.status, "an answer")
        return late.status == 200

    wait_until(free_again, "those who went away to be forgotten")
