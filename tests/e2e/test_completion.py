"""Tab in a shell, with an engine that runs: ids of its catalog, with names."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from e2e.catalogs import DPID, destination
from e2e.engine_process import ARKE, EngineProcess
from patience import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CATALOG: dict[str, Any] = {
    "traits": [{"id": 1001, "name": "Camera", "rule": "c_a == 1"}],
    "segments": [
        {"id": 10330, "name": "Lenses", "rule": "1001T"},
        {"id": 10440, "name": "Bodies", "rule": "1001T"},
    ],
    "destinations": [
        destination(423, "https://127.0.0.1:9/", name="Acme", segments=[{"segment": 10330}]),
        destination(425, "https://127.0.0.1:9/", name="Best", segments=[{"segment": 10440}]),
        destination(511, "https://127.0.0.1:9/", name="Of 42", segments=[{"segment": 10440}]),
    ],
    "data_sources": [{"id": DPID}],
}


def offered(engine: EngineProcess, line: str) -> str:
    """What fish is told; within half a second, or nothing."""
    return subprocess.run(
        [ARKE],
        capture_output=True,
        text=True,
        cwd=engine.folder,
        env=engine.environ
        | {
            "_ARKE_COMPLETE": "fish_complete",
            "COMP_WORDS": line,
            "COMP_CWORD": line.rpartition(" ")[2],
        },
        check=False,
    ).stdout.replace("plain,", "")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    with EngineProcess(tmp_path_factory.mktemp("engine"), shards=1) as running:
        running.apply(json.dumps(CATALOG))
        yield running


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("reconcile DATA 10", ["10330\tLenses", "10440\tBodies"]),
        ("reconcile DATA 104", ["10440\tBodies"]),
        ("reconcile DATA 10330 ", ["423\tAcme", "425\tBest", "511\tOf 42"]),
        ("reconcile DATA 10330 42", ["423\tAcme", "425\tBest"]),
        ("batch run DATA 423", ["423\tAcme"]),
        ("resync DATA 5", ["511\tOf 42"]),
        ("undelivered list DATA --destination 4", ["423\tAcme", "425\tBest"]),
    ],
)
def test_segments_and_destinations_are_offered_by_id(
    engine: EngineProcess, line: str, found: list[str]
) -> None:
    typed = "arke " + line.replace("DATA", f"--data {engine.data}")
    wait_until(lambda: offered(engine, typed).splitlines() == found, f"{found} for {typed}")


@pytest.mark.parametrize("line", ["reconcile DATA 9", "reconcile DATA 10330 9", "batch run DATA Acme"])
def test_nothing_is_offered_that_does_not_begin_so(engine: EngineProcess, line: str) -> None:
    """What is offered where there is something is waited for first, so that nothing is an answer."""
    asked = f"arke resync --data {engine.data} "
    wait_until(lambda: "423\tAcme" in offered(engine, asked), "the engine to answer in time")
    assert offered(engine, "arke " + line.replace("DATA", f"--data {engine.data}")).strip() == ""


def test_the_environment_says_where_the_engine_is_and_without_one_nothing_is_offered(tmp_path: Path) -> None:
    with EngineProcess(tmp_path, shards=1) as engine:
        engine.apply(json.dumps(CATALOG))
        engine.environ["ARKE_DATA"] = str(engine.data)
        wait_until(lambda: "10330\tLenses" in offered(engine, "arke reconcile 10"), "the environment counts")
        wait_until(lambda: "423\tAcme" in offered(engine, "arke resync 4"), "for destinations, too")
    for line in ("arke reconcile 10", "arke resync 4"):
        assert offered(engine, line).strip() == ""
