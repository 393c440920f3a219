"""Privacy requests against a running engine: proof, what is missing, recovery, access, exit codes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from arke.operations.privacy import PrivacyAsk
from e2e.catalogs import DPID, IN_MARKET, LENSES, catalog, destination, device, visit
from e2e.engine_process import EngineProcess, request
from e2e.receiver_thread import ReceiverThread
from patience import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def receivers() -> Iterator[tuple[ReceiverThread, ReceiverThread]]:
    with ReceiverThread() as first, ReceiverThread() as second:
        yield first, second


@pytest.fixture
def engine(tmp_path: Path, receivers: tuple[ReceiverThread, ReceiverThread]) -> Iterator[EngineProcess]:
    """Two shards, two destinations with a receiver each."""
    for receiver in receivers:
        receiver.misbehave()
    with EngineProcess(tmp_path, shards=2) as engine:
        engine.apply(two(receivers))
        yield engine


def two(receivers: tuple[ReceiverThread, ReceiverThread], **options: Any) -> str:
    """Options are those of the second destination."""
    first, second = receivers
    return catalog(
        [destination(1, first.url, first.ca_file), destination(2, second.url, second.ca_file, **options)]
    )


def settled(engine: EngineProcess) -> None:
    wait_until(engine.settled, "every lane")


def only(engine: EngineProcess, *arguments: str, code: int = 0) -> dict[str, Any]:
    """The one report that a command prints."""
    done = engine.arke("privacy", *arguments, "--json")
    assert done.returncode == code, done.stdout + done.stderr
    (line,) = done.stdout.splitlines()
    report: dict[str, Any] = json.loads(line)
    return report


def test_a_deletion_proves_what_each_destination_acknowledged(
    engine: EngineProcess, receivers: tuple[ReceiverThread, ReceiverThread]
) -> None:
    """Per destination the id (hashed), the message that took it out, when, and the answer; and no id in clear."""
    engine.accept(visit(501, "camera", "lens", partner="proof-me"))
    settled(engine)
    report = only(engine, "delete", "--uuid", device(501))
    assert (report["state"], report["action"], report["devices"]) == ("done", "delete", 1)
    assert [one["destination"] for one in report["destinations"]] == [1, 2]
    for proof, receiver in zip(report["destinations"], receivers, strict=True):
        (acknowledged,) = proof["acknowledged"]
        assert (acknowledged["dpid"], acknowledged["answer"]) == (DPID, "200")
        assert (proof["missing"], proof["untold"]) == (0, 0)
        assert receiver.segments_of("proof-me") == set()
    assert "proof-me" not in json.dumps(report)
    assert device(501) not in json.dumps(report)
    shown = engine.arke("privacy", "show", str(report["number"]))
    assert shown.returncode == 0
    assert "1 DSP 1: 1 id acknowledged" in shown.stdout
    assert engine.client().explain(device(501), None).known is False


def test_an_id_that_left_the_device_is_told_too(
    engine: EngineProcess, receivers: tuple[ReceiverThread, ReceiverThread]
) -> None:
    """Told 1 as one device's, moved to the one that is deleted: the 0 reaches it, and it does not come back."""
    engine.accept(visit(511, "camera", partner="mover"))
    settled(engine)
    engine.accept(visit(512, "lens", partner="mover"))
    settled(engine)
    wait_until(lambda: receivers[0].segments_of("mover") == {str(LENSES)}, "the move")
    report = only(engine, "delete", "--id", f"{DPID}:mover")
    assert report["state"] == "done"
    assert [receiver.segments_of("mover") for receiver in receivers] == [set(), set()]
    assert engine.send(visit(513, "camera", partner="mover")).json()["accepted"] == 0
    assert engine.client().explain(device(511), None).known is True


