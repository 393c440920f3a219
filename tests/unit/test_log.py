"""A line that anybody can cause is written once a minute, with how many have gone unsaid."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from typing import Any

import pytest
import structlog

from arke.clock import ManualClock
from arke.doors import refusals
from arke.log import QUIET_S, LibraryLines, Throttled, configure_logging, log_level
from process_state import logging_restored


class Lines:
    """A log that keeps its warnings."""

    def __init__(self) -> None:
        self.warnings: list[tuple[str, dict[str, Any]]] = []

    def warning(self, event: str, **facts: Any) -> None:
        self.warnings.append((event, facts))


def test_a_line_a_minute() -> None:
    lines, clock = Lines(), ManualClock(1_000)
    note = Throttled(lines, "refused", clock)
    for _ in range(5):
        note(code="x")
    clock.set(1_000 + QUIET_S)
    note(code="y")
    clock.set(10)  # a clock that is put back silences nothing
    note(code="z")
    assert lines.warnings == [
        ("refused", {"unsaid": 0, "code": "x"}),
        ("refused", {"unsaid": 4, "code": "y"}),
        ("refused", {"unsaid": 0, "code": "z"}),
    ]


WRITES_TWO_LINES = """
from arke.log import configure_logging, get_logger
configure_logging()
for number in range(2):
    get_logger("one").info("line", number=number)
"""


def test_a_line_is_one_write_also_without_buffers() -> None:
    """So that lines of several processes in one file stay whole: a pipe of packets tells writes apart."""
    read, write = os.pipe2(os.O_DIRECT)
    environ = os.environ | {"PYTHONUNBUFFERED": "1"}
    with os.fdopen(write, "wb", buffering=0) as errors:
        subprocess.run([sys.executable, "-c", WRITES_TWO_LINES], stderr=errors, env=environ, check=True)
    with os.fdopen(read, "rb", buffering=0) as packets:
        assert [json.loads(packets.read(65_536))["number"] for _ in range(2)] == [0, 1]
        assert packets.read(65_536) == b""


def test_a_test_that_runs_a_command_leaves_the_log_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    """Else what a library says is told twice in a later test, or a logger writes to a stream that is closed."""
    handlers, settings, level = [*logging.getLogger().handlers], structlog.get_config(), log_level()
    with logging_restored():
        for _ in range(2):
            configure_logging(logging.ERROR)
        added = [one for one in logging.getLogger().handlers if one not in handlers]
        assert [type(one) for one in added] == [LibraryLines]
        refusals.log.error("used meanwhile")
        assert '"used meanwhile"' in capsys.readouterr().err
    assert (logging.getLogger().handlers, structlog.get_config(), log_level()) == (handlers, settings, level)
    with structlog.testing.capture_logs() as lines:
        refusals.log.warning("used since")
    assert [line["event"] for line in lines] == ["used since"]
