"""Tab in a shell, with an engine that runs: ids of its catalog, with names."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

from e2e.engine_process import ARKE, EngineProcess
from patience import wait_until

if TYPE_CHECKING:
    from pathlib import Path

CATALOG = {
    "traits": [{"id": 1001, "name": "Camera", "rule": "c_a == 1"}],
    "segments": [
        {"id": 10330, "name": "Lenses", "rule": "1001T"},
        {"id": 10440, "name": "Bodies", "rule": "1001T"},
    ],
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
            "_ARKE_COMPLETE": "complete_fish",
            "_TYPER_COMPLETE_ARGS": line,
            "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        },
        check=False,
    ).stdout


def test_segments_and_destinations_are_offered_by_id(tmp_path: Path) -> None:
    with EngineProcess(tmp_path, shards=1) as engine:
        engine.apply(json.dumps(CATALOG))
        line = f"arke reconcile --data {engine.data} "
        both = "10330\tLenses\n10440\tBodies\n"
        wait_until(lambda: offered(engine, line + "10") == both, "both are offered")
        wait_until(lambda: offered(engine, line + "104") == "10440\tBodies\n", "one is left")
        assert offered(engine, line + "9").strip() == ""
        engine.environ["ARKE_DATA"] = str(engine.data)
        wait_until(lambda: offered(engine, "arke reconcile 10") == both, "the environment counts")
    assert offered(engine, line + "10").strip() == ""
