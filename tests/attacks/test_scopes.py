"""Finding 11: what each scope shows of people, over every door of the running program, and what is written down."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec
import pytest

from arke.api.table import callers
from arke.storage.committer import InlineCommitter
from arke.storage.sqlite.directory import SqliteDirectory
from at_once import at_once
from e2e.catalogs import DPID, catalog, destination, device, visit
from e2e.engine_process import EngineProcess, Reply, request
from patience import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from arke.storage.ports.directory import AuditEntry

NOWHERE = "https://127.0.0.1:1/aam"
PEOPLE = ("/v1/explain?uuid=" + device(1), f"/v1/explain?id={DPID}:p1", "/v1/undelivered")
FIGURES = ("/v1/status", "/metrics")
COUNTS = ("/v1/batches",)
WHO_READS = {
    "ingest": (),
    "metrics": FIGURES,
    "read": (*FIGURES, *COUNTS),
    "metrics,ingest": FIGURES,
    "operate": (*FIGURES, *COUNTS, *PEOPLE),
    "admin": (*FIGURES, *COUNTS, *PEOPLE),
}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    """Somebody is owed to a destination that is not there."""
    with EngineProcess(tmp_path_factory.mktemp("engine")) as running:
        running.apply(catalog([destination(423, NOWHERE)]))
        running.accept(visit(1, "camera"))
        wait_until(lambda: next(running.client().undelivered(None), None), "something to be owed")
        yield running


def token(engine: EngineProcess, scope: str) -> tuple[str, dict[str, str]]:
    """A token's id, and its header."""
    made = json.loads(engine.arke("token", "create", "--json", "--scope", scope).stdout)
    return made["id"], {"Authorization": f"Bearer {made['secret']}"}


def get(engine: EngineProcess, path: str, headers: dict[str, str]) -> Reply:
    return request(engine.admin, "GET", path, headers=headers)


def audited(engine: EngineProcess) -> list[AuditEntry]:
    report = engine.client().ask(callers.AUDIT)
    assert report.intact
    return report.entries


def looks(engine: EngineProcess, actor: str) -> list[tuple[str, str]]:
    """What an actor's looks at people are written down as."""
    seen = ("explained", "undelivered_listed")
    found = [one for one in audited(engine) if one.actor == actor and one.action in seen]
    return [(one.action, one.detail) for one in found]


def hashes(engine: EngineProcess, texts: Sequence[str]) -> list[str]:
    """The keyed hashes under which the directory knows these, read beside the engine."""
    directory = SqliteDirectory(engine.data / "directory.db", committer=InlineCommitter())
    try:
        return [directory.hashes.digest(text).hex() for text in texts]
    finally:
        at_once(directory.close())


@pytest.mark.parametrize("scope", WHO_READS)
def test_each_scope_reads_what_it_may_and_people_only_under_operate(
    engine: EngineProcess, scope: str
) -> None:
    """Finding 11: a scraper's token reads figures, and nobody's data; a refusal tells nothing either."""
    _, header = token(engine, scope)
    for path in (*FIGURES, *COUNTS, *PEOPLE):
        answer = get(engine, path, header)
        assert answer.status == (200 if path in WHO_READS[scope] else 403), path
        if path in FIGURES or answer.status == 403:
            assert b"p1" not in answer.body.replace(b"http1", b"")
            assert device(1).encode() not in answer.body
    assert get(engine, "/v1/audit", header).status == (200 if scope == "admin" else 403)


def test_a_look_at_people_is_written_down_by_hash(engine: EngineProcess) -> None:
    """Finding 11: who looked at whom stands in the audit, and whoever reads that learns no id from it."""
    actor, header = token(engine, "operate")
    for path in PEOPLE:
        assert get(engine, path, header).status == 200
    assert get(engine, f"/v1/explain?id={DPID}:stranger", header).json()["known"] is False
    assert get(engine, "/v1/undelivered?destination=423", header).status == 200
    uuid, known, unknown = hashes(engine, (device(1), f"{DPID}:p1", f"{DPID}:stranger"))
    assert looks(engine, actor) == [
        ("explained", uuid),
        ("explained", known),
        ("undelivered_listed", "all destinations"),
        ("explained", unknown),
        ("undelivered_listed", "destination 423"),
    ]
    told = msgspec.json.encode(audited(engine)).decode()
    assert device(1) not in told
    assert "stranger" not in told


def test_privacy_access_is_written_down_by_hash(engine: EngineProcess) -> None:
    """Finding 11: it is a look at people too, and needs admin."""
    _, operator = token(engine, "operate")
    actor, header = token(engine, "admin")
    asked = json.dumps({"id": f"{DPID}:p1"}).encode()
    path = "/v1/privacy/access"
    assert request(engine.admin, "POST", path, asked, operator).status == 403
    assert request(engine.admin, "POST", path, asked, header).status == 200
    (name,) = hashes(engine, (f"{DPID}:p1",))
    (entry,) = (one for one in audited(engine) if one.actor == actor)
    assert (entry.action, entry.detail) == ("privacy_accessed", f"1 persons: {name}")


def test_what_is_refused_shows_and_writes_nothing(engine: EngineProcess) -> None:
    """Finding 11: neither a wrong scope nor a wrong question leaves an entry."""
    actor, header = token(engine, "read")
    operator, may = token(engine, "operate")
    for path in PEOPLE:
        assert get(engine, path, header).status == 403
    assert get(engine, "/v1/explain?uuid=12", may).status == 400
    assert get(engine, "/v1/explain?id=12", may).status == 400
    assert get(engine, "/v1/undelivered?destination=9", may).status == 400
    assert looks(engine, actor) == looks(engine, operator) == []


def test_the_socket_and_commands_are_written_down_as_local(engine: EngineProcess) -> None:
    """Finding 11: the file's permission is the authority there, and the look is recorded all the same; also by a
    command that opens the store itself.
    """
    before = len(looks(engine, "local"))
    assert engine.client().explain(device(1), None).known
    assert engine.arke("undelivered", "list").returncode == 0
    engine.stop()
    try:
        assert engine.arke("explain", "--id", f"{DPID}:p1").returncode == 0
        assert engine.arke("undelivered", "list").returncode == 0
    finally:
        engine.start()
    uuid, known = hashes(engine, (device(1), f"{DPID}:p1"))
    assert looks(engine, "local")[before:] == [
        ("explained", uuid),
        ("undelivered_listed", "all destinations"),
        ("explained", known),
        ("undelivered_listed", "all destinations"),
    ]
