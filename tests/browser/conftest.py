"""An engine that has something to show, and a browser that looks at it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from browser.chromium import chromium
from e2e.catalogs import DPID, catalog, destination, device, visit
from e2e.engine_process import OPEN, EngineProcess
from e2e.receiver_thread import ReceiverThread
from patience import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

PEOPLE = 40
WORDS = ("camera", "lens", "bag")
FINE, AWAY, DAILY = 1, 2, 3
HOSTILE = '<script>alert(1)</script> "quoted" & \u05e2\u05d1\u05e8\u05d9\u05ea ' + "W" * 200


class World:
    """An engine with people, one destination that answers, one that is away, and one that waits for its batch."""

    def __init__(self, engine: EngineProcess, receiver: ReceiverThread) -> None:
        self.engine = engine
        self.receiver = receiver

    @property
    def address(self) -> str:
        return self.engine.admin

    def link(self, *more: str) -> str:
        """One that signs in, without the host."""
        done = self.engine.arke("console", *more)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip().removeprefix(f"http://{self.address}")


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    with (
        ReceiverThread() as receiver,
        EngineProcess(folder, settings=OPEN) as engine,
    ):
        engine.apply(
            catalog(
                [
                    destination(FINE, receiver.url, receiver.ca_file),
                    destination(AWAY, "https://localhost:1/x", receiver.ca_file, name=HOSTILE),
                    destination(
                        DAILY,
                        receiver.url,
                        receiver.ca_file,
                        realtime=False,
                        batch={"every": "24h", "at": "02:00"},
                    ),
                ]
            )
        )
        engine.accept(*(visit(n, WORDS[n % 3], WORDS[n % 2]) for n in range(PEOPLE)))
        (folder / "12345_people.csv").write_text("id,traits\np1,1000\n")
        client = engine.client()
        rows = {FINE: 0}
        wait_until(
            lambda: all(
                row.backlog == rows[row.id] for row in client.status().destinations if row.id in rows
            ),
            "what can be told to be told",
        )
        wait_until(
            lambda: any(row.id == AWAY and row.owed for row in client.status().destinations),
            "what cannot to be owed",
        )
        yield World(engine, receiver)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """For one module at a time: its event loop runs for as long as it is there."""
    with chromium() as browser:
        yield browser


__all__ = ["DPID", "device"]
