"""Whoever waits long for an engine is told that he waits."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest

from arke.api import reach
from arke.api.session import Call
from arke.api.table.callers import LIST_TOKENS
from patience import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def listener(tmp_path: Path) -> socket.socket:
    """An engine that takes requests and does not answer, as one that is stopped."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(str(reach.engine_socket(tmp_path)))
    server.listen()
    return server


@pytest.mark.parametrize("sent", [0, 1 << 24])
def test_who_waits_is_told_and_goes_on_waiting(
    listener: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: int
) -> None:
    """Also whoever waits for a body to be taken that no socket has room for."""
    monkeypatch.setattr(reach, "PATIENCE_S", 0.01)
    told, said = threading.Event(), list[str]()

    def hear(text: str) -> None:
        said.append(text)
        told.set()

    def answer() -> None:
        asker, _ = listener.accept()
        with listener, asker, asker.makefile("rb") as read:
            assert told.wait(PATIENCE_S)
            while read.readline() != b"\r\n":
                pass
            read.read(sent)
            asker.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]")

    engine = threading.Thread(target=answer)
    engine.start()
    socket_file = reach.engine_socket(tmp_path)
    session = reach.over_socket(socket_file, waits=hear)
    with session.send(Call(LIST_TOKENS, LIST_TOKENS.parameters(), b"x" * sent)) as reply:
        assert reply.read() == b"[]"
    engine.join()
    assert said == [f"{socket_file}: no answer for 0 s; it is waited for, 300 s at most"]
