"""A running engine, over HTTP: its Unix socket, or the admin port."""

from __future__ import annotations

import http.client
import socket
import time
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

import msgspec

from arke.api.session import Session
from arke.data_directory import reachable
from arke.errors import EngineUnreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from arke.api.session import Call, Reply

TIMEOUT_S = 300.0


class UnixConnection(http.client.HTTPConnection):
    """HTTP over an engine's Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_S)
        with reachable(self._path) as name:
            self.sock.connect(name)


class HttpSession(Session):
    """Each request has a connection of its own. `where` names the engine in messages."""

    def __init__(
        self, connect: Callable[[], http.client.HTTPConnection], token: str | None, where: str
    ) -> None:
        self._connect = connect
        self._token = token
        self._where = where

    def session(self, *, delivering: bool = False) -> AbstractContextManager[Session]:  # noqa: ARG002
        """There is nothing to open: the engine runs, and delivers."""
        return nullcontext(self)

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)

    @contextmanager
    def send(self, call: Call) -> Iterator[Reply]:
        connection = self._connect()
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        try:
            connection.request(call.route.method, call.target, call.body, headers)
            yield connection.getresponse()
        except msgspec.MsgspecError:
            raise EngineUnreachable(
                f"{self._where}: what answers there is no engine of this version"
            ) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise EngineUnreachable(
                f"{self._where}: no engine answers ({reason.lower()}): see that `arke up` runs there, then ask "
                "again; what had begun goes on from where it was"
            ) from error
        finally:
            connection.close()
