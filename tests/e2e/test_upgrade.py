"""A data directory made by the last commit before version 0.2 opens, is migrated, and behaves the same."""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs

from arke.cli import app
from arke.storage.sqlite.connection import open_database
from e2e.catalogs import DPID, device, visit
from e2e.engine_process import LOOPBACK, EngineProcess, request
from e2e.old_store import OldStore, columns, databases, kind_of, rows, version
from e2e.receiver_thread import ReceiverThread
from fixtures.stores.make import (
    BAGS,
    BOUGHT,
    CUT_SHORT,
    CUT_SHORT_LINES,
    DOWN,
    IN_MARKET,
    LENS,
    LENSES,
    NIGHTLY,
    OFTEN,
    PEOPLE,
    REAL_TIME,
    STILL_LOOKING,
    cut_short_file,
)
from patience import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from arke.engine.batches import RunFacts

DAY_S = 86_400


@pytest.fixture(scope="module")
def old() -> OldStore:
    return OldStore("before-0-2")


def test_every_row_stays_and_the_schema_is_a_new_stores(old: OldStore, tmp_path: Path) -> None:
    """If this fails because a migration was edited: do not; add the next one."""
    old.restore(tmp_path / "data")
    assert len(databases(tmp_path / "data")) == 3
    for file in databases(tmp_path / "data"):
        before = rows(file)
        open_database(file, kind_of(file)).close()
        after = rows(file)
        for table, kept in before.items():
            assert [
                {name: row[name] for name in one} for one, row in zip(kept, after[table], strict=True)
            ] == kept
        open_database(tmp_path / file.name, kind_of(file)).close()
        assert columns(file) == columns(tmp_path / file.name)
        assert version(file) == version(tmp_path / file.name)


