"""Operators that never stop: batches on command, files, catalog edits and deletions, asked for while the engine
dies and comes back. Each asks again until it is answered, as people and scripts do.
"""

from __future__ import annotations

import random
import threading
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import msgspec

from arke.api import parameters
from arke.api.table import batches, files
from arke.errors import Overloaded, Unavailable
from arke.operations.privacy import PrivacyAsk
from e2e.catalogs import device
from patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from arke.api.client import Client
    from arke.operations.jobs import Receipt, RunFacts

RESYNCS = 0.15
"""The share of runs that tell everything."""
ASK_AGAIN_S = 0.02


class Operator(threading.Thread, ABC):
    """Does `step` again and again, `pause_s` apart. A step that an absent engine cut short is done again."""

    def __init__(self, name: str, client: Callable[[], Client], pause_s: float) -> None:
        super().__init__(name=name, daemon=True)
        self._client = client
        self._pause_s = pause_s
        self._stop_asked = threading.Event()
        self._abandoned = threading.Event()
        self._failure: Exception | None = None

    @abstractmethod
    def step(self, client: Client) -> None:
        """One piece of work; may be repeated. Raises what the client raises."""

    def run(self) -> None:
        try:
            while not self._stop_asked.is_set():
                self._finish_a_step()
                self._stop_asked.wait(self._pause_s)
        except Exception as error:  # noqa: BLE001 - told to whoever stops it
            self._failure = error

    def _finish_a_step(self) -> None:
        """Also when it is to stop: nothing that was asked for may stay in doubt."""
        while True:
            try:
                return self.step(self._client())
            except (Unavailable, Overloaded):
                if self._abandoned.wait(ASK_AGAIN_S):
                    return None

    def abandon(self) -> None:
        """The engine will not come back: leave everything as it is."""
        self._stop_asked.set()
        self._abandoned.set()

    def stop(self) -> None:
        """Raises what the work met that no absent engine explains."""
        self._stop_asked.set()
        self.join(PATIENCE_S)
        assert not self.is_alive()
        if self._failure is not None:
            raise self._failure


class BatchRunner(Operator):
    """Begins runs of one destination, now and then a resync. One that is under way must end first."""

    def __init__(self, client: Callable[[], Client], destination: int, seed: int) -> None:
        super().__init__(f"batches-{destination}", client, 0.3)
        self._random = random.Random(f"{seed}/batches/{destination}")
        self.destination = destination
        self.begun: list[int] = []

    def step(self, client: Client) -> None:
        if self._random.random() < RESYNCS:
            facts = client.ask(batches.RESYNC, parameters.Resync(self.destination))
        else:
            facts = client.ask(batches.RUN_BATCH, parameters.OneDestination(self.destination))
        self.begun.append(facts.number)

    def runs(self, client: Client) -> list[RunFacts]:
        """Every run of the destination, oldest first: also those whose beginning was not answered."""
        newest = max(run.number for one in client.batches() for run in one.runs if self._is_mine(run))
        return [
            client.ask(batches.SHOW_BATCH, parameters.OneBatch(number, self.destination))
            for number in range(1, newest + 1)
        ]

    def _is_mine(self, run: RunFacts) -> bool:
        return run.destination == self.destination


class DataFile(msgspec.Struct):
    """A file that was sent; `ticket` is what it is asked about by. `kept`: it names nobody who may be deleted."""

    path: Path
    kept: bool
    ticket: str = ""


class FileSender(Operator):
    """Sends data files, one after the other, and each until it is taken."""

    def __init__(self, client: Callable[[], Client], files: Iterator[DataFile]) -> None:
        super().__init__("files", client, 0.2)
        self._files = files
        self._next: DataFile | None = None
        self.sent: list[DataFile] = []

    def step(self, client: Client) -> None:
        if self._next is None:
            self._next = next(self._files)
        file = self._next
        with file.path.open("rb") as body:
            file.ticket = client.ask(files.SEND_FILE, parameters.DataFile(file.path.name), body).id or ""
        self.sent.append(file)
        self._next = None

    def receipt(self, client: Client, file: DataFile) -> Receipt | None:
        """None while it is not loaded."""
        return client.ask(files.SHOW_FILE, parameters.OneFile(file.ticket)).receipt


class Editor(Operator):
    """Applies one catalog after the other."""

    def __init__(self, client: Callable[[], Client], folder: Path, catalogs: Iterator[str]) -> None:
        super().__init__("editor", client, 1.0)
        self._path = folder / "edited.yaml"
        self._catalogs = catalogs
        self._next: str | None = None
        self.applied = 0

    def step(self, client: Client) -> None:
        if self._next is None:
            self._next = next(self._catalogs)
        client.apply(self._path, self._next, dry_run=False)
        self.applied += 1
        self._next = None


class Eraser(Operator):
    """Has devices deleted, by UUID and by id, one after the other."""

    def __init__(
        self, client: Callable[[], Client], doomed: Sequence[int], id_of: Callable[[int], str]
    ) -> None:
        super().__init__("eraser", client, 1.0)
        self._left = list(doomed)
        self._id_of = id_of
        self.asked = 0

    def step(self, client: Client) -> None:
        if self._left:
            by_id = self._left[0] % 3 == 0
            self._ask(client, self._left[0], by_id=by_id)
            del self._left[0]

    def delete_everybody(self, client: Client, everybody: Sequence[int]) -> None:
        """Also those who were asked for by an id, which may have been another device's."""
        for number in everybody:
            self._ask(client, number, by_id=False)

    def _ask(self, client: Client, number: int, *, by_id: bool) -> None:
        whom = {"id": self._id_of(number)} if by_id else {"uuid": device(number)}
        client.privacy_request(PrivacyAsk(action="delete", **whom), 0.0)
        self.asked += 1
