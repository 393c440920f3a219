"""An engine's data directory moves into a cluster, which goes on as if nothing had happened."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from arke.api.table.callers import AUDIT
from arke.cluster.moving_in import MovedIn
from arke.receiver import parse
from cluster.world import SHARDS, World
from e2e.catalogs import DPID, IN_MARKET, LENSES, STILL_LOOKING, TOLD, catalog, destination, device, visit
from e2e.engine_process import EngineProcess, request
from e2e.receiver_thread import ReceiverThread
from patience import wait_until
from servers.postgres import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from arke.api.client import Client
    from arke.operations.explain import Explanation
    from cluster.world import NodeProcess

AT_ONCE, DOWN, NIGHTLY = 1, 2, 3
ACCOUNT, COOKIES = 700, 88
ONBOARDED = 1_900
VISITORS = 24
DELETED, OPTED_OUT, LIFTED, TO_BE_DELETED = 20, 21, 22, 19
BEFORE, AFTER = device(100), device(101)
EVERYBODY = [*map(device, range(VISITORS)), BEFORE, AFTER]
IDS = [f"{DPID}:p{number}" for number in range(VISITORS)] + [f"{DPID}:mover", f"{ACCOUNT}:somebody"]


class Partners:
    """One destination that answers, one that is down, one that takes batches alone."""

    def __init__(self) -> None:
        self.by_number = {number: ReceiverThread() for number in (AT_ONCE, DOWN, NIGHTLY)}

    def catalog(self, note: str) -> str:
        """The same but for a name, so that each is a version."""
        rows = [
            destination(number, one.url, one.ca_file, name=f"{number} {note}", realtime=number != NIGHTLY)
            for number, one in self.by_number.items()
        ]
        value = json.loads(catalog(rows))
        value["data_sources"] += [{"id": ACCOUNT, "kind": "cross_device"}]
        value["traits"].append({"id": ONBOARDED, "kind": "onboarded", "data_source": DPID})
        value["segments"].append({"id": ONBOARDED, "rule": f"{ONBOARDED}T"})
        return json.dumps(value)

    def told(self, number: int) -> list[tuple[str, tuple[tuple[str, bool], ...]]]:
        """What a destination took so far: id and segments with their statuses, in the order of arrival."""
        return [
            (user.partner_id, tuple((segment.segment_id, segment.active) for segment in user.segments))
            for record in self.by_number[number].messages()
            if record.status == 200
            for user in parse(record.request.body).users
        ]


@pytest.fixture
def partners() -> Iterator[Partners]:
    some = Partners()
    for one in some.by_number.values():
        one.__enter__()
    yield some
    for one in some.by_number.values():
        one.__exit__()


def live(engine: EngineProcess, partners: Partners) -> None:
    """All that an engine can have been through."""
    for version in ("first", "second", "third"):
        engine.apply(partners.catalog(version))
    client = engine.client()
    gone = (DELETED, OPTED_OUT, LIFTED)
    engine.accept(*(visit(n, "camera") for n in gone))
    wait_until(lambda: quiet(client), "those to be told of who go")
    for action, number in zip(("delete", "opt-out", "delete"), gone, strict=True):
        assert client.status().ready
        done = engine.arke("privacy", action, "--uuid", device(number))
        assert done.returncode == 0, done.stderr
    assert engine.arke("privacy", "lift", "--uuid", device(LIFTED)).returncode == 0
    assert engine.arke("privacy", "lift", "--id", f"{DPID}:p{LIFTED}").returncode == 0
    partners.by_number[DOWN].misbehave("status=500")
    engine.accept(*(visit(n, "camera", event_id=f"e{n}") for n in range(VISITORS) if n not in gone))
    engine.accept(visit(100, "camera", partner="mover"), visit(101, "lens", partner="mover"))
    account = {"dpid": ACCOUNT, "id": "somebody", "state": 1}
    engine.accept({"ids": [account], "memberships": {str(TOLD): 1}})
    engine.accept({"uuid": device(5), "ids": [account]})
    assert client.run_batch(NIGHTLY, lambda _: None, resync=False).acknowledged
    file = engine.folder / f"ftp_dpm_{DPID}_1777600000.sync"
    file.write_text(f"p7\td_sid={ONBOARDED}\n")
    assert engine.arke("onboard", str(file)).returncode == 0
    engine.accept(visit(3, "bag"), visit(4, "lens"))
    wait_until(lambda: quiet(client), "what can be told to be told")
    begun = engine.arke("privacy", "delete", "--uuid", device(TO_BE_DELETED), "--wait", "0.5")
    assert begun.returncode == 1, begun.stdout
    engine.accept(visit(8, "lens"), visit(9, "bag"))
    wait_until(lambda: quiet(client), "the rest to be told")


def quiet(client: Client) -> bool:
    """Whether nothing is under way to those that answer."""
    return not any(row.backlog for row in client.status().destinations if row.id != DOWN)


def known(client: Client) -> dict[str, Explanation]:
    """Everybody, without what goes on with the destination that is down."""
    found = {uuid: client.explain(uuid, None) for uuid in EVERYBODY}
    found |= {text: client.explain(None, text) for text in IDS}
    return {
        asked: msgspec.structs.replace(
            one,
            destinations=[side for side in one.destinations if side.id != DOWN],
            timeline=msgspec.structs.replace(
                one.timeline,
                moments=[moment for moment in one.timeline.moments if moment.destination != DOWN],
            ),
        )
        for asked, one in found.items()
    }


def books(client: Client) -> dict[str, Any]:
    """What belongs to nobody's device."""
    audit = client.ask(AUDIT)
    assert audit.intact
    return {
        "tokens": client.list_tokens(),
        "privacy": [  # where else something may be kept is another matter in a cluster
            msgspec.structs.replace(one, elsewhere=[]) for one in client.privacy_list(None)
        ],
        "batches": [(one.destination, one.runs) for one in client.batches()],
        "audit": [(entry.number, entry.action, entry.seal) for entry in audit.entries],
        "catalog": client.status().catalog_version,
    }


