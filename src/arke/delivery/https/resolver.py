"""Name resolution by the operating system, isolated so that one slow name cannot delay the others."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress
from typing import Final

MAX_LOOKUPS: Final = 64


class SystemResolver:
    """getaddrinfo on daemon threads: one thread a name at most, and at most `max_lookups` names at once.

    The event loop's own pool has a handful of threads and a stuck lookup cannot be cancelled, so a few dead
    names there would stall every lookup. Here a dead name occupies one thread, and callers asking for it again
    wait for the lookup in flight. Daemon threads never delay the end of the process.
    """

    def __init__(self, max_lookups: int = MAX_LOOKUPS) -> None:
        self._max_lookups = max_lookups
        self._pending: dict[str, asyncio.Future[list[tuple[int, str]]]] = {}

    async def resolve(self, host: str, port: int) -> list[tuple[int, str]]:  # noqa: ARG002 - part of the port
        """The addresses of a name; raises OSError when there are none."""
        lookup = self._pending.get(host)
        if lookup is None:
            if len(self._pending) >= self._max_lookups:
                raise OSError(f"{self._max_lookups} name lookups are already waiting for an answer")
            lookup = self._start(host)
        # Shielded: a caller that gives up must not take the answer from the others.
        return await asyncio.shield(lookup)

    def _start(self, host: str) -> asyncio.Future[list[tuple[int, str]]]:
        loop = asyncio.get_running_loop()
        lookup: asyncio.Future[list[tuple[int, str]]] = loop.create_future()
        self._pending[host] = lookup

        def settle(found: list[tuple[int, str]] | OSError) -> None:
            self._pending.pop(host, None)
            if isinstance(found, OSError):
                lookup.set_exception(found)
                lookup.exception()  # marks it as seen, should every caller have given up
            else:
                lookup.set_result(found)

        def work() -> None:
            found = _look_up(host)
            with suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits any more
                loop.call_soon_threadsafe(settle, found)

        try:
            threading.Thread(target=work, name=f"resolve {host}", daemon=True).start()
        except RuntimeError:
            del self._pending[host]
            raise OSError("the system gives no more threads for name lookups") from None
        return lookup


def _look_up(host: str) -> list[tuple[int, str]] | OSError:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        return error
    except UnicodeError:
        return OSError("the name cannot be looked up")
    return [(int(family), str(address[0])) for family, _, _, _, address in found]
