"""Every test of the tour gets an empty stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tour.command_stage import CommandStage
from tour.stage import Stage

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


@pytest.fixture
def scene(tmp_path: Path) -> CommandStage:
    return CommandStage(tmp_path)
