"""The system resolver: names that hang stay alone."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest

from arke.delivery.https.dialer import SystemResolver
from patience import PATIENCE_S


def test_a_hanging_name_takes_one_thread_and_delays_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many callers of a dead name share one lookup; another name is answered meanwhile."""
    release = threading.Event()
    asked: list[str] = []

    def lookup(host: str, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        if host == "dead.test":
            release.wait(PATIENCE_S)
            raise socket.gaierror(socket.EAI_AGAIN, "try again")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("198.51.100.7", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)

    async def main() -> None:
        resolver = SystemResolver(max_lookups=2)
        waiting = [asyncio.create_task(resolver.resolve("dead.test", 443)) for _ in range(20)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        assert await resolver.resolve("live.test", 443) == [(socket.AF_INET, "198.51.100.7")]
        release.set()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)
        assert all(isinstance(result, socket.gaierror) for result in results[1:])
        assert asked.count("dead.test") == 1

    asyncio.run(main())


def test_the_number_of_lookups_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound a lookup fails at once instead of piling up threads."""
    release = threading.Event()

    def lookup(*_: Any, **__: Any) -> list[Any]:
        release.wait(PATIENCE_S)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", lookup)

    async def main() -> None:
        resolver = SystemResolver(max_lookups=1)
        waiting = asyncio.create_task(resolver.resolve("dead.test", 443))
        await asyncio.sleep(0)
        with pytest.raises(OSError, match="already waiting"):
            await resolver.resolve("other.test", 443)
        release.set()
        assert await waiting == []

    asyncio.run(main())
