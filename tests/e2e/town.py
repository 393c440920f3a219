"""A small engine with something of everything: people, messages, refusals, batches, a file, requests, versions."""

from __future__ import annotations

import io
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from arke.api import parameters
from arke.api.table import files, privacy
from arke.operations.privacy import PrivacyAsk
from e2e.catalogs import DPID, catalog, destination, visit
from e2e.engine_process import OPEN, EngineProcess
from e2e.receiver_thread import ReceiverThread
from patience import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

WORDS = ("camera", "lens", "bag")
PEOPLE = 12


class Town:
    """The engine and its one good destination."""

    def __init__(self, engine: EngineProcess, receiver: ReceiverThread) -> None:
        self.engine = engine
        self.receiver = receiver

    def catalog(self, name: str = "Acme DSP") -> str:
        good = destination(1, self.receiver.url, self.receiver.ca_file, name=name)
        gone = destination(2, "https://127.0.0.1:1/gone", name="Gone away", batch=False)
        return catalog([good, gone])

    def fill(self) -> None:
        """Let everything happen once."""
        engine = self.engine
        engine.apply(self.catalog("Acme"))
        engine.apply(self.catalog())
        for number in range(PEOPLE):
            engine.accept(visit(number, WORDS[number % len(WORDS)]))
        wait_until(lambda: self.receiver.segments_of("p0"), "the first message")
        wait_until(lambda: list(engine.client().undelivered(2)), "something to be owed")
        engine.client().run_batch(1, lambda _: None, resync=True)
        engine.client().ask(privacy.REQUEST_PRIVACY, body=PrivacyAsk("delete", id=f"{DPID}:p5"))
        ticket = engine.client().ask(
            files.SEND_FILE, parameters.DataFile(f"ftp_dpm_{DPID}_1777600000.sync"), io.BytesIO(b"p1\tp2\n")
        )
        wait_until(
            lambda: engine.client().ask(files.SHOW_FILE, parameters.OneFile(ticket.id or "")).receipt,
            "the file's receipt",
        )


@contextmanager
def town(folder: Path) -> Iterator[Town]:
    """A town that is filled."""
    with ReceiverThread() as receiver:
        certificates = Path(receiver.ca_file).parent
        settings = f'{OPEN}[secrets]\nfolders = ["{certificates}"]\n'
        with EngineProcess(folder, settings=settings) as engine:
            made = Town(engine, receiver)
            made.fill()
            yield made
