"""One running intake for the tests of this folder; its engine is emptied before each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from integration.intake.engine import RecordingEngine, Server, running

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def running_intake() -> Iterator[tuple[Server, RecordingEngine]]:
    engine = RecordingEngine()
    with running(engine) as server:
        yield server, engine


@pytest.fixture
def engine(running_intake: tuple[Server, RecordingEngine]) -> RecordingEngine:
    running_intake[1].reset()
    return running_intake[1]


@pytest.fixture
def intake(running_intake: tuple[Server, RecordingEngine], engine: RecordingEngine) -> Server:
    return running_intake[0]
