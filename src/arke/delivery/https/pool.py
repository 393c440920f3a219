"""The pool of idle connections: last in, first out, bounded, and emptied as connections age or die."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import ssl
    from collections.abc import Hashable

    from arke.delivery.https.connection import Connection

IDLE_TIMEOUT_S: Final = 15.0
MAX_IDLE: Final = 1024
_SWEEP_S = 1.0
_KEEP_ALIVE_TIMEOUT = re.compile(rb"(?:^|[,;\s])timeout\s*=\s*\"?([0-9]{1,6})", re.IGNORECASE)


class Pool:
    """Idle connections by key (host, port, TLS profile).

    The most recently used connection is taken first, so that after a peak the surplus ages and is closed. When
    there are more than `max_idle` in all, the connection that has been idle for longest is closed.
    """

    def __init__(self, *, idle_timeout_s: float = IDLE_TIMEOUT_S, max_idle: int = MAX_IDLE) -> None:
        self._idle_timeout_s = idle_timeout_s
        self._max_idle = max_idle
        self._stacks: dict[Hashable, list[Connection]] = {}
        self._keys: dict[Connection, Hashable] = {}  # in the order in which they became idle
        self._sweep: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._keys)

    def take(self, key: Hashable, context: ssl.SSLContext, now: float) -> Connection | None:
        """An open connection made with this context, or None; others met on the way are closed."""
        stack = self._stacks.get(key)
        while stack:
            connection = stack.pop()
            del self._keys[connection]
            if connection.open and connection.context is context and now < connection.idle_until:
                return connection
            connection.close()
        return None

    def put(self, key: Hashable, connection: Connection, keep_alive: bytes | None, now: float) -> None:
        """Keep a connection for later; `keep_alive` is the server's Keep-Alive header, if any."""
        lifetime_s = self._idle_timeout_s
        if keep_alive is not None:
            lifetime_s = min(lifetime_s, _server_timeout_s(keep_alive, lifetime_s))
        connection.idle_until = now + lifetime_s
        if lifetime_s <= 0 or self._max_idle <= 0:
            connection.close()
            return
        self._keys[connection] = key
        self._stacks.setdefault(key, []).append(connection)
        if len(self._keys) > self._max_idle:
            oldest = next(iter(self._keys))
            self.discard(oldest)
            oldest.close()
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(_SWEEP_S, self._close_aged)

    def discard(self, connection: Connection) -> None:
        """Remove a connection from the pool, where it may not be."""
        key = self._keys.pop(connection, None)
        if key is None:
            return
        stack = self._stacks[key]
        stack.remove(connection)
        if not stack:
            del self._stacks[key]

    def close(self) -> None:
        """Empty the pool; the client closes the connections."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        self._stacks.clear()
        self._keys.clear()

    def _close_aged(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in [c for c in self._keys if c.idle_until <= now]:
            self.discard(connection)
            connection.close()
        self._sweep = loop.call_later(_SWEEP_S, self._close_aged) if self._keys else None


def _server_timeout_s(keep_alive: bytes, default_s: float) -> float:
    """The server's idle limit less a margin, so that we close the connection before the server does."""
    match = _KEEP_ALIVE_TIMEOUT.search(keep_alive)
    if match is None:
        return default_s
    limit_s = float(match[1])
    return max(limit_s - 1.0, limit_s / 2)
