"""`arke demo` in front of somebody: it stays, with the console open, until a key is pressed."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import subprocess
import sys
import termios
import time
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from e2e.console_visitor import Visitor
from patience import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path

CTRL_C = b"\x03"
INVITES = "Press any key to end the demo."


class Terminal:
    """A terminal with a program in it."""

    def __init__(self, folder: Path, *arguments: str, own_input: bool = True) -> None:
        self._screen, self._line = pty.openpty()
        self.before = termios.tcgetattr(self._line)
        self._shown = b""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "arke", "demo", "--visitors", "150", *arguments],
            stdin=self._line if own_input else subprocess.DEVNULL,
            stdout=self._line,
            stderr=self._line,
            env={**os.environ, "TMPDIR": str(folder), "COLUMNS": "200", "TERM": "xterm"},
            preexec_fn=self._take,  # noqa: PLW1509 - nothing else runs in this process meanwhile
        )

    def _take(self) -> None:
        os.setsid()
        import fcntl

        fcntl.ioctl(self._line, termios.TIOCSCTTY, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._screen)
        os.close(self._line)

    def read_until(self, text: str) -> str:
        end = time.monotonic() + PATIENCE_S
        while text not in self.shown:
            assert time.monotonic() < end, f"waited for {text!r}:\n{self.shown[-3_000:]}"
            assert self._process.poll() is None or self._readable(), self.shown[-3_000:]
            self._read()
        return self.shown

    @property
    def shown(self) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self._shown.decode(errors="replace"))

    def type(self, keys: bytes) -> None:
        os.write(self._screen, keys)

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    def end(self) -> int:
        """Its exit code, whatever it still has to say."""
        end = time.monotonic() + PATIENCE_S
        while self.runs:
            assert time.monotonic() < end, self.shown[-3_000:]
            self._read()
        return self._process.returncode

    def settings(self) -> list[object]:
        return list(termios.tcgetattr(self._line))

    def _readable(self) -> bool:
        return bool(select.select([self._screen], [], [], 0.1)[0])

    def _read(self) -> None:
        if self._readable():
            with contextlib.suppress(OSError):
                self._shown += os.read(self._screen, 65_536)


def test_it_stays_until_a_key_is_pressed_with_the_console_open(tmp_path: Path) -> None:
    with Terminal(tmp_path) as terminal:
        terminal.read_until("visitors come to the shop")
        terminal.type(CTRL_C)  # enough of them
        shown = terminal.read_until(INVITES)
        assert "It adds up." in shown
        links = re.findall(r"http://127\.0\.0\.1:\d+/console/sign-in\S*", shown)
        link = urlsplit(links[-1])
        visitor = Visitor(link.netloc)
        visitor.get(f"{link.path}?{link.query}")
        page = visitor.get("/console/")
        assert page.status == 200
        assert "Borealis" in page.body.decode()
        assert terminal.runs
        terminal.type(b"q")
        assert terminal.end() == 0
        assert terminal.settings() == list(terminal.before)
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_is_a_key_as_well(tmp_path: Path) -> None:
    with Terminal(tmp_path) as terminal:
        terminal.read_until("visitors come to the shop")
        terminal.type(CTRL_C)
        terminal.read_until(INVITES)
        terminal.type(CTRL_C)
        assert terminal.end() == 0
    assert list(tmp_path.iterdir()) == []


def test_with_a_length_it_ends_by_itself(tmp_path: Path) -> None:
    with Terminal(tmp_path, "--for", "1s") as terminal:
        assert terminal.end() == 0
        assert "It adds up." in terminal.shown
        assert INVITES not in terminal.shown


def test_without_a_keyboard_it_ends_by_itself(tmp_path: Path) -> None:
    with Terminal(tmp_path, own_input=False) as terminal:
        terminal.read_until("visitors come to the shop")
        terminal.type(CTRL_C)
        assert terminal.end() == 0
        assert INVITES not in terminal.shown
