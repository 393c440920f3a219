"""Finding 8: what a stranger at the public door can move, against the running program."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import apsw
import pytest

import arke
from e2e.catalogs import DPID, IN_MARKET, catalog, destination, device, visit
from e2e.engine_process import OPEN, EngineProcess, Reply, request
from e2e.receiver_thread import ReceiverThread
from patience import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

CRM, ACCOUNT = 702, 701
"""Data sources that only a token declares: cookies, and people."""
PERSON = 700
MIGRATIONS = Path(arke.__file__).parent / "storage/sqlite/migrations/directory"
STRANGER = device(900)
TAKEN_A_DAY = 10
BACK_TO_AUDIENCE_MANAGER = (
    f'{OPEN}[identity]\ntakeovers_per_device = 1000000\n[answers]\nmemberships = "any"\n'
)


def closed_catalog(receiver: ReceiverThread) -> str:
    value = json.loads(catalog([destination(423, receiver.url, receiver.ca_file, user_dpids=[DPID, CRM])]))
    value["data_sources"] += [
        {"id": CRM, "integration_code": "crm", "declared_by": "token"},
        {"id": ACCOUNT, "kind": "cross_device", "declared_by": "token"},
        {"id": PERSON, "kind": "cross_device"},
        {"id": 4, "declared_by": "token"},
    ]
    return json.dumps(value)


@pytest.fixture(scope="module")
def receiver() -> Iterator[ReceiverThread]:
    with ReceiverThread() as running:
        yield running


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, receiver: ReceiverThread) -> Iterator[EngineProcess]:
    with EngineProcess(tmp_path_factory.mktemp("engine")) as running:
        running.apply(closed_catalog(receiver))
        yield running


def call(engine: EngineProcess, target: str, uuid: str | None = None, **headers: str) -> Reply:
    """A public call, with the device cookie of `uuid`."""
    cookie = {"Cookie": f"demdex={uuid}"} if uuid is not None else {}
    return request(engine.intake, "GET", target, headers={**cookie, **headers})


def sync(engine: EngineProcess, uuid: str, dpid: int, name: str) -> str:
    """`/ibs:` with a cookie; the codes of the answer."""
    return call(engine, f"/ibs:dpid={dpid}&dpuuid={quote(name)}", uuid).headers.get("x-error", "")


def owner(engine: EngineProcess, dpid: int, name: str) -> str:
    return engine.client().explain(None, f"{dpid}:{name}").uuid


def crm(number: int, *words: str, dpid: int = CRM, **fields: Any) -> dict[str, Any]:
    """An event with a token, as it were: the intake of these tests is open for `/v1/events`."""
    return {
        "uuid": device(number),
        "ids": [{"dpid": dpid, "id": f"c{number}", **fields}],
        "signals": {"c_see": list(words)},
    }


@pytest.mark.parametrize("victims", [30, pytest.param(3_000, marks=pytest.mark.soak)])
def test_a_cookie_collects_only_so_many_ids_of_others(
    engine: EngineProcess, receiver: ReceiverThread, victims: int
) -> None:
    """Finding 8: `/ibs:` calls with one cookie take ten ids; the others stay, are told as before, and are counted.
    What the cookie itself does counts on its own device, and it keeps its own ids.
    """
    first = 100_000 if victims > 30 else 1_000
    thief = device(first - 1)
    engine.accept(*(visit(first + number, "camera") for number in range(victims)))
    assert sync(engine, thief, DPID, f"own{first}") == ""
    codes = [sync(engine, thief, DPID, f"p{first + number}") for number in range(victims)]
    assert codes == [""] * TAKEN_A_DAY + ["309"] * (victims - TAKEN_A_DAY)
    taken = f"{DPID}%01p{first}"
    left = f"{DPID}%01p{first + TAKEN_A_DAY}"
    answer = call(engine, f"/event?d_rtbd=json&d_cts=2&c_see=lens&d_cid={taken}&d_cid={left}", thief)
    told = answer.json()
    assert (told["uuid"], told["traits"], [one["code"] for one in told["errors"]]) == (thief, [1001], [309])
    wait_until(engine.settled, "everything to be told")
    assert owner(engine, DPID, f"p{first}") == thief
    stay = [first + number for number in range(TAKEN_A_DAY, min(victims, 30))]
    assert [owner(engine, DPID, f"p{number}") for number in stay] == [device(number) for number in stay]
    # Exits and entries are exact: who moved is in lenses now, who stayed is where he was.
    assert receiver.segments_of(f"p{first}") == {"10330"}
    assert receiver.segments_of(f"own{first}") == {"10330"}
    assert all(receiver.segments_of(f"p{number}") == {"10329", "10331"} for number in stay)
    status = engine.client().status()
    assert status.takeovers_refused >= victims - TAKEN_A_DAY + 1
    metrics = request(engine.admin, "GET", "/metrics", headers=bearer(engine, "metrics")).body.decode()
    assert f"arke_identity_takeovers_refused_total {float(status.takeovers_refused)}" in metrics
    lines = [line for line in engine.log().splitlines() if "takeovers_refused" in line]
    assert 1 <= len(lines) <= 1 + victims / 20  # one a minute
    assert not any(f"p{first}" in line or thief in line for line in lines)


def bearer(engine: EngineProcess, scope: str) -> dict[str, str]:
    done = engine.arke("token", "create", "--scope", scope)
    assert done.returncode == 0, done.stderr
    return {"Authorization": f"Bearer {done.stdout.strip()}"}


def test_a_restart_gives_no_new_takeovers(engine: EngineProcess) -> None:
    """Finding 8: the count is in the directory."""
    thief = device(3_999)
    engine.accept(*(visit(4_000 + number, "camera") for number in range(TAKEN_A_DAY + 2)))
    for number in range(TAKEN_A_DAY):
        assert sync(engine, thief, DPID, f"p{4_000 + number}") == ""
    engine.kill()
    engine.start()
    assert sync(engine, thief, DPID, f"p{4_000 + TAKEN_A_DAY}") == "309"


def test_a_token_takes_over_without_bound(engine: EngineProcess) -> None:
    """Finding 8: the same calls with a token of scope ingest, and bulk events, are nobody's word but the
    operator's.
    """
    collector = device(5_999)
    engine.accept(*(visit(6_000 + number, "camera") for number in range(40)))
    token = bearer(engine, "ingest")
    for number in range(15):
        answer = call(engine, f"/ibs:dpid={DPID}&dpuuid=p{6_000 + number}", collector, **token)
        assert "x-error" not in answer.headers
    engine.accept(*(visit(5_999, partner=f"p{6_015 + number}") for number in range(20)))
    assert owner(engine, DPID, "p6034") == collector
    assert sync(engine, collector, DPID, "p6035") == ""  # none of them counted


def test_becoming_a_device_of_strangers_is_a_takeover(engine: EngineProcess) -> None:
    """Finding 8: who speaks for a person is not at anybody's word without bound either."""
    people = [f"person{number}" for number in range(TAKEN_A_DAY + 3)]
    engine.accept(
        *({"uuid": device(7_000 + n), "ids": [{"dpid": PERSON, "id": one}]} for n, one in enumerate(people))
    )
    thief = device(6_999)
    codes = [
        call(engine, f"/event?d_cid={PERSON}%01{one}%011", thief).headers.get("x-error", "") for one in people
    ]
    assert codes == [""] * TAKEN_A_DAY + ["309"] * 3
    assert owner(engine, PERSON, people[0]) == thief
    assert owner(engine, PERSON, people[-1]) == device(7_000 + TAKEN_A_DAY + 2)