def test_a_destination_that_fails_holds_the_request_until_it_answers(
    engine: EngineProcess, receivers: tuple[ReceiverThread, ReceiverThread]
) -> None:
    """The report names what is missing; the device is kept until the 0 is acknowledged, then goes by itself."""
    engine.accept(visit(521, "camera", partner="waits"))
    settled(engine)
    receivers[1].misbehave("status=500:2")
    report = only(engine, "delete", "--uuid", device(521), "--wait", "0.5", code=1)
    assert report["state"] == "telling"
    first, second = report["destinations"]
    assert (len(first["acknowledged"]), first["missing"]) == (1, 0)
    assert (second["missing"], second["missing_why"]) == (1, "last answer 500")
    assert engine.send(visit(521, "camera")).json()["rejected"][0]["code"] == "opted_out"
    listed = engine.arke("privacy", "list", "--unfinished", "--json")
    assert [json.loads(line)["number"] for line in listed.stdout.splitlines()] == [report["number"]]
    assert engine.client().replay(2).devices == 1
    client, number = engine.client(), report["number"]
    wait_until(lambda: client.privacy_show(number).state == "done", "the request to end")
    assert engine.arke("privacy", "list", "--unfinished").stdout == "no requests\n"
    assert receivers[1].segments_of("waits") == set()
    assert engine.client().explain(device(521), None).known is False
    assert list(client.undelivered(None)) == []


def test_requests_about_the_same_device_prove_the_same(
    engine: EngineProcess, receivers: tuple[ReceiverThread, ReceiverThread]
) -> None:
    """Whichever of them ends first: with it goes the ledger that all of them are proved by."""
    engine.accept(visit(522, "camera", partner="twice"))
    settled(engine)
    receivers[1].misbehave("status=500")
    client = engine.client()
    asked = [("--uuid", device(522)), ("--id", f"{DPID}:twice")]
    numbers = [only(engine, "delete", *one, "--wait", "0.1", code=1)["number"] for one in asked]
    receivers[1].misbehave()
    client.replay(2)
    wait_until(
        lambda: all(client.privacy_show(number).state == "done" for number in numbers), "all of them to end"
    )
    shown = [client.privacy_show(number).destinations for number in numbers]
    assert [[len(one.acknowledged) for one in each] for each in shown] == [[1, 1], [1, 1]]
    assert [[(one.missing, one.untold) for one in each] for each in shown] == [[(0, 0), (0, 0)]] * 2


def test_a_request_about_more_devices_keeps_the_proof_of_one_that_goes_before(
    engine: EngineProcess, receivers: tuple[ReceiverThread, ReceiverThread]
) -> None:
    """A person has two devices; one of them, asked for by itself, goes while the other's 0 is still refused."""
    with_people = json.loads(two(receivers))
    with_people["data_sources"].append({"id": 778, "kind": "cross_device"})
    engine.apply(json.dumps(with_people))
    for number in (524, 525):
        ids = [{"dpid": DPID, "id": f"p{number}"}, {"dpid": 778, "id": "crm"}]
        engine.accept(visit(number, "camera", ids=ids))
    settled(engine)
    receivers[1].misbehave("poison=p525")
    person = only(engine, "delete", "--id", "778:crm", "--wait", "0.1", code=1)["number"]
    assert only(engine, "delete", "--uuid", device(524))["state"] == "done"
    client = engine.client()
    first, second = client.privacy_show(person).destinations
    assert (len(first.acknowledged), len(second.acknowledged), second.missing) == (2, 1, 1)
    receivers[1].misbehave()
    client.replay(2)
    wait_until(lambda: client.privacy_show(person).state == "done", "the person's request to end")
    assert [len(one.acknowledged) for one in client.privacy_show(person).destinations] == [2, 2]


