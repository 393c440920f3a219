"""docs/guides/first-message.md, and the pages that go on from where it ends, typed one after another."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Final

import pytest

from e2e.console_page import Desk, steps
from servers.process import free_port, install, missing

DOCS: Final = Path(__file__).parents[2] / "docs"
PAGES: Final = (
    "guides/first-message.md",
    "how-to/onboard-a-file.md",
    "how-to/delete-a-user.md",
    "how-to/rotate-a-key.md",
    "how-to/nginx.md",
)
TLS: Final = "9443"
"""The port of the page about nginx."""


GUIDE: Final = "guides/destinations.md"


def have_nginx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/sbin", prepend=":")
    if not shutil.which("nginx"):
        install("nginx-light")
    if not shutil.which("nginx"):
        missing("nginx")


def test_the_guide_for_destinations_does_what_it_shows(tmp_path: Path) -> None:
    text = (DOCS / GUIDE).read_text(encoding="utf-8")
    with Desk(tmp_path) as desk:
        for step in steps(text):
            desk.type(step)
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(compile(block, GUIDE, "exec"), {})  # noqa: S102 - the page's own code


def test_the_pages_do_what_they_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    have_nginx(monkeypatch)
    with Desk(tmp_path, ports={TLS: str(free_port())}) as desk:
        for page in PAGES:
            typed = list(steps((DOCS / page).read_text(encoding="utf-8")))
            assert len(typed) >= 5
            for step in typed:
                desk.type(step)
    assert "left 14356" in (tmp_path / "audience.log").read_text()
