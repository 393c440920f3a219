"""Somebody who watches what passes, over the admin API."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from typing import Self

import msgspec

from arke.operations.live import LiveEntry
from patience import PATIENCE_S


class LiveWatcher:
    """Reads `/v1/live` in a thread, as whoever has a token."""

    def __init__(self, admin: str, token: str, seconds: int = 600) -> None:
        self.entries: list[LiveEntry] = []
        self.status = 0
        self._connection = http.client.HTTPConnection(admin, timeout=PATIENCE_S)
        self._target = f"/v1/live?seconds={seconds}"
        self._token = token
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):  # it is closed under us
            self._connection.request("GET", self._target, headers={"Authorization": f"Bearer {self._token}"})
            with self._connection.getresponse() as reply:
                self.status = reply.status
                for line in reply if reply.status == 200 else ():
                    self.entries.append(msgspec.json.decode(line, type=LiveEntry))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Go away, as a browser does."""
        if self._connection.sock is not None:
            self._connection.sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(PATIENCE_S)
        self._connection.close()

    def kinds(self) -> set[str]:
        return {entry.kind for entry in self.entries}
