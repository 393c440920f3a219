"""What operators do with a running engine and with its data alone: look, explain, replay, apply, roll back."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from arke import __version__, data_directory
from arke.api import reach
from arke.api.reach import connect
from arke.data_directory import DataLock, engine_runs, is_locked
from arke.errors import DataLocked
from arke.settings import Settings
from e2e.catalogs import DPID, IN_MARKET, LENSES, STILL_LOOKING, catalog, destination, device, visit
from e2e.engine_process import ARKE, OPEN, EngineProcess, alive, called, request
from e2e.receiver_thread import ReceiverThread
from patience import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arke.shard.protocol import OwedDevice

WELL, FAILING = 1, 2


@pytest.fixture(scope="module")
def engine(
    tmp_path_factory: pytest.TempPathFactory, well: ReceiverThread, failing: ReceiverThread
) -> Iterator[EngineProcess]:
    """One engine with a destination that is well and one that answers 500; one visitor came by."""
    failing.misbehave("status=500")
    with EngineProcess(tmp_path_factory.mktemp("engine")) as running:
        running.apply(
            catalog(
                [
                    destination(WELL, well.url, well.ca_file),
                    destination(FAILING, failing.url, failing.ca_file),
                ]
            )
        )
        running.accept(visit(1, "camera", region=6))
        wait_until(lambda: well.segments_of("p1"), "the message")
        wait_until(lambda: failed(running), "the other delivery to end")
        yield running


def owed(engine: EngineProcess) -> list[dict[str, Any]]:
    """`undelivered list --json`, those whose both attempts failed."""
    done = engine.arke("undelivered", "list", "--json")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return [line for line in lines if line["reason"] != "waiting"]


def failed(engine: EngineProcess) -> list[OwedDevice]:
    """The same, asked without starting a command."""
    return [one for one in engine.client().undelivered(None) if one.reason != "waiting"]


def status(engine: EngineProcess) -> Any:
    return json.loads(engine.arke("status", "--json").stdout)


class TestLooking:
    def test_undelivered_names_device_ids_segments_and_reason(self, engine: EngineProcess) -> None:
        (line,) = owed(engine)
        assert list(line) == ["destination", "uuid", "ids", "segments", "since", "reason", "tries", "next"]
        assert line["since"].endswith("Z")
        assert line["next"] > line["since"]
        del line["since"], line["next"]
        assert line == {
            "destination": FAILING,
            "uuid": device(1),
            "ids": [f"{DPID}:p1"],
            "segments": {str(IN_MARKET): 1, str(STILL_LOOKING): 1},
            "reason": "500",
            "tries": 1,
        }
        done = engine.arke("undelivered", "list", "--destination", str(FAILING))
        assert done.stdout.startswith(f"{FAILING} {device(1)} [{DPID}:p1] ")
        assert done.stdout.endswith(": 500\n1 owed\n")
        assert engine.arke("undelivered", "list", "--destination", str(WELL), "--json").stdout == ""

    def test_a_destination_that_is_not_there_is_wrong_use(self, engine: EngineProcess) -> None:
        for command in ("list", "replay"):
            done = engine.arke("undelivered", command, "--destination", "77")
            assert (done.returncode, done.stdout) == (2, "")
            assert done.stderr == "arke: no destination 77 in the catalog\n"

    def test_explain_says_why_and_what_was_told(self, engine: EngineProcess) -> None:
        by_id = engine.arke("explain", "--id", f"{DPID}:p1", "--json")
        assert by_id.returncode == 0
        facts = json.loads(by_id.stdout)
        assert facts == json.loads(engine.arke("explain", device(1), "--json").stdout)
        assert (facts["uuid"], facts["regions"], facts["ids"]) == (device(1), [6], [f"{DPID}:p1"])
        assert {one["id"]: (one["status"], one["why"]) for one in facts["segments"]} == {
            IN_MARKET: (1, "its rule is true"),
            LENSES: (0, "never in: none of its traits is held"),
            STILL_LOOKING: (1, "its rule is true"),
            12176: (0, "external: nobody told Arke about it"),
        }
        told, owing = facts["destinations"]
        assert (told["state"], told["ids"][0]["told"]) == ("told", {"10329": "1", "10331": "1"})
        assert [one["answer"] for one in told["ids"][0]["tries"]] == ["200"]
        assert (owing["state"], owing["ids"][0]["told"]) == ("owed", {"10329": "1?", "10331": "1?"})
        assert [one["answer"] for one in owing["ids"][0]["tries"]] == ["500"]
        words = engine.arke("explain", device(1)).stdout
        assert "in  10329 In market: its rule is true" in words
        assert f"{DPID}:p1 was told 10329=1, 10331=1" in words

    def test_explain_of_somebody_unknown(self, engine: EngineProcess) -> None:
        done = engine.arke("explain", device(404))
        assert (done.returncode, done.stdout) == (1, f"{device(404)}: never seen by this engine\n")
        wrong = engine.arke("explain", "404")
        assert (wrong.returncode, wrong.stdout) == (2, "")
        assert "exactly 38 decimal digits" in wrong.stderr

    def test_status_counts(self, engine: EngineProcess) -> None:
        figures = status(engine)
        assert (figures["ready"], figures["profiles"], figures["events"]) == (True, 1, 1)
        one, two = figures["destinations"]
        assert (one["messages"], one["acknowledged"], one["owed"], one["answers"]) == (1, 1, 0, {"200": 1})
        assert (two["messages"], two["acknowledged"], two["owed"], two["answers"]) == (1, 0, 1, {"500": 1})
        assert two["retries"] == 1
        shown = engine.arke("status").stdout
        assert "DSP 2" in shown

    def test_metrics_say_the_same(self, engine: EngineProcess) -> None:
        token = engine.client().create_token("read", "scraper", None).secret
        answer = request(engine.admin, "GET", "/metrics", headers={"Authorization": f"Bearer {token}"})
        text = answer.body.decode()
        assert answer.status == 200
        assert 'arke_destination_owed{destination="2"} 1.0' in text
        assert 'arke_destination_answers_total{answer="500",destination="2"} 1.0' in text
        assert "arke_events_total 1.0" in text


class TestReplay:
    def test_on_a_running_engine(self, well: ReceiverThread, failing: ReceiverThread, tmp_path: Path) -> None:
        """It sends current state, not what failed then; and what is acknowledged is owed no more."""
        failing.misbehave("status=500:2")
        with EngineProcess(tmp_path) as engine:
            engine.apply(catalog([destination(FAILING, failing.url, failing.ca_file)]))
            engine.accept(visit(21, "camera"))
            wait_until(lambda: failed(engine), "the delivery to fail")
            done = engine.arke("undelivered", "replay", "--json")
            assert (done.returncode, json.loads(done.stdout)) == (0, {"devices": 1})
            wait_until(lambda: failing.segments_of("p21") == {"10329", "10331"}, "the replay")
            wait_until(lambda: engine.client().status().destinations[0].owed == 0, "it to be settled")
            assert json.loads(engine.arke("undelivered", "replay", "--json").stdout) == {"devices": 0}

    def test_without_a_running_engine(self, failing: ReceiverThread, tmp_path: Path) -> None:
        """The command opens the store itself and returns when everything is sent."""
        failing.misbehave("status=500:2")
        with EngineProcess(tmp_path) as engine:
            engine.apply(catalog([destination(FAILING, failing.url, failing.ca_file)]))
            engine.accept(visit(22, "camera"))
            wait_until(lambda: failed(engine), "the delivery to fail")
        assert len(owed(engine)) == 1
        options = ("--config", str(engine.config))
        done = engine.arke("undelivered", "replay", *options)
        assert (done.returncode, done.stdout) == (0, "1 device on the way again\n"), done.stderr
        assert failing.segments_of("p22") == {"10329", "10331"}
        assert engine.arke("undelivered", "list").stdout == "0 owed\n"
        facts = json.loads(engine.arke("explain", device(22), "--json").stdout)
        assert [one["answer"] for one in facts["destinations"][0]["ids"][0]["tries"]] == ["500", "200"]

    def test_without_a_running_engine_and_in_vain(self, failing: ReceiverThread, tmp_path: Path) -> None:
        """The endpoint still fails: what is owed is said, and the exit code is 1."""
        failing.misbehave("status=500:6")
        with EngineProcess(tmp_path) as engine:
            engine.apply(catalog([destination(FAILING, failing.url, failing.ca_file)]))
            engine.accept(visit(24, "camera"))
            wait_until(lambda: failed(engine), "the delivery to fail")
        options = ("--config", str(engine.config))
        told = "1 device on the way again\n1 still owed: `arke undelivered list` says why\n"
        done = engine.arke("undelivered", "replay", *options)
        assert (done.returncode, done.stdout) == (1, told), done.stderr
        done = engine.arke("undelivered", "replay", "--json", *options)
        assert (done.returncode, json.loads(done.stdout)) == (1, {"devices": 1, "owed": 1}), done.stderr
        done = engine.arke("undelivered", "replay", "--json", *options)
        assert (done.returncode, json.loads(done.stdout)) == (0, {"devices": 1, "owed": 0}), done.stderr

    def test_sends_what_is_true_now(self, failing: ReceiverThread, tmp_path: Path) -> None:
        """Between failure and replay the visitor fell out again: the replay says so."""
        failing.misbehave("status=500:4")
        with EngineProcess(tmp_path) as engine:
            engine.apply(catalog([destination(FAILING, failing.url, failing.ca_file)]))
            engine.accept(visit(23, "camera"))
            wait_until(lambda: failed(engine), "the delivery to fail")
            engine.accept(visit(23, "bag"))
            wait_until(lambda: engine.client().status().destinations[0].messages == 2, "the second to fail")
            wait_until(lambda: failed(engine)[0].segments == {"10329": 1, "10331": 0}, "what is owed now")
            engine.arke("undelivered", "replay")
            wait_until(lambda: failing.segments_of("p23") == {"10329"}, "the replay")


def test_the_version() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "arke", "--version"], capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert (done.returncode, done.stdout) == (0, f"arke {__version__}\n")


class TestCatalogs:
    def test_a_dry_run_makes_no_store(self, well: ReceiverThread, tmp_path: Path) -> None:
        """What a first catalog would do can be asked before there is anything; a rollback needs something."""
        file, data = tmp_path / "catalog.yaml", tmp_path / "new"
        file.write_text(catalog([destination(WELL, well.url, well.ca_file)]))
        asked = [sys.executable, "-m", "arke", "apply", "--data", str(data)]
        done = subprocess.run(
            [*asked, str(file), "--dry-run"], capture_output=True, text=True, timeout=PATIENCE_S
        )
        assert done.returncode == 0, done.stderr
        assert "destination 1" in done.stdout
        back = subprocess.run([*asked, "--rollback"], capture_output=True, text=True, timeout=PATIENCE_S)
        assert (back.returncode, "no engine has kept data here" in back.stderr) == (2, True)
        bad = tmp_path / "bad.yaml"
        bad.write_text("destinations: [{id: 1}]\n")
        refused = subprocess.run([*asked, str(bad)], capture_output=True, text=True, timeout=PATIENCE_S)
        assert (refused.returncode, "bad.yaml:1:" in refused.stderr) == (2, True)
        assert not data.exists()

    def test_where_nobody_is_stored_nobody_is_behind(self, tmp_path: Path) -> None:
        """`status` without a running engine does not speak of a backfill that has nobody to go through."""
        idle = EngineProcess(tmp_path)
        (tmp_path / "catalog.yaml").write_text("segments: [{id: 1}]\n")
        assert idle.arke("apply", "catalog.yaml").returncode == 0
        assert "backfill" not in idle.arke("status").stdout

    def test_there_is_no_going_back_from_the_first_catalog(self, tmp_path: Path) -> None:
        idle = EngineProcess(tmp_path)
        (tmp_path / "catalog.yaml").write_text("segments: [{id: 1}]\n")
        assert idle.arke("apply", "catalog.yaml").returncode == 0
        back = idle.arke("apply", "--rollback")
        assert (back.returncode, back.stderr) == (
            2,
            "arke: there is no earlier catalog to go back to; stored: 1 to 1\n",
        )

    def test_plan_dry_run_apply_and_rollback(self, engine: EngineProcess, well: ReceiverThread) -> None:
        before = status(engine)["catalog_version"]
        file = engine.folder / "catalog.yaml"
        in_force = file.read_text()
        file.write_text(in_force.replace('"Lenses"', '"Lens lovers"').replace('"1001T"', '"1001T OR 1002T"'))
        dry = engine.arke("apply", str(file), "--dry-run", "--json")
        report = json.loads(dry.stdout)
        assert (report["version"], report["dry_run"], report["profiles_stored"]) == (None, True, 1)
        assert any("10330" in line for line in report["lines"])
        assert status(engine)["catalog_version"] == before
        done = engine.arke("apply", str(file))
        assert (done.returncode, f"catalog version {before + 1} is in force" in done.stdout) == (0, True)
        again = engine.arke("apply", str(file))
        assert again.stdout.endswith("nothing to change: this catalog is in force already\n")
        back = engine.arke("apply", "--rollback")
        assert f"catalog version {before + 2} is in force" in back.stdout
        facts = engine.client().explain(device(1), None)
        assert {one.id: one.rule for one in facts.segments}[LENSES] == "1001T"
        nowhere = engine.arke("apply", "--rollback", "--to", "99")
        assert (nowhere.returncode, "there is no catalog version 99" in nowhere.stderr) == (2, True)

    def test_relative_tls_files_count_from_the_catalog(self, well: ReceiverThread, tmp_path: Path) -> None:
        """With a running engine as without one: `ca_file: ca.pem` lies beside the catalog."""
        (tmp_path / "ca.pem").write_bytes(well.ca_file.read_bytes())
        with EngineProcess(tmp_path) as engine:
            engine.apply(catalog([destination(WELL, well.url, "ca.pem")]))
            engine.accept(visit(31, "camera"))
            wait_until(lambda: well.segments_of("p31"), "the message")


class TestOneEngineADirectory:
    def test_a_second_engine_is_refused(self, engine: EngineProcess) -> None:
        done = engine.arke("up", "--intake-port", "0", "--admin-port", "0")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.endswith(
            ": another arke has this data directory open: use it through that one, or stop it\n"
        )
        assert engine.ready()

    def test_a_command_waits_for_an_engine_that_is_starting(self, tmp_path: Path) -> None:
        """Nothing answers at the socket while the directory is already taken: the stores are being opened."""
        engine = EngineProcess(tmp_path)
        engine.start().stop()
        starting = subprocess.Popen(
            [ARKE, "up", "--data", str(engine.data), "--intake-port", "0", "--admin-port", "0"]
        )
        try:
            wait_until(lambda: is_locked(engine.data), "the engine to take the directory")
            done = engine.arke("status", "--json")
            assert (done.returncode, done.stderr) == (0, "")
            assert json.loads(done.stdout)["catalog_version"] == 0
        finally:
            starting.terminate()
            starting.wait(PATIENCE_S)

    def test_a_command_waits_for_another_one_that_ends(self, engine: EngineProcess, tmp_path: Path) -> None:
        data = tmp_path / "data"
        lock = DataLock(data)
        reached: list[bool] = []
        asking = threading.Thread(target=lambda: reached.append(engine_runs(data)))
        asking.start()
        lock.release()
        asking.join(PATIENCE_S)
        assert reached == [False]  # it opens the store itself, at once
        assert not engine_runs(data)
        assert engine_runs(engine.data)

    def test_a_command_goes_to_an_engine_that_came_first(
        self, engine: EngineProcess, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """No engine ran when the command looked; one has the directory when it opens the store."""
        monkeypatch.setattr(reach, "engine_runs", lambda _: False)
        client = connect(engine.data, None, None, Settings())
        assert client.status().shards == engine.client().status().shards
        assert client.batches() == engine.client().batches()

    def test_an_engine_that_never_answers_is_said(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(data_directory, "START_S", 0.0)
        lock = DataLock(tmp_path / "data")
        try:
            with pytest.raises(
                DataLocked, match=r"another arke has this data directory open, and after 0 s no"
            ):
                DataLock(tmp_path / "data")
        finally:
            lock.release()

    def test_the_number_of_shards_stays(self, engine: EngineProcess, tmp_path: Path) -> None:
        single = EngineProcess(tmp_path)
        single.start().stop()
        done = single.arke("up", "--shards", "2", "--intake-port", "0", "--admin-port", "0")
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == (
            "arke: this data directory has 1 shard, not 2: leave --shards out, or start with an empty directory\n"
        )

    def test_a_port_in_use_is_named(self, engine: EngineProcess, tmp_path: Path) -> None:
        other = EngineProcess(tmp_path)
        port = engine.intake.rpartition(":")[2]
        done = other.arke("up", "--intake-port", port, "--admin-port", "0")
        assert (done.returncode, done.stdout) == (2, "")
        assert f"server.intake: cannot listen on 127.0.0.1:{port}" in done.stderr

    def test_its_files_are_the_owners_alone(self, engine: EngineProcess) -> None:
        """The socket's permission is the authority of whoever uses it; the rest is personal data."""
        modes = {file.name: file.stat().st_mode for file in engine.data.iterdir()}
        assert stat.S_ISSOCK(modes["engine.sock"])
        assert {stat.S_IMODE(mode) for mode in modes.values()} == {0o600}
        assert stat.S_IMODE(engine.data.stat().st_mode) == 0o700

    def test_who_finds_no_engine_is_told_what_to_do(self, engine: EngineProcess) -> None:
        """Nothing listens behind the URL: exit code 1, where, why, and what to do."""
        done = engine.arke("status", "--url", "http://127.0.0.1:1", "--token", "arke_x")
        assert done.returncode == 1
        assert "http://127.0.0.1:1: no engine answers (connection refused): see that `arke up`" in done.stderr

    def test_a_killed_engine_leaves_nothing_in_the_way(self, tmp_path: Path, well: ReceiverThread) -> None:
        """After kill -9 of the engine alone the socket file is there, and a new engine starts beside it."""
        engine = EngineProcess(tmp_path)
        with engine:
            engine.apply(catalog([destination(WELL, well.url, well.ca_file)]))
            engine.accept(visit(41, "camera"))
            engine.kill_engine_only()
            assert (engine.data / "engine.sock").exists()
            assert json.loads(engine.arke("explain", device(41), "--json").stdout)["known"]
            engine.start()
            wait_until(lambda: well.segments_of("p41"), "the message")

    def test_a_service_manager_may_signal_its_shards_too(self, tmp_path: Path) -> None:
        """SIGTERM to every process, as systemd sends it: the shards leave it to the engine to stop them."""
        with EngineProcess(tmp_path, settings=OPEN) as engine:
            os.killpg(engine.pid, signal.SIGTERM)
            assert engine.stop() == 0
            assert "stopping" in engine.log()
            assert "shard_" not in engine.log()

    def test_a_shard_that_dies_is_replaced(self, tmp_path: Path, well: ReceiverThread) -> None:
        """Its process is killed; until another one has the catalog the answer is 503, then all goes on."""
        with EngineProcess(tmp_path, settings=OPEN) as engine:
            engine.apply(catalog([destination(WELL, well.url, well.ca_file)]))
            (worker,) = engine.workers()
            os.kill(worker, signal.SIGKILL)
            answers = []

            def accepted() -> bool:
                answers.append(engine.send(visit(42, "camera")).status)
                return answers[-1] == 200

            wait_until(accepted, "the shard to be back")
            assert set(answers) <= {200, 503}
            wait_until(lambda: well.segments_of("p42") == {"10329", "10331"}, "the message")
            assert engine.workers() != [worker]
            assert '"ended": -9' in engine.log()
            wait_until(engine.ready, "the engine to call itself ready again")

    def test_shards_and_their_starter_are_of_the_engine_s_own_process(self, tmp_path: Path) -> None:
        """Forked from it, they are named for what they are; none is left behind."""
        with EngineProcess(tmp_path, settings=OPEN, shards=2) as engine:
            (starter,) = engine.starters()
            workers = engine.workers()
            assert {called(worker) for worker in workers} == {"arke-shard-00", "arke-shard-01"}
            as_started, forked = (Path(f"/proc/{pid}/cmdline").read_bytes() for pid in (engine.pid, starter))
            assert forked.strip(b"\0") == b"arke.starter"
            assert len(forked) == len(as_started)
            assert engine.stop() == 0
            assert [called(pid) for pid in (starter, *workers)] == ["", "", ""]

    def test_an_engine_that_is_killed_leaves_no_starter(self, tmp_path: Path) -> None:
        with EngineProcess(tmp_path, settings=OPEN) as engine:
            left = [*engine.starters(), *engine.workers()]
            engine.kill_engine_only()
            wait_until(lambda: not any(alive(pid) for pid in left), "all of it to end")

    def test_an_engine_whose_starter_is_killed_has_another_one(self, tmp_path: Path) -> None:
        """Both at once, as when the kernel has no memory left."""
        with EngineProcess(tmp_path, settings=OPEN) as engine:
            left = [*engine.starters(), *engine.workers()]
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            wait_until(lambda: engine.send(visit(42, "camera")).status == 200, "the shard to be back")
            assert not {*engine.starters(), *engine.workers()} & {*left}
            assert len(engine.starters()) == len(engine.workers()) == 1
