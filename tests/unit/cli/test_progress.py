"""A bar for whoever waits at a terminal, and not a byte elsewhere."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

WORK = """
import sys
from arke.cli.progress import LongWork
with LongWork("counting", quiet=%s) as work:
    work.tell("12 of 40 [lines]", 12, 40)
    with work.put_away():
        print("a result", flush=True)
    work.tell("20 of 40 [lines]", 20, 40)
print("rich" in sys.modules)
"""


def at_a_terminal(quiet: bool, environment: dict[str, str]) -> tuple[str, str]:
    """What goes to stdout, and what the terminal that is stderr gets."""
    ours, theirs = pty.openpty()
    started = subprocess.Popen(
        [sys.executable, "-c", WORK % quiet],
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        env=os.environ | {"TERM": "xterm"} | environment,
    )
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 65_536):
            shown += piece
    except OSError:  # the other side has hung up
        pass
    os.close(ours)
    said, _ = started.communicate()
    assert started.returncode == 0
    return said, shown.decode()


@pytest.mark.parametrize("columns", ["30", "100"])
def test_a_terminal_shows_how_far_it_is(columns: str) -> None:
    said, shown = at_a_terminal(False, {"NO_COLOR": "1", "COLUMNS": columns})
    assert said == "a result\nTrue\n"
    assert "30%" in shown
    assert "50%" in shown
    assert ("20 of 40 [lines]" in shown) == (columns == "100")
    assert "\x1b[3" not in shown  # no colour
    assert shown.endswith("\x1b[2K")  # and it is gone in the end


def test_a_program_that_reads_is_not_disturbed() -> None:
    assert at_a_terminal(True, {}) == ("a result\nFalse\n", "")


def test_no_terminal_gets_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", WORK % False], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("a result\nFalse\n", "")
