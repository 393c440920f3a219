"""Ids that are nobody's, against a running engine: strangers stay strangers, and nobody is locked out."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest

from arke.operations.privacy import PrivacyAsk
from e2e.catalogs import DPID, device
from e2e.engine_process import OPEN, EngineProcess, request
from patience import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PEOPLE, HASHED = 778, 779
GAID = "97987bca-ae59-4c7d-94ba-ee4f19ab8c21"
HASH = sha256(b"ann@example.com").hexdigest()
MOST = 3

CATALOG = {
    "data_sources": [
        {"id": DPID, "integration_code": "acme", "deny": ["Shop-Default"]},
        {"id": PEOPLE, "kind": "cross_device"},
        {"id": HASHED, "id_form": "email_sha256"},
    ]
}


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[EngineProcess]:
    with EngineProcess(tmp_path, settings=f"{OPEN}[identity]\nmax_devices_per_id = {MOST}\n") as engine:
        engine.apply(json.dumps(CATALOG))
        yield engine


def seen(engine: EngineProcess, query: str, cookie: str | None = None) -> dict[str, Any]:
    headers = {"Cookie": f"demdex={cookie}"} if cookie else {}
    told: dict[str, Any] = request(
        engine.intake, "GET", f"/event?d_rtbd=json&{query}", headers=headers
    ).json()
    return told


def codes(told: dict[str, Any]) -> list[int]:
    return [error["code"] for error in told.get("errors", ())]


def linked(engine: EngineProcess, number: int, dpid: int, id_: str) -> None:
    engine.accept({"uuid": device(number), "ids": [{"dpid": dpid, "id": id_}]})


def private(engine: EngineProcess, *arguments: str, code: int = 0) -> dict[str, Any]:
    done = engine.arke("privacy", *arguments, "--json")
    assert done.returncode == code, done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.mark.parametrize("nobodys", ["undefined", "%24%7BDD_UUID%7D", "0", "SHOP-DEFAULT"])
def test_strangers_who_send_a_placeholder_are_not_joined(engine: EngineProcess, nobodys: str) -> None:
    first = seen(engine, f"d_cid={DPID}%01{nobodys}&d_cid={DPID}%01first")
    second = seen(engine, f"d_cid={DPID}%01{nobodys}&d_cid={DPID}%01second")
    assert codes(first) == codes(second) == [303]
    assert first["uuid"] != second["uuid"]


def test_whoever_asks_no_placeholder_is_suppressed(engine: EngineProcess) -> None:
    """Neither by its name, nor by a request file, the API or the public door."""
    ids = [{"namespace": str(DPID), "type": "namespaceId", "value": "null"}]
    file = engine.folder / "request.json"
    file.write_text(json.dumps({"users": [{"action": ["delete"], "userIDs": ids}]}))
    for asked in (("--id", f"{DPID}:undefined"), ("--id", f"{DPID}:shop-default"), ("--file", str(file))):
        done = engine.arke("privacy", "delete", *asked)
        assert done.returncode == 2
        assert "nobody's own" in done.stderr
    assert request(engine.intake, "GET", f"/demoptout?d_cid={DPID}%01undefined").status == 200
    assert engine.client().privacy_list(None) == []
    linked(engine, 1, DPID, "mine")
    assert engine.client().privacy_access(PrivacyAsk(uuid=device(1)))[0].suppressed is False


def test_a_deletion_checks_form_and_source_as_the_intake_does(engine: EngineProcess) -> None:
    for wrong, why in (
        ("20914:garbage", "form"),
        ("999:x", "no such data source"),
        ("4:123", "38 decimal digits"),
        (f"{HASHED}:ann", "form"),
    ):
        for command in ("delete", "opt-out", "access"):
            done = engine.arke("privacy", command, "--id", wrong)
            assert (done.returncode, why in done.stderr) == (2, True), done.stderr
    body = json.dumps({"action": "delete", "id": "20914:garbage"}).encode()
    token = engine.client().create_token("admin", "admin", None).secret
    answer = request(engine.admin, "POST", "/v1/privacy/requests", body, {"Authorization": f"Bearer {token}"})
    assert answer.status == 400
    assert engine.client().privacy_list(None) == []


def test_nobody_was_known_is_said_apart(engine: EngineProcess) -> None:
    for asked in (("--id", f"{DPID}:never-seen"), ("--uuid", device(99))):
        report = private(engine, "delete", *asked, code=1)
        assert (report["nobody"], report["state"]) == (True, "done")
    assert "nobody was known" in engine.arke("privacy", "opt-out", "--id", f"{DPID}:nor-this").stderr
    linked(engine, 1, DPID, "known")
    assert private(engine, "delete", "--id", f"{DPID}:known")["nobody"] is False


def test_ids_are_found_in_the_spelling_that_is_kept(engine: EngineProcess) -> None:
    """Of a global source in any letter case; of one with a form as the form has it."""
    linked(engine, 1, 20914, GAID)
    linked(engine, 2, HASHED, " Ann@Example.com")
    linked(engine, 2, HASHED, HASH.upper())
    client = engine.client()
    assert client.explain(device(2), None).ids == [f"{HASHED}:{HASH}"]
    assert client.explain(None, f"20914:{GAID.upper()}").uuid == device(1)
    assert client.explain(None, f"{HASHED}:ANN@example.com").uuid == device(2)
    assert private(engine, "delete", "--id", f"20914:{GAID.upper()}")["devices"] == 1
    assert private(engine, "delete", "--id", f"{HASHED}:{HASH.upper()}")["devices"] == 1
    assert client.explain(device(2), None).known is False


def test_what_was_kept_before_a_form_is_found_and_stays_suppressed(engine: EngineProcess) -> None:
    linked(engine, 1, DPID, "ABCD")
    linked(engine, 2, DPID, "EFGH")
    private(engine, "opt-out", "--id", f"{DPID}:EFGH")
    engine.apply(json.dumps({"data_sources": [{"id": DPID, "id_form": "lower"}]}))
    assert engine.client().explain(None, f"{DPID}:abcd").uuid == device(1)
    answer = engine.send({"ids": [{"dpid": DPID, "id": "EFGH"}]}).json()
    assert [one["code"] for one in answer["rejected"]] == ["opted_out"]
    assert private(engine, "delete", "--id", f"{DPID}:AbcD")["devices"] == 1
    assert engine.arke("privacy", "lift", "--id", f"{DPID}:efgh").returncode == 0
    assert engine.send({"ids": [{"dpid": DPID, "id": "EFGH"}]}).json()["accepted"] == 1


def test_what_a_data_source_left_behind_can_be_deleted(engine: EngineProcess) -> None:
    linked(engine, 1, DPID, "left-behind")
    engine.apply(json.dumps({"data_sources": [{"id": PEOPLE}]}))
    assert engine.arke("privacy", "delete", "--id", f"{DPID}:other").returncode == 2
    assert private(engine, "delete", "--id", f"{DPID}:left-behind")["devices"] == 1


@pytest.mark.parametrize("dpid", [DPID, PEOPLE])
def test_an_id_on_very_many_devices_is_reported_and_never_suppressed(
    engine: EngineProcess, dpid: int
) -> None:
    """By data source and count, in status, metrics and log; a deletion names it. It outlives a restart."""
    for number in range(1, MOST + 1):
        linked(engine, number, dpid, "everybodys")
    assert engine.client().status().shared_ids == []
    linked(engine, MOST + 1, dpid, "everybodys")
    (shared,) = engine.client().status().shared_ids
    assert (shared.data_source, shared.ids, shared.devices) == (dpid, 1, MOST + 1)
    assert f"data source {dpid}: 1 id " in engine.arke("status").stdout
    metrics = request(engine.admin, "GET", "/metrics", headers=reader(engine)).body.decode()
    assert f'arke_shared_id_devices{{data_source="{dpid}"}} {MOST + 1}.0' in metrics
    (line,) = [json.loads(one) for one in engine.log().splitlines() if "id_on_many_devices" in one]
    assert (line["data_source"], line["devices"]) == (dpid, MOST + 1)
    assert "everybodys" not in engine.log() + metrics
    engine.stop()
    engine.start()
    assert engine.client().status().shared_ids == [shared]
    linked(engine, MOST + 1, DPID, "its-own")
    asked = ("--id", f"{PEOPLE}:everybodys") if dpid == PEOPLE else ("--uuid", device(MOST + 1))
    report = private(engine, "delete", *asked)
    assert report["everybodys"] == [{"dpid": dpid, "id": "everybodys", "devices": MOST + 1}]
    linked(engine, 77, dpid, "everybodys")
    wait_until(
        lambda: engine.client().explain(device(77), None).ids == [f"{dpid}:everybodys"], "the id to be taken"
    )
    answer = engine.send({"ids": [{"dpid": DPID, "id": "its-own"}]}).json()
    assert [one["code"] for one in answer["rejected"]] == ["opted_out"]


def test_who_asks_by_an_id_that_is_everybodys_is_told_that_it_is_not_suppressed(
    engine: EngineProcess,
) -> None:
    for number in range(MOST + 1):
        linked(engine, number, DPID, "everybodys")
    assert private(engine, "delete", "--uuid", device(MOST))["devices"] == 1
    done = engine.arke("privacy", "delete", "--id", f"{DPID}:everybodys")
    assert (done.returncode, "not suppressed" in done.stderr) == (1, True), done.stderr
    linked(engine, 0, DPID, "everybodys")


def reader(engine: EngineProcess) -> dict[str, str]:
    return {"Authorization": f"Bearer {engine.client().create_token('metrics', 'metrics', None).secret}"}