def test_a_restarted_engine_goes_on_at_once(
    engine: EngineProcess, receivers: tuple[ReceiverThread, ReceiverThread]
) -> None:
    """It does not wait for the next retry: what failed before is told again when the engine starts."""
    engine.accept(visit(531, "camera", partner="again"))
    settled(engine)
    receivers[0].misbehave("status=500:2")
    number = only(engine, "delete", "--uuid", device(531), "--wait", "0.5", code=1)["number"]
    engine.stop()
    engine.start()
    client = engine.client()
    wait_until(lambda: client.privacy_show(number).state == "done", "the request to end")
    assert receivers[0].segments_of("again") == set()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"supports_unsegment": False}, "the destination takes no 0s (supports_unsegment: false)"),
        ({"enabled": False}, "the destination is switched off"),
    ],
)
def test_a_destination_that_cannot_be_told_is_named_and_blocks_nothing(
    engine: EngineProcess,
    receivers: tuple[ReceiverThread, ReceiverThread],
    options: dict[str, Any],
    why: str,
) -> None:
    """It was told a 1 before; the deletion proceeds, and the report says what it does not know."""
    engine.accept(visit(541, "camera", partner="untold"))
    settled(engine)
    engine.apply(two(receivers, **options))
    report = only(engine, "delete", "--uuid", device(541))
    first, second = report["destinations"]
    assert len(first["acknowledged"]) == 1
    assert (second["acknowledged"], second["untold"], second["untold_why"]) == ([], 1, why)
    assert report["state"] == "done"


def test_a_paused_segment_does_not_keep_the_zero_back(
    engine: EngineProcess, receivers: tuple[ReceiverThread, ReceiverThread]
) -> None:
    """Nothing is said about it otherwise; but who goes is taken out of everything."""
    engine.accept(visit(551, "camera", partner="paused"))
    settled(engine)
    text = json.loads(two(receivers))
    for segment in text["segments"]:
        segment["paused"] = True
    engine.apply(json.dumps(text))
    assert only(engine, "opt-out", "--uuid", device(551))["state"] == "done"
    assert receivers[0].segments_of("paused") == set()


def test_an_opt_out_keeps_a_mark_and_forgets_the_ids(
    engine: EngineProcess, receivers: tuple[ReceiverThread, ReceiverThread]
) -> None:
    """Unlike a deletion: the device is known, as one that opted out, with nothing but why it left."""
    engine.accept(visit(561, "camera", partner="leaves"))
    settled(engine)
    assert only(engine, "opt-out", "--id", f"{DPID}:leaves")["state"] == "done"
    facts = engine.client().explain(device(561), None)
    assert (facts.known, facts.opted_out, facts.ids, facts.traits) == (True, True, [], [])
    assert engine.client().explain(None, f"{DPID}:leaves").known is False
    assert receivers[0].segments_of("leaves") == set()


def test_explain_says_who_is_on_the_suppression_list(
    engine: EngineProcess, receivers: tuple[ReceiverThread, ReceiverThread]
) -> None:
    """Who was deleted is no stranger, by UUID and by id; who opted out is marked as well. Once that is lifted
    nothing is left that could tell.
    """
    engine.accept(visit(563, "camera", partner="gone"), visit(564, "camera", partner="out"))
    settled(engine)
    number = str(only(engine, "delete", "--uuid", device(563))["number"])
    assert only(engine, "opt-out", "--uuid", device(564))["state"] == "done"
    asked = [(device(563), None), (None, f"{DPID}:gone"), (device(564), None), (None, f"{DPID}:out")]
    found = [engine.client().explain(*one) for one in asked]
    assert [(one.known, one.suppressed) for one in found] == [
        (False, True), (False, True), (True, True), (False, True)
    ]  # fmt: skip
    for words in (("--id", f"{DPID}:gone"), (device(563),)):
        done = engine.arke("explain", *words)
        assert done.returncode == 1
        assert "on the suppression list" in done.stdout
        assert "never seen" not in done.stdout
    assert engine.arke("privacy", "lift", "--request", number).returncode == 0
    assert [engine.client().explain(*one).suppressed for one in asked] == [False, False, True, True]
    assert "never seen by this engine" in engine.arke("explain", "--id", f"{DPID}:gone").stdout
    assert engine.client().explain(None, f"{DPID}:a-stranger").suppressed is False


