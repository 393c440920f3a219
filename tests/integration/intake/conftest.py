"""One running intake for the tests of this folder; its engine is emptied before each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from arke.intake.settings import IntakeSettings, OptOutSettings
from integration.intake.engine import RecordingEngine, Server, running

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def running_intake() -> Iterator[tuple[Server, RecordingEngine]]:
    engine = RecordingEngine()
    # One address asks for everything here.
    with running(engine, IntakeSettings(opt_outs=OptOutSettings(per_minute=1_000_000))) as server:
        yield server, engine


@pytest.fixture
def engine(running_intake: tuple[Server, RecordingEngine]) -> RecordingEngine:
    running_intake[1].reset()
    return running_intake[1]


@pytest.fixture
def intake(running_intake: tuple[Server, RecordingEngine], engine: RecordingEngine) -> Server:
    return running_intake[0]
