"""What changes for a person is counted once, at the device that speaks, though the person's home keeps it too."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from e2e.catalogs import TOLD, catalog, device
from e2e.engine_process import OPEN, EngineProcess

if TYPE_CHECKING:
    from pathlib import Path

ACCOUNT = 700


def test_a_change_is_counted_once(tmp_path: Path) -> None:
    value = json.loads(catalog([]))
    value["data_sources"].append({"id": ACCOUNT, "kind": "cross_device"})
    account = {"dpid": ACCOUNT, "id": "somebody", "state": 1}
    with EngineProcess(tmp_path, settings=OPEN) as engine:
        engine.apply(json.dumps(value))
        engine.accept({"ids": [account], "memberships": {str(TOLD): 1}})  # nobody speaks for the person yet
        assert engine.client().status().changes == 1
        engine.accept({"uuid": device(1), "ids": [account]})
        assert engine.client().status().changes == 2  # the device is in it, too
        engine.accept({"ids": [account], "memberships": {str(TOLD): 0}})
        assert engine.client().status().changes == 3
