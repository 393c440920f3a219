"""`arke batch` and `arke resync` on a running engine with two shards, and on its data alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from e2e.catalogs import catalog, destination, device, visit
from e2e.engine_process import EngineProcess, request
from e2e.receiver_thread import ReceiverThread
from patience import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WELL, FAILING = 1, 2
VISITORS = 30


@pytest.fixture(scope="module")
def engine(
    tmp_path_factory: pytest.TempPathFactory, well: ReceiverThread, failing: ReceiverThread
) -> Iterator[EngineProcess]:
    """Two destinations for batches alone, one of which answers 500; thirty visitors came by."""
    failing.misbehave("status=500")
    with EngineProcess(tmp_path_factory.mktemp("engine"), shards=2) as running:
        running.apply(
            catalog(
                [
                    destination(WELL, well.url, well.ca_file, realtime=False),
                    destination(FAILING, failing.url, failing.ca_file, realtime=False),
                ]
            )
        )
        running.accept(*(visit(number, "camera") for number in range(VISITORS)))
        yield running


def counts(run: dict[str, Any]) -> tuple[int, int, int]:
    assert run["users"] == run["acknowledged"] + run["owed"]
    return run["users"], run["acknowledged"], run["owed"]


def test_run_resync_and_status(engine: EngineProcess, well: ReceiverThread) -> None:
    """The first run tells all, the next one nothing, a resync all again; the history has each of them."""
    first = engine.arke("batch", "run", str(WELL), "--json")
    assert first.returncode == 0, first.stderr
    run = json.loads(first.stdout)
    assert (counts(run), run["trigger"], run["mode"], run["number"]) == ((30, 30, 0), "command", "full", 1)
    assert all(well.segments_of(f"p{number}") == {"10329", "10331"} for number in range(VISITORS))
    engine.accept(visit(3, "bag"))
    second = json.loads(engine.arke("batch", "run", str(WELL), "--json").stdout)
    assert (counts(second), second["mode"]) == ((1, 1, 0), "changes")
    assert well.segments_of("p3") == {"10329"}
    again = engine.arke("resync", str(WELL), "--json")
    assert (again.returncode, counts(json.loads(again.stdout))) == (0, (30, 30, 0))
    status = json.loads(engine.arke("batch", "status", "--json").stdout)
    history = next(one for one in status if one["destination"] == WELL)
    assert [(run["number"], run["trigger"]) for run in history["runs"]] == [
        (3, "resync"),
        (2, "command"),
        (1, "command"),
    ]
    assert (history["at"], history["every_s"], history["running"]) == ("02:00", 86_400, False)
    assert history["next_due"] % 86_400 == 7_200
    text = engine.arke("batch", "status").stdout
    assert f"destination {WELL} DSP {WELL}: next due" in text
    assert "30 users = 30 acknowledged + 0 owed, in" in text


def test_status_and_metrics_tell_of_the_newest_run(engine: EngineProcess) -> None:
    run = json.loads(engine.arke("batch", "run", str(WELL), "--json").stdout)
    rows = json.loads(engine.arke("status", "--json").stdout)["destinations"]
    assert next(row["batch"] for row in rows if row["id"] == WELL) == run
    line = f"batch {run['number']} finished: {run['users']} users told = {run['users']} acknowledged + 0 owed"
    assert line in engine.arke("status").stdout
    token = json.loads(engine.arke("token", "create", "--scope", "read", "--json").stdout)["secret"]
    answer = request(engine.admin, "GET", "/metrics", headers={"Authorization": f"Bearer {token}"})
    scraped = answer.body.decode().splitlines()
    for name, value in (("number", run["number"]), ("done_ratio", 1), ("users_owed", 0)):
        assert f'arke_destination_batch_{name}{{destination="{WELL}"}} {value:.1f}' in scraped


def test_a_run_that_leaves_something_owed_fails(engine: EngineProcess) -> None:
    done = engine.arke("batch", "run", str(FAILING))
    assert done.returncode == 1
    assert f"{VISITORS} users = 0 acknowledged + {VISITORS} owed" in done.stdout
    owed = engine.arke("undelivered", "list", "--destination", str(FAILING)).stdout
    assert f"{VISITORS} owed" in owed


def test_what_a_resync_could_not_tell_is_owed_and_told(engine: EngineProcess, well: ReceiverThread) -> None:
    """It was acknowledged once, but whoever asks for a resync doubts that it is known: the next batch tells it."""
    engine.arke("resync", str(WELL))
    well.misbehave("status=500")
    try:
        done = json.loads(engine.arke("resync", str(WELL), "--json").stdout)
    finally:
        well.misbehave()
    assert counts(done) == (VISITORS, 0, VISITORS)
    listed = engine.arke("undelivered", "list", "--destination", str(WELL)).stdout
    assert f"{VISITORS} owed" in listed
    run = json.loads(engine.arke("batch", "run", str(WELL), "--json").stdout)
    assert counts(run) == (VISITORS, VISITORS, 0)
    assert "0 owed" in engine.arke("undelivered", "list", "--destination", str(WELL)).stdout


@pytest.mark.parametrize("command", [("batch", "run", "99"), ("resync", "99")])
def test_a_destination_that_is_not_there(engine: EngineProcess, command: tuple[str, ...]) -> None:
    done = engine.arke(*command)
    assert (done.returncode, done.stderr) == (2, "arke: no destination 99 in the catalog\n")


def test_over_the_admin_api(engine: EngineProcess) -> None:
    """It answers at once; who wants to know how it goes on asks again. Beginning one is audited."""
    engine.arke("resync", str(WELL))
    token = engine.arke("token", "create", "--scope", "admin").stdout.strip()
    headers = {"Authorization": f"Bearer {token}"}
    begun = request(engine.admin, "POST", f"/v1/batches?destination={WELL}", headers=headers)
    assert begun.status == 202
    number = begun.json()["number"]
    where = f"/v1/batches/{number}?destination={WELL}"
    wait_until(
        lambda: request(engine.admin, "GET", where, headers=headers).json()["finished_at"], "the run to end"
    )
    assert request(engine.admin, "GET", "/v1/batches/1", headers=headers).status == 400
    assert request(engine.admin, "GET", f"/v1/batches/x?destination={WELL}", headers=headers).status == 400
    actions = [
        entry["action"]
        for entry in request(engine.admin, "GET", "/v1/audit", headers=headers).json()["entries"]
    ]
    assert {"batch_begun", "resync_begun"} <= set(actions)


def test_without_a_running_engine(well: ReceiverThread, tmp_path: Path) -> None:
    """The command is the engine until the run has ended; explain shows what it told."""
    with EngineProcess(tmp_path) as engine:
        engine.apply(catalog([destination(WELL, well.url, well.ca_file, realtime=False)]))
        engine.accept(*(visit(number, "lens") for number in range(100, 105)))
    options = ("--config", str(engine.config))
    done = engine.arke("batch", "run", str(WELL), *options)
    assert (done.returncode, "5 users = 5 acknowledged" in done.stdout) == (0, True), done.stderr
    assert well.segments_of("p104") == {"10330"}
    facts = json.loads(engine.arke("explain", device(104), "--json").stdout)
    assert facts["destinations"][0]["ids"][0]["tries"][0]["kind"] == "batch"
    assert "next due" in engine.arke("batch", "status").stdout


def test_a_killed_engine_goes_on_with_its_run(well: ReceiverThread, tmp_path: Path) -> None:
    """Killed while a slow endpoint takes the batch, it finishes by itself after the start."""
    well.misbehave("slow=300ms")
    try:
        with EngineProcess(tmp_path) as engine:
            engine.apply(catalog([destination(WELL, well.url, well.ca_file, realtime=False)]))
            numbers = range(1_000, 1_300)
            engine.accept(*(visit(number, "camera") for number in numbers))
            token = engine.arke("token", "create", "--scope", "operate").stdout.strip()
            headers = {"Authorization": f"Bearer {token}"}
            before = len(well.messages())
            begun = request(engine.admin, "POST", f"/v1/batches?destination={WELL}", headers=headers)
            assert begun.status == 202
            wait_until(lambda: len(well.messages()) > before + 4, "the first messages")
            engine.kill()
            engine.start()
            wait_until(lambda: engine.client().batches()[0].runs[0].finished_at is not None, "the run to end")
            run = engine.client().batches()[0].runs[0]
            assert run.users == run.acknowledged
            assert run.owed == 0
            assert all(well.segments_of(f"p{number}") == {"10329", "10331"} for number in numbers)
    finally:
        well.misbehave()


def test_a_destination_that_is_on_again_is_told_what_changed_meanwhile(
    well: ReceiverThread, tmp_path: Path
) -> None:
    """By itself, over two shards; `apply`, dry or not, says of how many users. No batch is scheduled."""
    options: dict[str, Any] = {"batch": False}
    with EngineProcess(tmp_path, shards=2) as engine:
        engine.apply(catalog([destination(WELL, well.url, well.ca_file, **options)]))
        engine.accept(*(visit(number, "camera") for number in range(200, 204)))
        wait_until(lambda: well.segments_of("p203"), "the messages")
        engine.apply(catalog([destination(WELL, well.url, well.ca_file, enabled=False, **options)]))
        engine.accept(*(visit(number, "bag") for number in (202, 203)))
        engine.accept(*(visit(number, "camera") for number in (204, 205, 206)))
        back = tmp_path / "back.yaml"
        back.write_text(catalog([destination(WELL, well.url, well.ca_file, **options)]))
        said = f"destination {WELL} is on again: a run tells it what changed meanwhile (5 users)"
        assert said in engine.arke("apply", str(back), "--dry-run").stdout.splitlines()
        applied = json.loads(engine.arke("apply", str(back), "--json").stdout)
        assert (applied["lines"][-1], applied["returning"]) == (
            said,
            [{"destination": WELL, "users": 5, "exact": True}],
        )
        wait_until(lambda: all(well.segments_of(f"p{number}") for number in range(204, 207)), "the gains")
        wait_until(lambda: well.segments_of("p202") == well.segments_of("p203") == {"10329"}, "the losses")
        wait_until(lambda: not batches(engine)[0]["running"], "its end")
        (run,) = batches(engine)[0]["runs"]
        assert (run["trigger"], run["mode"], counts(run)) == ("return", "catch_up", (5, 5, 0))


def batches(engine: EngineProcess) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(engine.arke("batch", "status", "--json").stdout)
    return found
