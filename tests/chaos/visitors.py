"""Visitors that never stop: threads that send events over NDJSON and write down what was acknowledged."""

from __future__ import annotations

import http.client
import random
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import msgspec

from e2e.catalogs import DPID, TOLD, TRAITS, device
from patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable

WORDS = tuple(TRAITS)
DEVICES = 60
MOVES = 0.04
TELLINGS = 0.5
PAUSE_S = 0.002


class Sent(msgspec.Struct):
    """One event as it was sent: a visit at `ts` that saw a word, or a membership that is told.

    `acknowledged` False: its fate is unknown.
    """

    device: int
    partner: str
    word: str = ""
    ts: int = 0
    told: int | None = None
    acknowledged: bool = False

    def event(self) -> dict[str, Any]:
        event: dict[str, Any] = {
            "uuid": device(self.device),
            "ids": [{"dpid": DPID, "id": self.partner}],
        }
        if self.told is not None:
            return event | {"memberships": {str(TOLD): self.told}}
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.ts))
        return event | {"signals": {"c_see": self.word}, "ts": moment}


class Visitor(threading.Thread):
    """One sender with devices of its own, so that their order is known. `where` is the intake, None: down;
    `partners` begins the names of its devices' partner ids, and devices are numbered from `first` on.
    """

    def __init__(
        self,
        number: int,
        seed: int,
        where: Callable[[], str | None],
        base_ts: int,
        *,
        partners: str = "p",
        first: int | None = None,
    ) -> None:
        super().__init__(name=f"visitor-{number}", daemon=True)
        self._random = random.Random(f"{seed}/{number}")
        self._where = where
        self._first = number * DEVICES if first is None else first
        self._partners = partners
        self._next_ts = base_ts + number * 200_000
        self._stop_asked = threading.Event()
        self.sent: list[Sent] = []
        self.acknowledged = 0
        self.refusals: set[int] = set()

    @property
    def devices(self) -> range:
        """The numbers of its devices."""
        return range(self._first, self._first + DEVICES)

    def stop(self) -> None:
        self._stop_asked.set()
        self.join(PATIENCE_S)
        assert not self.is_alive()

    def run(self) -> None:
        while not self._stop_asked.wait(PAUSE_S):
            address = self._where()
            if address is not None:
                with closing(http.client.HTTPConnection(address, timeout=PATIENCE_S)) as connection:
                    self._visit_until_it_breaks(connection, address)

    def _visit_until_it_breaks(self, connection: http.client.HTTPConnection, address: str) -> None:
        try:
            while self._where() == address and not self._stop_asked.wait(PAUSE_S):
                self._send(connection)
        except (OSError, http.client.HTTPException):
            return

    def _send(self, connection: http.client.HTTPConnection) -> None:
        group = [self._visit() for _ in range(self._random.randint(1, 4))]
        self.sent.extend(group)
        connection.request(
            "POST", "/v1/events", b"".join(msgspec.json.encode(one.event()) + b"\n" for one in group)
        )
        response = connection.getresponse()
        receipt = msgspec.json.decode(response.read())
        if response.status != 200:
            self.refusals.add(response.status)
            return
        refused = {rejection["line"] for rejection in receipt["rejected"]}
        for line, one in enumerate(group, 1):
            if line not in refused:
                one.acknowledged = True
                self.acknowledged += 1

    def settle(self, send: Callable[[Sent], None]) -> None:
        """What a sender owes after doubt: ids whose last event was not acknowledged are named once more."""
        last = {one.partner: one for one in self.sent}
        for one in last.values():
            if not one.acknowledged:
                self._next_ts += 1
                again = Sent(one.device, one.partner, self._random.choice(WORDS), self._next_ts)
                self.sent.append(again)
                send(again)
                again.acknowledged = True

    def _visit(self) -> Sent:
        chosen = self._first + self._random.randrange(DEVICES)
        owner = chosen
        if self._random.random() < MOVES:
            owner = self._first + self._random.randrange(DEVICES)
        if self._random.random() < TELLINGS:
            return Sent(chosen, f"{self._partners}{owner}", told=self._random.choice((0, 1)))
        self._next_ts += 1
        return Sent(chosen, f"{self._partners}{owner}", self._random.choice(WORDS), self._next_ts)
