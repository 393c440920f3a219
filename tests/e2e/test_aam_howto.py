"""docs/how-to/from-audience-manager.md, typed in an empty folder: every command does what the page shows."""

from __future__ import annotations

from pathlib import Path

from e2e.console_page import Desk, steps

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "from-audience-manager.md"


def test_the_page_does_what_it_shows(tmp_path: Path) -> None:
    typed = list(steps(PAGE.read_text(encoding="utf-8")))
    with Desk(tmp_path) as desk:
        for step in typed:
            desk.type(step)
    assert sum(step.command.startswith("arke ") for step in typed) == 7
