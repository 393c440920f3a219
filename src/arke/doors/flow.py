"""What of a connection a request sees, and what waits in it."""

from __future__ import annotations

import array
import fcntl
import termios
from typing import TYPE_CHECKING

from uvicorn.protocols.http.flow_control import FlowControl

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


class HeldFlow(FlowControl):
    """Flow control whose reading stays paused while it is `held`, whoever resumes it."""

    held = False

    def hold(self) -> None:
        self.held = True
        self.pause_reading()

    def release(self) -> None:
        self.held = False
        self.resume_reading()

    def resume_reading(self) -> None:
        if not self.held:
            super().resume_reading()


class Line:
    """The transport as a request sees it. Closing it goes through the connection, which knows what is unread."""

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self.write = transport.write
        self.is_closing = transport.is_closing
        self.close = close


def waiting_bytes(transport: asyncio.Transport) -> int:
    """How many bytes the kernel has of a connection that nobody read yet."""
    number = array.array("i", [0])
    try:
        fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.FIONREAD, number)
    except (OSError, ValueError):  # it is closed
        return 0
    return number[0]
