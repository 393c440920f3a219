"""docs/how-to/back-up.md, typed in an empty folder: what it shows is what happens."""

from __future__ import annotations

from pathlib import Path

from e2e.console_page import Desk, steps

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "back-up.md"


def test_the_page_does_what_it_shows(tmp_path: Path) -> None:
    typed = list(steps(PAGE.read_text(encoding="utf-8")))
    restored = False
    with Desk(tmp_path) as desk:
        for step in typed:
            if step.command.startswith("mv arke-data"):
                desk.stop("arke up")
            desk.type(step)
            restored |= step.command.startswith("arke restore")
    assert restored