def test_commands_say_what_they_said(old: OldStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each opens the store by itself; the first one migrates it, and says so."""
    began = time.time()
    monkeypatch.setattr("arke.clock.SystemClock.now", lambda _: old.told.made_at + time.time() - began)
    data = tmp_path / "data"
    old.restore(data)
    due = old.due(data)
    assert due, "the fixture is of an older schema"
    for number, answer in enumerate(old.told.answers):
        with capture_logs() as logged:
            done = CliRunner().invoke(app, [*answer.asked, "--data", str(data)])
        said = [json.loads(line) for line in done.stdout.splitlines()]
        assert done.exit_code == answer.exit, (answer.asked, done.output)
        assert says(said, answer.said), (answer.asked, said, answer.said)
        assert migrated(logged) == (due if number == 0 else set()), answer.asked


def says(now: Any, then: Any) -> bool:
    """Whether an answer has everything that it had; it may have more fields."""
    if isinstance(then, dict):
        return isinstance(now, dict) and all(says(now.get(name), value) for name, value in then.items())
    if isinstance(then, list):
        return isinstance(now, list) and len(now) == len(then) and all(map(says, now, then))
    return bool(now == then)


def migrated(logged: Any) -> set[tuple[str, int, int]]:
    lines = [line for line in logged if line["event"] == "store_migrated"]
    found = {(line["file"], line["from_version"], line["to_version"]) for line in lines}
    assert len(found) == len(lines), "a file is migrated once"
    return found


class Upgraded:
    """`arke up` on the store, a day after it was made, every destination well again."""

    def __init__(self, engine: EngineProcess, receivers: list[ReceiverThread], old: OldStore) -> None:
        self.engine = engine
        self.receivers = receivers
        self.told = old.told
        self._read = [0, 0, 0]

    def send(self, *events: dict[str, Any]) -> Any:
        reply = self.engine.send(*events, token=self.told.tokens["ingest"])
        assert reply.status == 200
        return reply.json()

    def arke(self, *arguments: str) -> list[Any]:
        done = self.engine.arke(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def heard(self, destination: int) -> list[tuple[str, str, int]]:
        """(id, alias, status) in the order of ids, of every message since this was asked last."""
        messages = self.receivers[destination - 1].messages()
        new = messages[self._read[destination - 1] :]
        self._read[destination - 1] = len(messages)
        assert all(one.status == 200 for one in new)
        return sorted(
            (user["DataPartner_UUID"], segment["Segment_ID"], int(segment["Status"]))
            for one in new
            for user in json.loads(one.request.body)["Users"]
            for segment in user["Segments"]
        )


@pytest.fixture
def upgraded(old: OldStore, tmp_path: Path) -> Iterator[Upgraded]:
    with ReceiverThread() as first, ReceiverThread() as second, ReceiverThread() as third:
        receivers = [first, second, third]
        clock = old.clock(tmp_path, later_s=DAY_S, now=time.time())
        engine = EngineProcess(tmp_path, settings=LOOPBACK, environ=clock)
        old.restore(engine.data, receivers)
        due = old.due(engine.data)
        with engine:
            lines = [json.loads(line) for line in engine.log().splitlines()]
            assert migrated(lines) == due
            yield Upgraded(engine, receivers, old)


def test_a_running_engine_goes_on_where_the_old_one_stopped(upgraded: Upgraded) -> None:
    """One story: what was unfinished ends, what is owed is told once, and everybody is still who they were."""
    what_was_unfinished_ends(upgraded)
    the_batch_that_was_due_tells_what_changed(upgraded)
    what_is_owed_is_told_once(upgraded)
    old_devices_go_on(upgraded)
    who_opted_out_has_and_who_was_lifted_is(upgraded)
    a_file_goes_on_from_where_it_was(upgraded)
    tokens_and_audit_are_whole(upgraded)


def what_was_unfinished_ends(upgraded: Upgraded) -> None:
    """A deletion that waited for the destination that was down. Once that has acknowledged it, what it is owed
    besides follows by itself, from both shards.
    """
    client = upgraded.engine.client()
    wait_until(lambda: client.privacy_show(5).state == "done", "the deletion")
    assert client.explain(device(7), None).known is False
    wait_until(lambda: not any(row.owed for row in client.status().destinations), "what was owed")
    assert upgraded.heard(DOWN) == [
        ("p2", str(IN_MARKET), 1),
        ("p2", "looking", 0),
        ("p7", str(IN_MARKET), 0),
        ("p7", "looking", 0),
        ("p71", str(IN_MARKET), 1),
        ("p71", "looking", 1),
        ("p72", str(IN_MARKET), 1),
        ("p72", "looking", 1),
    ]


def the_batch_that_was_due_tells_what_changed(upgraded: Upgraded) -> None:
    """The net changes since the batch of the old engine, in one late run; whether the deletion above has ended
    before it comes to that device is open.
    """
    wait_until(lambda: len(runs(upgraded)) == 2 and runs(upgraded)[0].finished_at, "the batch")
    assert [run.trigger for run in runs(upgraded)] == ["schedule", "command"]
    assert [said for said in upgraded.heard(NIGHTLY) if said[0] != "p7"] == [
        ("p2", str(STILL_LOOKING), 0),
        ("p2", str(BAGS), 1),
        ("p3", str(BAGS), 1),
        ("p6", str(BOUGHT), 1),
        ("p71", str(IN_MARKET), 1),
        ("p71", str(STILL_LOOKING), 1),
        ("p72", str(IN_MARKET), 1),
        ("p72", str(STILL_LOOKING), 1),
    ]


def runs(upgraded: Upgraded) -> list[RunFacts]:
    """Of the destination that has a batch schedule, the newest first."""
    (found,) = [one for one in upgraded.engine.client().batches() if one.destination == NIGHTLY]
    return found.runs


def what_is_owed_is_told_once(upgraded: Upgraded) -> None:
    """There is nothing left to replay, and those that had acknowledged everything hear nothing."""
    assert upgraded.engine.client().replay(DOWN).devices == 0
    wait_until(upgraded.engine.delivered, "what was owed")
    assert upgraded.heard(DOWN) == []
    assert upgraded.arke("undelivered", "list") == []
    assert upgraded.heard(REAL_TIME) == []


def old_devices_go_on(upgraded: Upgraded) -> None:
    """The third camera counts with the two of before, an id that moved leads to its new device, and a customer of
    whom a file spoke is found when a device says who it is.
    """
    mover = {"ids": [{"dpid": DPID, "id": "mover"}], "signals": {"c_see": "bag"}}
    bob = {"uuid": device(33), "ids": [{"dpid": PEOPLE, "id": "bob"}, {"dpid": DPID, "id": "p33"}]}
    assert upgraded.send(visit(10, "camera"), mover, bob) == {"accepted": 3, "rejected": []}
    client = upgraded.engine.client()
    assert client.explain(None, f"{DPID}:mover").uuid == device(21)

    def bought() -> bool:
        return any(one.id == BOUGHT and one.status for one in client.explain(device(33), None).segments)

    wait_until(bought, "what is filed under the customer id")
    wait_until(upgraded.engine.delivered, "the messages")
    assert [said for said in upgraded.heard(REAL_TIME) if said[0] != "p33"] == [
        ("mover", str(LENSES), 1),
        ("mover", str(BAGS), 1),
        ("p10", str(IN_MARKET), 1),
        ("p10", str(STILL_LOOKING), 1),
        ("p10", str(OFTEN), 1),
    ]


def who_opted_out_has_and_who_was_lifted_is(upgraded: Upgraded) -> None:
    """Of the device whose UUID alone was lifted the id is still on the list."""
    alone = {"uuid": device(53), "signals": {"c_see": "lens"}}
    answer = upgraded.send(*(visit(number, "lens") for number in (51, 52, 53, 54)), alone)
    assert answer["accepted"] == 2
    assert [(one["line"], one["code"]) for one in answer["rejected"]] == [
        (1, "opted_out"),
        (2, "opted_out"),
        (3, "opted_out"),
    ]
    facts = upgraded.engine.client().explain(device(53), None)
    assert (facts.opted_out, [one.id for one in facts.traits]) == (False, [LENS])


def a_file_goes_on_from_where_it_was(upgraded: Upgraded) -> None:
    """The receipt is that of one load: begun by the old engine, its lines counted once."""
    (upgraded.engine.folder / CUT_SHORT).write_text(cut_short_file())
    (receipt,) = upgraded.arke("onboard", CUT_SHORT)
    assert datetime.fromisoformat(receipt["begun"]).timestamp() <= upgraded.told.made_at
    assert (receipt["received"], receipt["stored"]) == (CUT_SHORT_LINES, 2)
    assert receipt["errors"] == {"no_matching_id": CUT_SHORT_LINES - 2}
    (again,) = upgraded.arke("onboard", CUT_SHORT)
    assert again == receipt | {"repeated": True}


def tokens_and_audit_are_whole(upgraded: Upgraded) -> None:
    """Secrets that were given out before open what they opened, and no entry has been lost."""
    engine, told = upgraded.engine, upgraded.told
    secrets = (told.tokens["ingest"], told.tokens["operate"], told.revoked, None)
    assert [engine.send(visit(90, "lens"), token=one).status for one in secrets] == [200, 403, 401, 401]
    operate = {"Authorization": f"Bearer {told.tokens['operate']}"}
    assert request(engine.admin, "GET", "/v1/undelivered", headers=operate).status == 200
    admin = {"Authorization": f"Bearer {engine.client().create_token('admin', '', None).secret}"}
    audit = request(engine.admin, "GET", "/v1/audit", headers=admin).json()
    assert audit["intact"] is True
    assert [one["number"] for one in audit["entries"]] == list(range(1, len(audit["entries"]) + 1))
    then = told.answers[0].said[0]["audit"]
    assert audit["entries"][then["entries"] - 1]["seal"] == then["seal"]
