"""Finding 15: an end that is cut off the audit is seen, from inside or by what somebody kept."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import apsw
import msgspec
import pytest

from arke.api.table.callers import AUDIT
from e2e.engine_process import EngineProcess, request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[EngineProcess]:
    """With four entries in its audit."""
    with EngineProcess(tmp_path) as started:
        for number in range(4):
            started.client().create_token("read", f"token {number}", None)
        yield started


def audit(engine: EngineProcess) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(engine.client().ask(AUDIT))
    return found


def end(engine: EngineProcess) -> tuple[int, str]:
    known = engine.client().status().audit
    assert known is not None
    return known.entries, known.seal


def logged(engine: EngineProcess, event: str) -> list[tuple[int, str]]:
    lines = [json.loads(line) for line in engine.log().splitlines()]
    return [(line["entries"], line.get("seal", "")) for line in lines if line["event"] == event]


def cut(engine: EngineProcess, *statements: str) -> None:
    """As somebody with the files does it, while nothing runs."""
    engine.stop()
    connection = apsw.Connection(str(engine.data / "directory.db"))
    for statement in statements:
        connection.execute(statement)
    connection.close()
    engine.start()


def test_log_and_status_tell_the_end(engine: EngineProcess) -> None:
    """Finding 15: the same count and seal in the log, in `status` over every way, and at the entry itself."""
    entries = audit(engine)["entries"]
    assert [(entry["number"], entry["seal"]) for entry in entries] == logged(engine, "audited")
    assert end(engine) == (4, entries[-1]["seal"])
    assert f"audit: 4 entries, the last one's seal {entries[-1]['seal']}" in engine.arke("status").stdout
    secret = engine.client().create_token("read", "reader", None).secret
    shown = request(engine.admin, "GET", "/v1/status", None, {"Authorization": f"Bearer {secret}"}).json()
    assert shown["audit"] == {"entries": 5, "seal": audit(engine)["entries"][-1]["seal"]}


def test_an_end_that_is_cut_off_is_seen(engine: EngineProcess) -> None:
    """Finding 15: and stays seen, whatever is added behind the cut; the log says so."""
    cut(engine, "DELETE FROM audit WHERE number > 2")
    assert audit(engine)["intact"] is False
    assert logged(engine, "audit_broken")
    engine.client().create_token("read", "later", None)
    assert audit(engine)["intact"] is False
    assert [entry["number"] for entry in audit(engine)["entries"]] == [1, 2, 5]


def test_whoever_kept_the_end_proves_the_cut(engine: EngineProcess) -> None:
    """Finding 15: a cut with all traces looks whole from inside; count and seal that were kept say otherwise."""
    kept = end(engine)
    cut(engine, "DELETE FROM audit WHERE number > 2", "DELETE FROM meta WHERE key = 'audit_end'")
    assert audit(engine)["intact"] is True
    assert end(engine)[0] < kept[0]
    assert logged(engine, "audit")[-1][0] < logged(engine, "audited")[-1][0]
    for number in range(2):
        engine.client().create_token("read", f"instead {number}", None)
    assert end(engine)[0] == kept[0]
    assert audit(engine)["entries"][kept[0] - 1]["seal"] != kept[1]


def test_a_directory_of_an_earlier_version_opens(engine: EngineProcess) -> None:
    """Earlier versions kept no end: their audit goes on where it was."""
    cut(engine, "DELETE FROM meta WHERE key = 'audit_end'")
    assert (audit(engine)["intact"], end(engine)[0]) == (True, 4)
    engine.client().create_token("read", "later", None)
    assert (audit(engine)["intact"], end(engine)[0]) == (True, 5)
