"""What a demo lives in and how long: a folder of its own, and the signals that end it early."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from arke.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def demo_folder(keep: Path | None) -> Iterator[Path]:
    """A folder of the demo's own: temporary, or the one to keep, which must be new or empty."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="arke-demo-") as name:
            yield Path(name)
        return
    try:
        keep.mkdir(mode=0o700, parents=True, exist_ok=True)
        occupied = any(keep.iterdir())
    except OSError as error:
        raise InvalidInput(f"{keep}: cannot be used as a folder: {error.strerror}") from None
    if occupied:
        raise InvalidInput(f"{keep}: this folder is not empty: give --keep a new one")
    yield keep.absolute()


@contextlib.contextmanager
def stop_on_signals() -> Iterator[asyncio.Event]:
    """Set by the first SIGINT or SIGTERM; the second one cancels."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    task = asyncio.current_task()

    def heard() -> None:
        if stop.is_set() and task is not None:
            task.cancel()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, heard)
    try:
        yield stop
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