def test_access_shows_everything_and_changes_nothing(engine: EngineProcess) -> None:
    """Ids, traits with their times, memberships with reasons, what was told to whom; nothing known is exit 1."""
    engine.accept(visit(571, "camera", partner="curious", region=6))
    settled(engine)
    done = engine.arke("privacy", "access", "--id", f"{DPID}:curious", "--json")
    assert done.returncode == 0, done.stderr
    ((found,),) = [one["devices"] for one in json.loads(done.stdout)]
    assert (found["uuid"], found["known"], found["opted_out"]) == (device(571), True, None)
    assert [(one["dpid"], one["id"], one["state"]) for one in found["ids"]] == [(DPID, "curious", "unknown")]
    assert [(one["id"], len(one["realised"])) for one in found["traits"]] == [(1000, 1)]
    assert (IN_MARKET, 1, "rule") in [(one["id"], one["status"], one["reason"]) for one in found["segments"]]
    assert {one["destination"]: one["told"][str(IN_MARKET)] for one in found["told"]} == {1: "1", 2: "1"}
    assert all(one["messages"][0]["answer"] == "200" for one in found["told"])
    assert engine.client().explain(device(571), None).opted_out is False
    assert engine.arke("privacy", "access", "--uuid", device(599)).returncode == 1


def test_without_a_running_engine_the_command_is_the_engine(
    engine: EngineProcess, receivers: tuple[ReceiverThread, ReceiverThread]
) -> None:
    """It tells the destinations, erases, and reports."""
    engine.accept(visit(581, "camera", partner="alone"))
    settled(engine)
    engine.stop()
    report = only(engine, "delete", "--uuid", device(581), "--config", str(engine.config))
    assert (report["state"], len(report["destinations"])) == ("done", 2)
    assert receivers[0].segments_of("alone") == set()


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--uuid", "123"),
        ("--id", "no-colon"),
        ("--id", "12345:"),
        ("--uuid", device(1), "--id", "12345:a"),
        ("--file", "/does/not/exist.json"),
    ],
)
def test_wrong_use_is_exit_code_2(engine: EngineProcess, arguments: tuple[str, ...]) -> None:
    """Nothing is suppressed by a request that is refused."""
    for command in ("access", "delete", "opt-out"):
        assert engine.arke("privacy", command, *arguments).returncode == 2
    assert engine.client().privacy_list(None) == []


def test_the_admin_api_takes_requests_with_the_right_token(engine: EngineProcess) -> None:
    """`admin` to ask, `operate` to look; a request that does not exist is a 404."""
    engine.accept(visit(591, "camera", partner="api"))
    settled(engine)
    made = {
        scope: {"Authorization": f"Bearer {engine.client().create_token(scope, scope, None).secret}"}
        for scope in ("operate", "admin")
    }
    body = json.dumps({"action": "delete", "uuid": device(591)}).encode()
    path = "/v1/privacy/requests"
    assert request(engine.admin, "POST", path, body, made["operate"]).status == 403
    answer = request(engine.admin, "POST", path, body, made["admin"])
    assert answer.status == 202
    number = answer.json()[0]["number"]
    client = engine.client()
    wait_until(lambda: client.privacy_show(number).state == "done", "the request to end")
    shown = request(engine.admin, "GET", f"{path}/{number}", None, made["operate"]).json()
    assert shown["state"] == "done"
    assert request(engine.admin, "GET", f"{path}/999", None, made["operate"]).status == 404
    assert request(engine.admin, "POST", "/v1/privacy/access", body, made["operate"]).status == 403
    audit = request(engine.admin, "GET", "/v1/audit", None, made["admin"]).json()
    assert "privacy_requested" in {entry["action"] for entry in audit["entries"]}
    assert device(591) not in json.dumps(audit)


def test_demoptout_is_a_request_like_any_other(
    engine: EngineProcess, receivers: tuple[ReceiverThread, ReceiverThread]
) -> None:
    """Through the public intake: told, acknowledged, and listed with its proof."""
    engine.accept(visit(595, "camera", partner="global"))
    settled(engine)
    cookie = {"Cookie": f"demdex={device(595)}"}
    assert request(engine.intake, "GET", "/demoptout", headers=cookie).status == 200
    client = engine.client()
    wait_until(lambda: [one.state for one in client.privacy_list(None)] == ["done"], "the request to end")
    assert client.privacy_list(None)[0].action == "opt_out"
    assert receivers[0].segments_of("global") == set()
    ask = PrivacyAsk(uuid=device(595))
    assert client.privacy_access(ask)[0].suppressed is True