WAYS = {
    "ibs": "/ibs:dpid={dpid}&dpuuid={id}",
    "d_cid": "/event?d_cid={dpid}%01{id}%011",
    "old": "/event?d_dpid={dpid}&d_dpuuid={id}",
    "unprefixed": "/event?dpid={dpid}&dpuuid={id}",
    "code": "/event?d_cid_ic=crm%01{id}",
    "ibs code": "/ibs:d_cid_ic=crm%01{id}%011",
}


@pytest.mark.parametrize("way", WAYS)
def test_an_id_that_a_token_declares_is_moved_by_no_public_call(engine: EngineProcess, way: str) -> None:
    """Finding 8: however it is spelled, known or not, it is answered alike and stays where it is."""
    number = 8_000 + list(WAYS).index(way)
    engine.accept(crm(number, "camera"))
    for name in (f"c{number}", f"unknown{number}"):
        answer = call(engine, WAYS[way].format(dpid=CRM, id=name), STRANGER)
        assert answer.headers["x-error"] == "302"
    assert owner(engine, CRM, f"c{number}") == device(number)
    assert not engine.client().explain(None, f"{CRM}:unknown{number}").known


def test_an_ecid_that_a_token_declares_is_not_moved(engine: EngineProcess) -> None:
    """Finding 8: `d_mid` is an id of data source 4, which may be closed like any other."""
    ecid = "4" * 38
    engine.accept({"uuid": device(8_100), "ids": [{"dpid": 4, "id": ecid}]})
    assert call(engine, f"/event?d_mid={ecid}", STRANGER).headers["x-error"] == "302"
    assert owner(engine, 4, ecid) == device(8_100)


