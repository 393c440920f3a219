"""docs/how-to/warehouse.md, typed in an empty folder: every command does what the page shows."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from e2e.console_page import Desk, steps

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "warehouse.md"
BERLIN = ZoneInfo("Europe/Berlin")


def test_the_page_does_what_it_shows(tmp_path: Path) -> None:
    now = datetime.now(BERLIN)
    due = now.replace(hour=6, minute=30, second=0, microsecond=0)
    if timedelta(minutes=-10) < now - due < timedelta(minutes=1):
        pytest.skip("the batch that the page's catalog schedules is due now, and would come between")
    typed = list(steps(PAGE.read_text(encoding="utf-8")))
    with Desk(tmp_path) as desk:
        for step in typed:
            desk.type(step)
    assert sum(step.command.startswith("arke batch run") for step in typed) >= 3
