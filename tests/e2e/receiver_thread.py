"""A reference destination in this process: the real receiver, on an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Self, TypeVar

from arke.receiver import ReceiverConfig, ReceiverServer
from patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from arke.receiver.http import Record

T = TypeVar("T")


class ReceiverThread:
    """Starts, asks and stops a `ReceiverServer` from the test's thread."""

    def __init__(self, config: ReceiverConfig | None = None) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="receiver", daemon=True)
        self.server = ReceiverServer(config)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.server.start(), self._loop).result(PATIENCE_S)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self.server.stop(), self._loop).result(PATIENCE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        self._loop.close()

    def ask(self, question: Callable[[ReceiverServer], T]) -> T:
        """Run a question in the server's own thread."""

        async def work() -> T:
            return question(self.server)

        return asyncio.run_coroutine_threadsafe(work(), self._loop).result(PATIENCE_S)

    @property
    def url(self) -> str:
        """By name, as a certificate would be checked."""
        return self.ask(lambda server: f"https://localhost:{server.port}{server.config.path}")

    @property
    def token_url(self) -> str:
        return self.ask(lambda server: f"https://localhost:{server.port}/oauth2/token")

    @property
    def ca_file(self) -> Path:
        path = self.ask(lambda server: server.ca_file)
        assert path is not None
        return path

    def misbehave(self, *specifications: str) -> None:
        self.ask(lambda server: server.misbehave(list(specifications)))

    def records(self) -> list[Record]:
        return self.ask(lambda server: list(server.requests))

    def messages(self) -> list[Record]:
        """Requests on the message path, oldest first."""
        return [record for record in self.records() if record.request.path != "/oauth2/token"]

    def segments_of(self, partner_id: str) -> set[str]:
        return self.ask(lambda server: server.state.segments_of(partner_id))
