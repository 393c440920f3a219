"""A data directory may lie deeper than the address of a Unix socket can say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.data_directory import MAX_PATH_BYTES
from e2e.engine_process import EngineProcess

if TYPE_CHECKING:
    from pathlib import Path


def test_commands_find_an_engine_whose_folder_has_a_long_name(tmp_path: Path) -> None:
    folder = tmp_path / ("deep" * 30)
    folder.mkdir()
    with EngineProcess(folder) as engine:
        assert len(str(engine.data / "engine.sock")) > MAX_PATH_BYTES
        done = engine.arke("status", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert '"ready":true' in done.stdout
