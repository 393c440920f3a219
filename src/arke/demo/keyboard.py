"""One key, pressed on this terminal."""

from __future__ import annotations

import asyncio
import os
import sys
import termios
import tty
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY_BYTES: Final = 64
"""More than any key sends."""


async def key_or(stop: asyncio.Event) -> None:
    """Wait for a key on standard input, its end, or for `stop`. What was typed before is no answer."""
    loop, keyboard = asyncio.get_running_loop(), sys.stdin.fileno()
    pressed = asyncio.Event()
    with _unbuffered(keyboard):
        loop.add_reader(keyboard, pressed.set)
        waits = [asyncio.ensure_future(one.wait()) for one in (pressed, stop)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            loop.remove_reader(keyboard)
            for wait in waits:
                wait.cancel()
        if pressed.is_set():
            os.read(keyboard, KEY_BYTES)


@contextmanager
def _unbuffered(terminal: int) -> Iterator[None]:
    """Keys come as they are pressed and are not shown; Ctrl-C stays a signal."""
    before = termios.tcgetattr(terminal)
    tty.setcbreak(terminal, termios.TCSAFLUSH)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