def test_a_closed_id_says_whose_event_it_is_and_takes_nothing_along(
    engine: EngineProcess, receiver: ReceiverThread
) -> None:
    """Finding 8: the event is about the device it leads to; an id of the stranger's own beside it is not put
    there, so nobody is told under it what that device is in.
    """
    engine.accept(crm(8_200, "camera"))
    engine.accept({"uuid": device(8_200), "ids": [{"dpid": ACCOUNT, "id": "acc"}]})
    query = f"d_cid={CRM}%01c8200&d_cid={DPID}%01bait&d_cid={ACCOUNT}%01acc%011&c_see=lens"
    answer = call(engine, f"/event?d_rtbd=json&{query}")
    assert [one["code"] for one in answer.json()["errors"]] == [302, 302, 302]
    facts = engine.client().explain(device(8_200), None)
    assert {trait.id for trait in facts.traits} == {1000, 1001}
    assert not any("bait" in one for one in facts.ids)
    wait_until(engine.settled, "everything to be told")
    assert receiver.segments_of("bait") == set()
    assert receiver.segments_of("c8200") == {"10329", "10330", "10331"}


def test_audience_managers_behaviour_is_one_setting_away(
    tmp_path_factory: pytest.TempPathFactory, receiver: ReceiverThread
) -> None:
    """Finding 8: a large number takes over as many, at anybody's word."""
    folder = tmp_path_factory.mktemp("open")
    with EngineProcess(folder, settings=BACK_TO_AUDIENCE_MANAGER) as engine:
        engine.apply(catalog([]))
        engine.accept(*(visit(number, "camera") for number in range(1, 31)))
        assert [sync(engine, STRANGER, DPID, f"p{number}") for number in range(1, 31)] == [""] * 30
        assert owner(engine, DPID, "p30") == STRANGER
        answer = call(engine, f"/event?d_rtbd=json&d_cts=2&d_cid={DPID}%01p30").json()
        assert answer["uuid"] == STRANGER
        assert IN_MARKET not in answer["segments"]


def tables(connection: apsw.Connection) -> set[str]:
    return {
        str(name) for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
    }


def test_a_directory_of_an_earlier_version_counts_too(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A data directory without the table of counts opens, and has it from then on."""
    folder = tmp_path_factory.mktemp("earlier")
    with EngineProcess(folder) as engine:
        engine.apply(catalog([]))
        engine.accept(*(visit(number, "camera") for number in range(1, 13)))
        engine.stop()
        connection = apsw.Connection(str(engine.data / "directory.db"))
        before = apsw.Connection(":memory:")
        for migration in sorted(MIGRATIONS.iterdir())[:2]:
            before.execute(migration.read_text())
        for later in tables(connection) - tables(before):
            connection.execute(f"DROP TABLE {later}")
        connection.execute("PRAGMA user_version=2")
        connection.close()
        engine.start()
        codes = [sync(engine, STRANGER, DPID, f"p{number}") for number in range(1, 13)]
        assert codes == [""] * TAKEN_A_DAY + ["309"] * 2
