"""Opt-outs as a weapon: strangers' ids, anybody's ids, anybody's browsers, and the way back."""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING, Any

import pytest

from arke.errors import InvalidInput
from arke.operations.privacy import LiftAsk, PrivacyAsk
from e2e.catalogs import DPID, IN_MARKET, catalog, destination, device, visit
from e2e.engine_process import OPEN, EngineProcess, Reply, request
from e2e.receiver_thread import ReceiverThread
from patience import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from arke.operations.privacy import PrivacyReport

SOURCES = (DPID, 9001, 9002, 9003)
A_CALL = 10
"""Ids in one call, at most three of a data source."""


@pytest.fixture(scope="module")
def receiver() -> Iterator[ReceiverThread]:
    with ReceiverThread() as receiver:
        yield receiver


def started(folder: Path, receiver: ReceiverThread, settings: str = "") -> EngineProcess:
    """Two shards and a destination that takes the ids of every source."""
    receiver.misbehave()
    engine = EngineProcess(folder, settings=OPEN + settings, shards=2).start()
    text = json.loads(catalog([destination(1, receiver.url, receiver.ca_file, user_dpids=[*SOURCES])]))
    text["data_sources"] += [{"id": dpid, "name": f"source {dpid}", "kind": "cookie"} for dpid in SOURCES[1:]]
    engine.apply(json.dumps(text))
    return engine


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, receiver: ReceiverThread) -> Iterator[EngineProcess]:
    engine = started(tmp_path_factory.mktemp("engine"), receiver)
    yield engine
    engine.stop()


@pytest.fixture
def engine(running: EngineProcess, receiver: ReceiverThread) -> EngineProcess:
    """One engine for all: each test has strangers and a browser of its own."""
    receiver.misbehave()
    return running


def key(number: int) -> tuple[int, str]:
    """The one id of stranger `number`."""
    return SOURCES[number % len(SOURCES)], f"stranger-{number}"


def seen(number: int, *words: str, by: str | None = "uuid") -> dict[str, Any]:
    """An event of a stranger, by device and id, or by the id alone."""
    dpid, partner_id = key(number)
    event: dict[str, Any] = {"ids": [{"dpid": dpid, "id": partner_id}], "signals": {"c_see": list(words)}}
    return event | ({"uuid": device(1_000 + number)} if by == "uuid" else {})


def everybody(engine: EngineProcess, receiver: ReceiverThread, numbers: Sequence[int], word: str) -> None:
    """All are seen, taken, and told."""
    for start in range(0, len(numbers), 250):
        engine.accept(*(seen(number, word) for number in numbers[start : start + 250]))
    wait_until(
        lambda: all(str(IN_MARKET) in receiver.segments_of(key(number)[1]) for number in numbers),
        "everybody told",
    )


def cookie(number: int) -> dict[str, str]:
    return {"Cookie": f"demdex={device(number)}"}


def claims(numbers: Sequence[int]) -> str:
    return "&".join(f"d_cid={key(number)[0]}%01{key(number)[1]}" for number in numbers)


def calls(
    engine: EngineProcess,
    targets: Sequence[str],
    headers: Mapping[str, str],
    address: str = "127.0.0.1",
) -> list[Reply]:
    """GET one after the other, over one connection from this address."""
    connection = http.client.HTTPConnection(engine.intake, timeout=60, source_address=(address, 0))
    replies = []
    for target in targets:
        connection.request("GET", target, headers=dict(headers))
        answer = connection.getresponse()
        named = {name.lower(): value for name, value in answer.getheaders()}
        replies.append(Reply(answer.status, answer.read(), named))
    connection.close()
    return replies


def link(engine: EngineProcess, attacker: int, numbers: Sequence[int]) -> None:
    """A browser claims these ids by `/ibs:` calls."""
    parts = [numbers[start : start + A_CALL] for start in range(0, len(numbers), A_CALL)]
    answers = calls(engine, [f"/ibs:{claims(part)}" for part in parts], cookie(attacker))
    assert {answer.status for answer in answers} == {200}


