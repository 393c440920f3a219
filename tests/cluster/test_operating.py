"""A cluster as its operators use it: every node answers every question, and begins what only one of them does."""

from __future__ import annotations

import http.client
import itertools
import json
import shutil
import signal
import threading
from typing import TYPE_CHECKING, Final

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from arke.api import parameters
from arke.api.reach import UnixConnection, engine_socket
from arke.api.table import batches, callers, files, privacy
from arke.errors import ArkeError, CatalogChanged, Unavailable
from arke.onboarding.columns_file import outgoing
from arke.operations.privacy import PrivacyAsk
from cluster.world import SHARDS, World
from e2e.catalogs import DPID, catalog, destination
from e2e.console_visitor import Visitor
from patience import wait_until
from servers.postgres import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from arke.api.client import Client
    from cluster.world import NodeProcess

USERS: Final = 60
BOUGHT: Final = 5_000
LINES: Final = 12_000
"""Of a file that is being loaded when its leader dies: more than between two commits of the position."""


class Town(World):
    """Two admin nodes, an intake, two workers; and a folder that all of them watch."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, KINDS[0])
        self.watched = folder / "watched"
        self.files = 0

    def begin(self) -> None:
        self.watched.mkdir()
        with self.config.open("a") as settings:
            settings.write(f'[onboarding]\nfolder = "{self.watched}"\nevery_s = 1\n')
        self.admins = [self.node("admin"), self.node("admin")]
        self.intake = self.node("intake")
        self.workers = [self.node("worker"), self.node("worker")]
        wait_until(lambda: self.owned() == SHARDS, "all shards to be owned")
        self.catalog("first", self.admins[1])
        self.send_events()

    def catalog(self, name: str, node: NodeProcess) -> int | None:
        """Apply one that differs by the name of a trait, at a node. The version it has got."""
        given = json.loads(catalog([destination(1, self.receiver.url, self.receiver.ca_file)]))
        given["traits"].append({"id": BOUGHT, "name": name, "kind": "onboarded", "data_source": DPID})
        path = self._folder / f"{name}.json"
        path.write_text(json.dumps(given))
        return self.client(node).apply(path, path.read_text(), dry_run=False).version

    def send_events(self, kind: str = "p", users: int = USERS) -> None:
        lines = [
            json.dumps({"ids": [{"dpid": DPID, "id": f"{kind}{user}"}], "signals": {"c_see": ["camera"]}})
            for user in range(users)
        ]
        connection = http.client.HTTPConnection(self.intake.doors["intake"], timeout=60)
        connection.request("POST", "/v1/events", "\n".join(lines))
        answer = json.loads(connection.getresponse().read())
        connection.close()
        assert answer == {"accepted": users, "rejected": []}

    def file(self, lines: int = USERS) -> Path:
        """A file that nobody has been sent yet."""
        self.files += 1
        path = self._folder / f"ftp_dpm_{DPID}_{1_790_000_000 + self.files}.sync"
        path.write_text("".join(f"p{line % USERS}\td_sid={BOUGHT}\n" for line in range(lines)))
        return path

    def leader(self) -> NodeProcess:
        """The admin that leads, once one does."""
        found: list[NodeProcess] = []

        def leads() -> bool:
            name = self.cluster()["leader"] or ""
            found[:] = [admin for admin in self.admins if admin.is_named(name)]
            return bool(found)

        wait_until(leads, "a node to lead")
        return found[0]

    def health(self, node: NodeProcess, path: str) -> int:
        """What a load balancer is answered."""
        connection = http.client.HTTPConnection(node.doors["admin"], timeout=60)
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with Town(tmp_path_factory.mktemp("town")) as made:
        made.begin()
        yield made


def scraped(node: NodeProcess) -> str:
    """What Prometheus is told, by the Unix socket."""
    connection = UnixConnection(engine_socket(node.data))
    connection.request("GET", "/metrics")
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    assert answer.status == 200, body
    return body


def everything(client: Client, town: Town, user: str) -> None:
    """What an operator asks, at one node."""
    status = client.status()
    assert (status.ready, status.shards, status.away, status.profiles) == (True, SHARDS, [], USERS)
    assert status.cluster is not None
    assert (len(status.cluster.nodes), status.cluster.unowned) == (5, [])
    assert status.cluster.leader is not None
    for resync in (False, True):
        run = client.run_batch(1, lambda _: None, resync=resync)
        assert (run.abandoned, run.owed) == (False, 0)
        assert run.finished_at is not None
    (of_one,) = client.batches()
    assert [one.number for one in of_one.runs[:2]] == [run.number, run.number - 1]
    assert of_one.next_due is not None
    assert client.explain(None, f"{DPID}:{user}").known
    estimate = client.estimate("1000T", None)
    assert (estimate.estimate, estimate.exact, estimate.warnings) == (USERS, True, [])
    (receipt,) = client.onboard(outgoing([town.file()], None), lambda *_: None)
    assert (receipt.state, receipt.stored, receipt.realised) == ("done", USERS, USERS)
    made = client.create_token("read", "for one node", None)
    assert made.id in [one.id for one in client.list_tokens()]
    client.revoke_token(made.id)
    assert list(client.undelivered(None)) == []
    assert client.refusals(None) == []
    assert client.replay(1).devices == 0
    (person,) = client.privacy_access(PrivacyAsk(id=f"{DPID}:{user}"))
    assert len(person.devices) == 1
    assert client.ask(callers.AUDIT, parameters.After()).intact


def test_the_console_of_any_node_shows_the_cluster(town: Town) -> None:
    for node in (*town.admins, town.workers[0]):
        visitor = Visitor(node.doors["admin"])
        assert visitor.open(town.client(node).sign_in_link().url).status == 303
        for page in ("", "destinations", "destinations/1", "batches", "undelivered", "audit"):
            reply = visitor.get(f"/console/{page}")
            assert reply.status == 200, (page, reply.body.decode())
        body = visitor.get("/console/system").body.decode()
        assert body.count("ready</span>") >= SHARDS
        assert "Nodes of the cluster" in body


def test_every_node_does_what_the_leader_does(town: Town) -> None:
    for number, node in enumerate((town.leader(), *town.admins, town.intake, town.workers[0])):
        everything(town.client(node), town, f"p{number}")


def test_a_person_that_asked_at_one_node_is_gone_at_all(town: Town) -> None:
    town.send_events("q", 4)
    for number, node in enumerate((*town.admins, town.intake, town.workers[0])):
        ask = PrivacyAsk("opt_out", id=f"{DPID}:q{number}")
        (report,) = town.client(node).privacy_request(ask, 600)
        assert report.state == "done"
        for other in town.nodes:
            assert town.client(other).privacy_show(report.number).state == "done"


def test_a_command_beside_the_cluster_needs_its_settings_alone(town: Town, tmp_path: Path) -> None:
    here = ("--config", str(town.config), "--data", str(tmp_path / "none"))
    status = json.loads(town.arke("status", "--json", *here).stdout)
    assert (status["ready"], status["shards"], len(status["cluster"]["nodes"])) == (True, SHARDS, 5)
    for words in (
        ("explain", "--id", f"{DPID}:p1"),
        ("batch", "run", "1"),
        ("token", "create", "--scope", "read"),
        ("onboard", str(town.file())),
        ("undelivered", "replay"),
        ("privacy", "list"),
    ):
        done = town.arke(*words, *here)
        assert done.returncode == 0, done.stderr
    assert not (tmp_path / "none").exists()


def test_of_two_catalogs_at_once_one_wins_and_the_other_is_told_so(town: Town) -> None:
    before = town.client(town.admins[0]).status().catalog_version
    outcomes: list[int | ArkeError | None] = []

    def apply(name: str, node: NodeProcess) -> None:
        try:
            outcomes.append(town.catalog(name, node))
        except ArkeError as error:
            outcomes.append(error)

    threads = [
        threading.Thread(target=apply, args=(f"rival {number}", node))
        for number, node in enumerate((*town.admins, town.workers[0]))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    errors = [one for one in outcomes if isinstance(one, ArkeError)]
    versions = sorted(one for one in outcomes if isinstance(one, int))
    # One that came later than another had ended was planned on top of it.
    assert versions == list(range(before + 1, before + 1 + len(versions)))
    assert versions
    assert all(isinstance(one, CatalogChanged) for one in errors)
    names = {
        trait.name
        for node in town.nodes
        for trait in town.client(node).explain(None, f"{DPID}:p1").traits
        if trait.id == BOUGHT
    }
    assert len(names) == 1


def test_what_was_applied_at_one_node_is_in_force_at_the_next_one(town: Town) -> None:
    for number, node in enumerate((*town.admins, *town.admins)):
        version = town.catalog(f"in turn {number}", node)
        assert version is not None
        found = town.client(town.admins[1 - number % 2]).status()
        assert found.catalog_version == version
        assert found.cluster is not None
        assert {one.catalog for one in found.cluster.nodes} == {version}


def test_a_file_in_the_watched_folder_is_loaded_once(town: Town) -> None:
    path = town.file()
    shutil.copy(path, town.watched / f".{path.name}.tmp")
    (town.watched / f".{path.name}.tmp").rename(town.watched / path.name)
    done = town.watched / "done" / f"{path.name}.receipt.json"
    wait_until(done.exists, "the receipt")
    wait_until(lambda: json.loads(done.read_text() or "{}"), "all of it")
    receipt = json.loads(done.read_text())
    assert (receipt["state"], receipt["stored"], receipt.get("repeated", False)) == ("done", USERS, False)
    loaded = [
        one.detail
        for one in town.client(town.admins[0]).ask(callers.AUDIT, parameters.After()).entries
        if one.action == "file_loaded" and path.name in one.detail
    ]
    assert len(loaded) == 1


def test_figures_of_all_nodes_add_up_while_shards_move(town: Town) -> None:
    def sums() -> dict[str, float]:
        found: dict[str, float] = {}
        for node in town.nodes:
            for family in text_string_to_metric_families(scraped(node)):
                for sample in family.samples:
                    found[sample.name] = found.get(sample.name, 0.0) + sample.value
        return found

    before = sums()
    assert before["arke_node_leads"] == 1
    assert before["arke_node_shards"] == SHARDS
    assert before["arke_cluster_shards_unowned"] == 0
    gone = town.workers[1]
    gone.send(signal.SIGSTOP)  # others take its shards
    wait_until(lambda: town.client(town.workers[0]).status().away == [], "its shards to be taken over")
    gone.send(signal.SIGCONT)
    wait_until(lambda: sums()["arke_node_shards_lost_total"] > 0, "it to see that it lost them")
    wait_until(lambda: sums()["arke_node_shards"] == SHARDS, "each shard to have one owner")
    town.send_events()
    wait_until(
        lambda: sums()["arke_events_total"] == before["arke_events_total"] + USERS, "all events to count once"
    )


def test_a_shard_whose_messages_are_gone_is_named_and_goes_on_where_it_is_told_to(town: Town) -> None:
    client, worker = town.client(town.admins[0]), town.workers[0]
    town.send_events()
    not_taken = "SELECT shard FROM log_end JOIN shard USING (shard) WHERE number <> position"
    wait_until(lambda: not town.postgres.execute(not_taken), "all to be taken")
    (shard, end), *_ = town.postgres.execute("SELECT shard, number FROM log_end WHERE number > 0")

    def begin_at(position: object) -> None:
        with psycopg.connect(town.postgres.dsn(), autocommit=True) as connection:
            connection.execute("DELETE FROM log WHERE shard = %s", (shard,))
            connection.execute(
                "UPDATE shard SET position = %s, epoch = epoch + 1 WHERE shard = %s", (position, shard)
            )

    begin_at(0)
    wait_until(lambda: town.cluster()["gaps"] == (shard,), "the shard to stand still")
    wait_until(lambda: not client.status().ready, "the status to say so")
    cluster = client.status().cluster
    assert cluster is not None
    assert cluster.gaps == [shard]
    told = town.arke("cluster", "status", "--config", str(town.config)).stdout
    assert f"these shards STAND STILL: {shard}\n" in told
    assert "all is taken" not in told
    told = town.arke("status", "--data", str(worker.data)).stdout
    assert f"messages of the log are gone, these shards STAND STILL: {shard}\n" in told
    families = (text_string_to_metric_families(scraped(node)) for node in town.nodes)
    samples = [one for family in itertools.chain(*families) for one in family.samples]
    assert sum(one.value for one in samples if one.name == "arke_log_gaps") == 1
    begin_at(end)
    wait_until(lambda: not town.cluster()["gaps"], "the shard to go on")
    wait_until(lambda: client.status().ready, "all to be ready")


def test_a_dead_worker_is_said_and_what_the_others_know_is_answered(town: Town) -> None:
    client = town.client(town.admins[0])
    town.workers[1].ended(signal.SIGKILL)
    wait_until(lambda: client.status().away, "its shards to be missed")
    assert town.arke("cluster", "status", "--config", str(town.config)).returncode in (0, 1)
    estimate = client.estimate("1000T", None)
    assert estimate.warnings or estimate.estimate > USERS // 2
    wait_until(lambda: not client.status().away, "its shards to be taken over")
    assert client.status().ready
    town.workers[1].start()


def test_what_a_leader_began_when_it_was_killed_is_finished_by_the_next(town: Town) -> None:
    leader = town.leader()
    other = next(admin for admin in town.admins if admin is not leader)
    client = town.client(leader)
    (of_one,) = client.batches()
    path = town.file(LINES)
    with path.open("rb") as body:
        ticket = client.ask(files.SEND_FILE, parameters.DataFile(path.name, None), body)
    (report,) = client.ask(privacy.REQUEST_PRIVACY, body=PrivacyAsk("delete", id=f"{DPID}:p40"))
    run = client.ask(batches.RESYNC, parameters.Resync(1))
    assert run.number == of_one.runs[0].number + 1
    leader.ended(signal.SIGKILL)
    client = town.client(other)
    # Nobody leads for some seconds: what is asked meanwhile is taken, and done by the next.
    (second,) = client.ask(privacy.REQUEST_PRIVACY, body=PrivacyAsk("delete", id=f"{DPID}:p41"))
    late = town.file()
    with late.open("rb") as body:
        next_ticket = client.ask(files.SEND_FILE, parameters.DataFile(late.name, None), body)
    one = parameters.OneBatch(run.number, 1)
    wait_until(lambda: client.ask(batches.SHOW_BATCH, one).finished_at, "the batch to be finished")
    for number in (report.number, second.number):
        wait_until(lambda: client.privacy_show(number).state == "done", "the request to be done")  # noqa: B023
    for sent, lines in ((ticket, LINES), (next_ticket, USERS)):
        asked = parameters.OneFile(sent.id or "")
        wait_until(lambda: client.ask(files.SHOW_FILE, asked).receipt, "the file to be loaded")  # noqa: B023
        receipt = client.ask(files.SHOW_FILE, asked).receipt
        assert receipt is not None
        assert (receipt.state, receipt.received) == ("done", lines)
    traits = {trait.id: trait.count for trait in client.explain(None, f"{DPID}:p1").traits}
    assert traits[BOUGHT] == 1
    assert not client.explain(None, f"{DPID}:p40").known
    assert town.leader() is other
    leader.start()


def test_who_is_not_reached_is_not_ready(town: Town) -> None:
    for node in town.nodes:
        wait_until(lambda: town.health(node, "/readyz") == 200, "every node to be ready")  # noqa: B023
    town.postgres.kill()
    for node in town.nodes:
        wait_until(lambda: town.health(node, "/readyz") == 503, "every node to say so")  # noqa: B023
        assert town.health(node, "/healthz") == 200
    with pytest.raises(Unavailable):
        town.client(town.admins[0]).batches()
    town.postgres.start()
    for node in town.nodes:
        wait_until(lambda: town.health(node, "/readyz") == 200, "every node to be ready again")  # noqa: B023
