"""What passes a running engine, watched over its admin API: events, changes and messages over all shards."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from typing import TYPE_CHECKING, Self

import msgspec
import pytest

from arke.api.table import callers
from arke.operations.live import MAX_WATCHERS, LiveEntry
from e2e.catalogs import IN_MARKET, catalog, destination, visit
from e2e.engine_process import EngineProcess, request
from patience import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.receiver_thread import ReceiverThread


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, well: ReceiverThread) -> Iterator[EngineProcess]:
    with EngineProcess(tmp_path_factory.mktemp("engine"), shards=2) as running:
        running.apply(catalog([destination(1, well.url, well.ca_file)]))
        yield running


class Watcher:
    """Reads `/v1/live` in a thread, as whoever has a token."""

    def __init__(self, engine: EngineProcess, token: str, seconds: int = 600) -> None:
        self.entries: list[LiveEntry] = []
        self.status = 0
        self._connection = http.client.HTTPConnection(engine.admin, timeout=PATIENCE_S)
        self._target = f"/v1/live?seconds={seconds}"
        self._token = token
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):  # it is closed under us
            self._connection.request("GET", self._target, headers={"Authorization": f"Bearer {self._token}"})
            with self._connection.getresponse() as reply:
                self.status = reply.status
                for line in reply if reply.status == 200 else ():
                    self.entries.append(msgspec.json.decode(line, type=LiveEntry))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Go away, as a browser does."""
        if self._connection.sock is not None:
            self._connection.sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(PATIENCE_S)
        self._connection.close()

    def kinds(self) -> set[str]:
        return {entry.kind for entry in self.entries}


def test_events_changes_and_messages_are_seen_as_they_pass(
    engine: EngineProcess, well: ReceiverThread
) -> None:
    """From every shard, with what each was about; and the look is audited."""
    token = engine.client().create_token("operate", "watcher", None)
    visitors = iter(range(1, 10_000))
    with Watcher(engine, token.secret) as watcher:

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
        crowd = [stack.enter_context(Watcher(engine, token.secret)) for _ in range(MAX_WATCHERS + 4)]

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
        with Watcher(engine, token.secret, seconds=1) as late:
            wait_until(lambda: late.status, "an answer")
        return late.status == 200

    wait_until(free_again, "those who went away to be forgotten")