def ended(engine: EngineProcess) -> PrivacyReport:
    """All requests have; the newest."""
    client = engine.client()
    wait_until(lambda: {one.state for one in client.privacy_list(None)} == {"done"}, "requests to end")
    return client.privacy_list(None)[0]


def bearer(engine: EngineProcess, scope: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {engine.client().create_token(scope, scope, None).secret}"}


@pytest.mark.parametrize("count", [300, pytest.param(3_000, marks=pytest.mark.soak)])
def test_an_opt_out_takes_no_strangers_along(
    engine: EngineProcess, receiver: ReceiverThread, count: int
) -> None:
    """Finding 6: 300 strangers' ids are linked to one cookie by 90 calls, which then opts out. Whatever came
    to it gets its 0 and is free: every stranger is taken at the next event of the own device, told again.
    """
    numbers = range(10_000, 10_000 + count)
    everybody(engine, receiver, numbers, "camera")
    for _ in range(3):
        link(engine, count, numbers)
    wait_until(engine.settled, "the moves")
    assert calls(engine, ["/demoptout"], cookie(count))[0].headers["x-error"] == "171"
    report = ended(engine)
    assert (report.public, report.suppressed) == (True, 0)
    told = [proof for one in report.destinations for proof in one.acknowledged]
    assert len(told) == report.spared, "each id that left with the device has its proof"
    out = [number for number in numbers if not receiver.segments_of(key(number)[1])]
    assert len(out) == report.spared
    link(engine, count + 1, numbers)
    wait_until(engine.settled, "the moves")
    assert calls(engine, ["/demoptout"], cookie(count + 1))[0].headers["x-error"] == "171"
    assert ended(engine).suppressed == 0, "also when another cookie claims those that were set free"
    everybody(engine, receiver, numbers, "camera")
    assert engine.client().privacy_access(PrivacyAsk(uuid=device(count)))[0].suppressed
    refused = engine.send(visit(count, "camera", partner="stranger-10000")).json()["rejected"]
    assert [one["code"] for one in refused] == ["opted_out"]


def test_strangers_need_not_wait_for_the_end_of_it(engine: EngineProcess, receiver: ReceiverThread) -> None:
    """Finding 6: a destination is down, so the request stays open. The strangers are taken all the same, by their
    devices or by the id alone; when the destination is back, it ends up knowing what is true.
    """
    numbers = (40, 41, 42, 43)
    everybody(engine, receiver, numbers, "camera")
    link(engine, 4, numbers)
    wait_until(engine.settled, "the moves")
    receiver.misbehave("status=500")
    assert calls(engine, ["/demoptout"], cookie(4))[0].status == 200
    client = engine.client()
    assert client.privacy_list(None)[0].state != "done"
    engine.accept(*(seen(one, "camera") for one in numbers[:2]))
    engine.accept(*(seen(one, "camera", by=None) for one in numbers[2:]))
    receiver.misbehave()
    client.replay(None)
    ended(engine)
    everybody(engine, receiver, numbers[:2], "camera")
    engine.accept(*(seen(one, "camera", by=None) for one in numbers[2:]))
    wait_until(
        lambda: all(str(IN_MARKET) in receiver.segments_of(key(one)[1]) for one in numbers[2:]), "those by id"
    )


def test_what_nobody_else_had_goes_with_the_device(engine: EngineProcess, receiver: ReceiverThread) -> None:
    """Finding 6: ids that the device was the first to have do not come back under another UUID; 26 are so
    many that the report, the status, the metrics and the log tell, without naming any.
    """
    numbers = range(500, 525)
    before = engine.client().status().privacy_requests_large
    link(engine, 5, numbers)
    engine.accept(visit(5, "camera", partner="own"))
    wait_until(lambda: receiver.segments_of("own"), "the first message")
    calls(engine, ["/demoptout"], cookie(5))
    report = ended(engine)
    assert (report.suppressed, report.spared, report.large) == (26, 0, True)
    answer = engine.send(*(seen(number, by=None) for number in numbers)).json()
    assert answer["accepted"] == 0
    assert {one["code"] for one in answer["rejected"]} == {"opted_out"}
    assert engine.client().status().privacy_requests_large == before + 1
    assert f"{before + 1} privacy requests about unusually many ids" in engine.arke("status").stdout
    metrics = request(engine.admin, "GET", "/metrics", headers=bearer(engine, "read")).body
    assert b"arke_privacy_requests_large_total %d.0" % (before + 1) in metrics
    shown = engine.arke("privacy", "show", str(report.number)).stdout
    assert "26 ids suppressed: an unusual number, have a look" in shown
    lines = [json.loads(line) for line in engine.log().splitlines() if "privacy_request_large" in line]
    assert 1 <= len(lines) <= before + 1, "a line a minute at most"
    assert lines[0].keys() == {
        *("component", "event", "level", "request", "spared", "suppressed", "timestamp", "unsaid")
    }
    assert "stranger" not in engine.log()


@pytest.mark.parametrize("count", [1_000, pytest.param(20_000, marks=pytest.mark.soak)])
def test_nobody_is_opted_out_by_an_id(engine: EngineProcess, count: int) -> None:
    """Finding 7: ids by the thousand at the public door, from many addresses: refused, nobody is suppressed.
    With a token the same ids opt out. Each count has strangers and addresses of its own, for both ask the same
    engine, where an address has its turns of a minute.
    """
    numbers = range(20_000 + count, 20_000 + 2 * count)
    parts = [numbers[start : start + A_CALL] for start in range(0, count, A_CALL)]
    targets = [f"/demoptout?d_rtbd=json&{claims(part)}" for part in parts]
    before = engine.client().privacy_list(None)
    for start in range(0, len(targets), 50):
        for answer in calls(
            engine, targets[start : start + 50], {}, f"127.1.{count // 1_000}.{1 + start // 50}"
        ):
            assert [one["code"] for one in answer.json()["errors"]] == [*([302] * A_CALL), 104]
    assert engine.client().privacy_list(None) == before
    engine.accept(*(seen(number, by=None) for number in numbers[:250]))
    assert calls(engine, targets[:1], bearer(engine, "ingest"))[0].headers["x-error"] == "171"
    assert ended(engine).public is False
    assert engine.send(*(seen(number, by=None) for number in numbers[:A_CALL])).json()["accepted"] == 0


def test_one_address_opts_out_so_many_a_minute(engine: EngineProcess) -> None:
    """Finding 7: 60 devices by their UUIDs, which somebody got hold of; the others get 429 and stay, and other
    addresses have turns of their own.
    """
    targets = [f"/demoptout?d_uuid={device(70_000 + number)}" for number in range(80)]
    before = len(engine.client().privacy_list(None))
    answers = calls(engine, targets, {}, "127.0.0.7")
    assert [answer.status for answer in answers] == [200] * 60 + [429] * 20
    assert all(1 <= int(answer.headers["retry-after"]) <= 60 for answer in answers[60:])
    assert calls(engine, targets[:1], {}, "127.0.0.8")[0].status == 200
    assert len(engine.client().privacy_list(None)) == before + 61
    engine.accept(*({"uuid": device(70_000 + number)} for number in range(60, 80)))
    lines = [line for line in engine.log().splitlines() if "opt_outs_over_bound" in line]
    assert len(lines) == 1, "one line, however many there are"


def test_what_other_settings_give(tmp_path: Path, receiver: ReceiverThread) -> None:
    """Finding 10: where pages are listed, an image tag on any other page opts nobody out. Finding 7: Audience
    Manager's way is a setting: what is named is suppressed, and the device it was last linked to.
    """
    settings = '[privacy]\npublic_opt_out = "ids"\nopt_out_origins = ["https://shop.example"]\n'
    engine = started(tmp_path, receiver, settings)
    image = {"Sec-Fetch-Dest": "image", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Site": "cross-site"}
    page = {"Referer": "https://shop.example/"}
    try:
        everybody(engine, receiver, [1, 2, 3], "camera")
        for shown in ({}, {"Referer": "https://evil.example/"}, {"Origin": "null"}):
            (answer,) = calls(engine, ["/demoptout.jpg"], image | cookie(1_003) | shown)
            assert (answer.status, answer.headers["x-error"]) == (403, "0")
            assert "set-cookie" not in answer.headers
        assert engine.client().privacy_list(None) == []
        assert calls(engine, ["/demoptout.jpg"], image | cookie(1_003) | page)[0].status == 200
        assert calls(engine, [f"/demoptout?{claims([1])}"], page)[0].headers["x-error"] == "171"
        ended(engine)
        answer = engine.send(seen(1), seen(1, by=None), {"uuid": device(1_001)}, seen(2), seen(3)).json()
        assert [one["line"] for one in answer["rejected"]] == [1, 2, 3, 5]
        assert [bool(receiver.segments_of(key(number)[1])) for number in (1, 2, 3)] == [False, True, False]
    finally:
        engine.stop()


def opted_out(engine: EngineProcess, receiver: ReceiverThread, number: int) -> PrivacyReport:
    """A stranger who opts out with the own browser."""
    everybody(engine, receiver, [number], "camera")
    assert calls(engine, ["/demoptout"], cookie(1_000 + number))[0].status == 200
    report = ended(engine)
    assert report.suppressed == 1
    assert receiver.segments_of(key(number)[1]) == set()
    assert engine.send(seen(number), seen(number, by=None)).json()["accepted"] == 0
    return report


def audited(engine: EngineProcess) -> list[dict[str, Any]]:
    """The lifts."""
    told = request(engine.admin, "GET", "/v1/audit", headers=bearer(engine, "admin")).json()
    return [entry for entry in told["entries"] if entry["action"] == "privacy_lifted"]


def test_the_way_back_by_a_requests_number(engine: EngineProcess, receiver: ReceiverThread) -> None:
    """Finding 6: the next event is taken, by the same device, and told again, also after a restart; the lift is
    audited. And the device may opt out again.
    """
    number = opted_out(engine, receiver, 81).number
    done = engine.arke("privacy", "lift", "--request", str(number))
    assert (done.returncode, done.stdout) == (0, "2 lifted\n"), done.stderr
    assert "\n  lifted 2" in engine.arke("privacy", "show", str(number)).stdout
    lift = audited(engine)[-1]
    assert (lift["actor"], lift["detail"]) == (
        "local",
        f"request {number}: 2 lifted, 0 kept by other requests",
    )
    engine.stop()
    engine.start()
    everybody(engine, receiver, [81], "camera")
    assert engine.client().explain(device(1_081), None).opted_out is False
    opted_out(engine, receiver, 81)


def test_the_way_back_by_name(engine: EngineProcess, receiver: ReceiverThread) -> None:
    """Finding 6: a device and an id are lifted one by one, and audited without their names."""
    opted_out(engine, receiver, 82)
    done = engine.arke("privacy", "lift", "--uuid", device(1_082), "--json")
    assert done.stdout == '{"lifted":1,"kept":0}\n', done.stderr
    assert engine.send(seen(82)).json()["accepted"] == 0, "its id still is suppressed"
    assert engine.client().privacy_lift(LiftAsk(id=":".join(map(str, key(82))))).lifted == 1
    everybody(engine, receiver, [82], "camera")
    details = [entry["detail"] for entry in audited(engine)[-2:]]
    assert [detail.partition(" ")[0] for detail in details] == ["device", "id"]
    assert all(len(detail.partition(" ")[2]) == 32 for detail in details), "keyed hashes"


def test_what_two_requests_suppress_is_lifted_by_both(
    engine: EngineProcess, receiver: ReceiverThread
) -> None:
    """Finding 6: one lift by number takes back that request alone. A deletion is lifted like an opt-out."""
    everybody(engine, receiver, [83], "camera")
    client = engine.client()
    numbers = []
    for action in ("opt_out", "delete"):
        client.privacy_request(PrivacyAsk(action, id=":".join(map(str, key(83)))), PATIENCE_S)
        numbers.append(ended(engine).number)
    report = client.privacy_lift(LiftAsk(request=numbers[0]))
    assert (report.lifted, report.kept) == (1, 1), "the device, which only the first was about"
    assert engine.send(seen(83)).json()["accepted"] == 0
    assert client.privacy_lift(LiftAsk(request=numbers[1])).lifted == 1
    everybody(engine, receiver, [83], "camera")


def test_a_lift_that_is_wrong_changes_nothing(engine: EngineProcess, receiver: ReceiverThread) -> None:
    """Finding 6: nothing suppressed, an unknown number, wrong use: exit code 2. A request that goes on cannot be
    lifted before it has ended. Over the API it takes the scope `admin`.
    """
    for arguments in ((), ("--request", "1", "--uuid", device(1)), ("--id", f"{DPID}:nobody")):
        assert engine.arke("privacy", "lift", *arguments).returncode == 2, arguments
    client = engine.client()
    for ask in (
        LiftAsk(),
        LiftAsk(uuid="12"),
        LiftAsk(id="no-colon"),
        LiftAsk(uuid=device(1)),
        LiftAsk(request=999_999),
        LiftAsk(request=1 << 62),
    ):
        with pytest.raises(InvalidInput):
            client.privacy_lift(ask)
    everybody(engine, receiver, [84], "camera")
    receiver.misbehave("status=500")
    (open_one,) = client.privacy_request(PrivacyAsk("delete", device(1_084)), 0)
    for ask in (LiftAsk(request=open_one.number), LiftAsk(uuid=device(1_084))):
        with pytest.raises(InvalidInput, match=f"privacy request {open_one.number} is not finished"):
            client.privacy_lift(ask)
    receiver.misbehave()
    client.replay(None)
    ended(engine)
    body = json.dumps({"request": open_one.number}).encode()
    path = "/v1/privacy/lift"
    assert request(engine.admin, "POST", path, body).status == 401
    assert request(engine.admin, "POST", path, body, bearer(engine, "operate")).status == 403
    admin = bearer(engine, "admin")
    for wrong, status in (
        (b"{}", 400),
        (b"[]", 400),
        (b'{"request": "1"}', 400),
        (b'{"request": 1, "more": 2}', 400),
        (b'{"request": -1}', 404),
        (b"\xff", 400),
    ):
        assert request(engine.admin, "POST", path, wrong, admin).status == status
    answer = request(engine.admin, "POST", path, body, admin)
    assert (answer.status, answer.json()) == (200, {"lifted": 2, "kept": 0})
    again = request(engine.admin, "POST", path, body, admin)
    assert (again.status, again.json()["code"]) == (400, "invalid_input")
    engine.accept(seen(84))


def test_without_a_running_engine_a_lift_is_the_same(engine: EngineProcess, receiver: ReceiverThread) -> None:
    """Finding 6: the command works on the store alone."""
    number = opted_out(engine, receiver, 85).number
    engine.stop()
    lift = ("privacy", "lift", "--request", str(number), "--config", str(engine.config))
    assert engine.arke(*lift).stdout == "2 lifted\n"
    assert engine.arke(*lift).returncode == 2
    engine.start()
    everybody(engine, receiver, [85], "camera")
