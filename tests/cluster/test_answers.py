"""What a cluster answers about users and time, at any of its nodes: statements, overlaps, what passes, figures."""

from __future__ import annotations

import http.client
import json
import signal
import time
from typing import TYPE_CHECKING, Any, Final

import pytest

from arke.api import parameters
from arke.api.table import history, reconciliation
from cluster.world import SHARDS, World
from e2e.catalogs import IN_MARKET, LENSES, STILL_LOOKING, visit
from e2e.live_watcher import LiveWatcher
from patience import wait_until
from servers.postgres import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from arke.operations.reconciliation import Counting, Statement
    from cluster.world import NodeProcess

USERS: Final = 40
LENS: Final = 10
"""Users who say that, too: every fourth."""
LEFT: Final = 4
"""Users who have bought a bag since, and left a segment."""


class Town(World):
    """Two admin nodes, an intake and two workers, with everybody told of everything."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, KINDS[0])
        self.began = int(time.time()) // 60 * 60

    def begin(self) -> None:
        self.admins = [self.node("admin"), self.node("admin")]
        self.intake = self.node("intake")
        self.workers = [self.node("worker"), self.node("worker")]
        self.apply(self.admins[0])
        lenses = [["lens"] if user % 4 == 0 else [] for user in range(USERS)]
        self.send(*(visit(user, "camera", *more) for user, more in enumerate(lenses)))
        wait_until(lambda: self.told(IN_MARKET) == {"acknowledged": USERS}, "everybody to be told")
        self.send(*(visit(user, "bag") for user in range(LEFT)))
        wait_until(lambda: self.statement(self.intake, STILL_LOOKING).left == {}, "the exits to be told")
        wait_until(lambda: self.told(STILL_LOOKING) == {"acknowledged": USERS - LEFT}, "all to be settled")

    def send(self, *events: dict[str, Any]) -> None:
        connection = http.client.HTTPConnection(self.intake.doors["intake"], timeout=60)
        connection.request("POST", "/v1/events", "\n".join(json.dumps(event) for event in events))
        answer = json.loads(connection.getresponse().read())
        connection.close()
        assert answer == {"accepted": len(events), "rejected": []}

    def statement(self, node: NodeProcess, segment: int) -> Statement:
        return self.client(node).ask(reconciliation.STATEMENT, parameters.SegmentAt(segment, 1))

    def told(self, segment: int) -> dict[str, int]:
        """The buckets, once every shard has answered."""
        found = self.statement(self.intake, segment)
        return found.buckets if not found.away else {}

    def counting(self, node: NodeProcess) -> Counting:
        found = self.client(node).ask(reconciliation.SHOW_COUNT, parameters.OneDestination(1))
        assert found is not None
        return found

    def known(self, node: NodeProcess, **span: Any) -> dict[int, float]:
        """What a node knows of a series since the town began, by when the minute began."""
        asked = parameters.Span(since=str(self.began), step=60, **span)
        found = self.client(node).ask(history.READ_HISTORY, asked)
        (line,) = found.lines
        times = range(found.since, found.until, found.step_s)
        return {at: value for at, value in zip(times, line.values, strict=True) if value is not None}

    def leader(self) -> NodeProcess:
        """The admin that leads, once one does."""
        found: list[NodeProcess] = []

        def leads() -> bool:
            name = self.cluster()["leader"] or ""
            found[:] = [admin for admin in self.admins if admin.is_named(name)]
            return bool(found)

        wait_until(leads, "a node to lead")
        return found[0]


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with Town(tmp_path_factory.mktemp("town")) as made:
        made.begin()
        yield made


@pytest.mark.parametrize(
    ("segment", "users"), [(IN_MARKET, USERS), (LENSES, LENS), (STILL_LOOKING, USERS - LEFT)]
)
def test_every_node_makes_the_same_statement(town: Town, segment: int, users: int) -> None:
    for node in town.nodes:
        found = town.statement(node, segment)
        assert (found.buckets, found.users, found.members) == ({"acknowledged": users}, users, users)
        assert (found.left, found.away, found.exact, found.basis) == ({}, [], True, "now")


def test_the_command_says_it_too_over_a_nodes_socket(town: Town) -> None:
    for node in (town.admins[0], town.workers[1]):
        done = town.arke("reconcile", str(LENSES), "1", "--data", str(node.data), "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["buckets"] == {"acknowledged": LENS}


def test_a_count_of_all_is_of_all_shards(town: Town) -> None:
    node, which = town.admins[1], parameters.OneDestination(1)
    town.client(node).ask(reconciliation.COUNT, which)
    wait_until(lambda: not town.counting(node).running, "the count to end")
    found = town.counting(node)
    assert (found.error, found.share, found.looked_at) == (None, 1.0, USERS)


def test_a_funnel_narrows_to_those_who_were_told(town: Town) -> None:
    for node in town.nodes:
        funnel = town.client(node).ask(reconciliation.FUNNEL, parameters.OneDestination(1))
        assert (funnel.qualified, funnel.partner_id, funnel.acknowledged, funnel.owed) == (
            USERS,
            USERS,
            USERS,
            0,
        )


def test_every_node_finds_who_is_in_both(town: Town) -> None:
    for node in town.nodes:
        both = town.client(node).ask(reconciliation.OVERLAP, parameters.TwoSegments(LENSES, STILL_LOOKING))
        assert (both.one_members, both.other_members) == (LENS, USERS - LEFT)
        assert (both.both, both.exact, both.looked_at) == (LENS - 1, True, USERS)


def test_what_passes_on_any_worker_is_seen_at_any_node(town: Town) -> None:
    token = town.client(town.admins[0]).create_token("operate", "watcher", None)
    users = iter(range(1_000, 10_000))
    for node in (town.admins[0], town.workers[0]):
        with LiveWatcher(node.doors["admin"], token.secret) as watcher:
            sent: set[str] = set()

            def all_of_it(watcher: LiveWatcher = watcher, sent: set[str] = sent) -> bool:
                events = [visit(next(users), "camera") for _ in range(SHARDS)]
                sent.update(event["uuid"] for event in events)
                town.send(*events)
                seen = {entry.uuid for entry in watcher.entries if entry.kind == "event"}
                return watcher.kinds() == {"event", "change", "message"} and len(seen & sent) > SHARDS

            wait_until(all_of_it, "events, changes and messages of both workers")


def test_figures_over_time_are_the_leaders_and_everybodys(town: Town) -> None:
    """Whoever leads keeps them, and looks once more when it ends; the next one goes on, at any node to be seen."""
    town.send(*(visit(user, "lens") for user in range(USERS)))
    first = town.leader()
    assert first.ended(signal.SIGTERM) == 0
    town.admins.remove(first)
    town.nodes.remove(first)
    wait_until(lambda: any(town.known(town.intake, series="events").values()), "its last minute to be over")
    before = town.known(town.intake, series="events")
    assert max(town.known(town.intake, series="users_acknowledged", destination=1).values()) > 0
    assert max(town.known(town.intake, series="latency_p50", destination=1).values()) > 0
    second = town.leader()
    town.send(*(visit(user, "bag") for user in range(USERS)))
    wait_until(lambda: max(town.known(second, series="events")) > max(before), "the next leader to go on")
    assert town.known(second, series="size", segment=IN_MARKET).values()
    for node in town.nodes:
        known = town.known(node, series="events")
        assert {at: known[at] for at in before if at < max(before)} == {
            at: value for at, value in before.items() if at < max(before)
        }