def content(data: Path) -> dict[str, tuple[bytes, int, int]]:
    return {
        str(path.relative_to(data)): (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_mode)
        for path in sorted(data.rglob("*"))
        if path.is_file()
    }


def test_everything_told_stays_told(tmp_path: Path, partners: Partners) -> None:
    (tmp_path / "engine").mkdir()
    with EngineProcess(tmp_path / "engine", shards=2) as engine:
        secret = engine.client().create_token("ingest", "collector", None).secret
        live(engine, partners)
        people = known(engine.client())
        owed = {(one.uuid, *one.ids) for one in engine.client().undelivered(DOWN)}
        other = books(engine.client())
    assert owed
    assert not people[device(DELETED)].known
    assert people[device(OPTED_OUT)].opted_out
    told = {number: partners.told(number) for number in partners.by_number}
    before = content(engine.data)
    with World(tmp_path, KINDS[0]) as world:
        done = world.arke(
            "cluster", "import", "--data", str(engine.data), "--config", str(world.config), "--json"
        )
        assert done.returncode == 0, done.stderr
        assert content(engine.data) == before
        moved = msgspec.json.decode(done.stdout, type=MovedIn)
        assert (moved.shards, moved.cluster_shards) == (2, SHARDS)
        admin, intake = world.node("admin"), world.node("intake")
        world.node("worker")
        world.node("worker")
        wait_until(lambda: world.owned() == SHARDS, "all shards to be owned")
        client = world.client(admin)
        assert books(client) == other
        assert known(client) == people
        assert {(one.uuid, *one.ids) for one in client.undelivered(DOWN)} == owed
        told_what_it_had_not_been(partners, client, told)
        goes_on(partners, client, intake, told, secret)


def told_what_it_had_not_been(partners: Partners, client: Client, told: dict[int, list[Any]]) -> None:
    """The one that was down hears the newest state of each id, once; the others hear nothing."""
    partners.by_number[DOWN].misbehave()
    client.replay(DOWN)
    wait_until(
        lambda: not any(one.owed or one.backlog for one in client.status().destinations), "nothing to be owed"
    )
    wait_until(lambda: all(one.state == "done" for one in client.privacy_list(None)), "the request to end")
    late = partners.told(DOWN)[len(told[DOWN]) :]
    assert len({user for user, _ in late}) == len(late)
    entered = {user: {alias for alias, active in segments if active} for user, segments in late}
    assert {user: aliases for user, aliases in entered.items() if aliases} == {
        user: segments
        for user in [f"p{n}" for n in range(VISITORS)] + ["mover"]
        if (segments := partners.by_number[AT_ONCE].segments_of(user))
    }
    assert partners.told(AT_ONCE) == told[AT_ONCE]
    assert partners.told(NIGHTLY) == told[NIGHTLY]


def goes_on(
    partners: Partners, client: Client, intake: NodeProcess, told: dict[int, list[Any]], secret: str
) -> None:
    """Events, batches, moves and suppression, as if nothing had happened."""

    def send(*events: dict[str, Any]) -> dict[str, Any]:
        lines = b"".join(msgspec.json.encode(event) + b"\n" for event in events)
        headers = {"Authorization": f"Bearer {secret}"}
        answer = request(intake.doors["intake"], "POST", "/v1/events", lines, headers)
        assert answer.status == 200
        found: dict[str, Any] = answer.json()
        return found

    assert send(visit(DELETED, "camera"))["rejected"][0]["code"] == "opted_out"
    assert send(visit(OPTED_OUT, "camera"))["rejected"][0]["code"] == "opted_out"
    counted = client.explain(device(2), None).traits
    assert send(visit(2, "camera", event_id="e2"))["accepted"] == 1  # as before: it changes nothing
    assert send(visit(1, "bag"), visit(LIFTED, "lens"), visit(102, "bag", partner="mover"))["accepted"] == 3
    at_once = partners.by_number[AT_ONCE]
    wait_until(lambda: at_once.segments_of("p1") == {str(IN_MARKET)}, "one segment to be left")
    wait_until(lambda: at_once.segments_of(f"p{LIFTED}") == {str(LENSES)}, "one who may be told of again")
    wait_until(lambda: at_once.segments_of("mover") == set(), "the id's new device")
    assert client.explain(None, f"{DPID}:mover").uuid == device(102)
    assert client.explain(device(2), None).traits == counted
    wait_until(lambda: not any(one.backlog for one in client.status().destinations), "all to be told")
    run = client.run_batch(NIGHTLY, lambda _: None, resync=False)
    assert (run.mode, run.number) == ("changes", 2)
    news = dict(partners.told(NIGHTLY)[len(told[NIGHTLY]) :])
    assert news["p1"] == ((str(STILL_LOOKING), False),)
    assert news["p3"] == ((str(STILL_LOOKING), False),)
    assert news["p4"] == ((str(LENSES), True),)
    assert "p0" not in news
