"""A data directory that somebody removes, or moves away, under a running engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from e2e.catalogs import DPID
from e2e.engine_process import EngineProcess
from patience import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from e2e.engine_process import Reply

CATALOG = f"data_sources: [{{id: {DPID}, name: Shop}}]\n"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[EngineProcess]:
    with EngineProcess(tmp_path) as running:
        running.apply(CATALOG)
        send(running, "before")
        yield running


def send(engine: EngineProcess, name: str) -> Reply:
    return engine.send({"ids": [{"dpid": DPID, "id": name}]})


def test_nothing_is_acknowledged_until_it_is_back(engine: EngineProcess, tmp_path: Path) -> None:
    away = tmp_path / "away"
    engine.data.rename(away)
    refused = send(engine, "meanwhile")
    assert (refused.status, refused.json()["error"]["code"]) == (503, "store_unavailable")
    assert str(engine.data).encode() not in refused.body
    wait_until(lambda: not engine.ready(), "an engine that says it cannot store")
    assert "it was removed or moved away while Arke had it open" in engine.log()
    away.rename(engine.data)
    wait_until(engine.ready, "an engine that goes on by itself")
    assert send(engine, "after").json() == {"accepted": 1, "rejected": []}


def test_an_engine_whose_data_is_gone_ends_as_any_other(engine: EngineProcess, tmp_path: Path) -> None:
    engine.data.rename(tmp_path / "away")
    assert send(engine, "meanwhile").status == 503
    assert engine.stop() == 0
