"""An engine under kill -9, its visitors, and its destinations; what happens besides is a subclass's."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import ExitStack, suppress
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, ClassVar

from arke.receiver import ReceiverConfig
from chaos import verdict
from chaos.visitors import Visitor
from e2e.catalogs import destination
from e2e.engine_process import EngineProcess
from e2e.receiver_thread import ReceiverThread
from patience import wait_until

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from arke.api.client import Client
    from chaos.visitors import Sent

FAULTS = ("status=500:p0.08", "reset:p0.04", "close:p0.04")
VISITORS = 3
SHARDS = 2
LONGEST_LIFE_S = 0.35
EVENTS_A_LIFE = 30
MOST = 4
"""Times as many kills as were asked for, while not enough has happened."""


class Storm:
    """`rage` kills and then judges. `OPTIONS` are the destinations with what is special about each; `FAILING`
    are those that fail now and then while it lasts.
    """

    OPTIONS: ClassVar[dict[int, dict[str, Any]]]
    FAILING: ClassVar[tuple[int, ...]]

    def __init__(self, folder: Path, *, seed: int) -> None:
        print(f"seed {seed}")
        self.folder = folder
        self.random = random.Random(seed)
        self.engine = EngineProcess(folder, shards=SHARDS, environ={"WEBHOOK": "chaos-key"})
        self.receivers: dict[int, ReceiverThread] = {}
        self._killed = 0
        self._deaths = 0
        self._open_to: str | None = None
        self._base_ts = int(time.time()) - 20 * 86_400
        self._seed = seed
        self.visitors = [self.visitor(number) for number in range(VISITORS)]

    def visitor(self, number: int, *, partners: str = "p", first: int | None = None) -> Visitor:
        return Visitor(
            number, self._seed, lambda: self._open_to, self._base_ts, partners=partners, first=first
        )

    @property
    def client(self) -> Client:
        return self.engine.client()

    # --- what a storm is made of ------------------------------------------------------------------------

    def catalog(self) -> str:
        """The catalog to start with."""
        raise NotImplementedError

    def begin(self) -> None:
        """The catalog is in force, and killing is about to start."""
        for visitor in self.visitors:
            visitor.start()

    def calm(self) -> None:
        """Killing and faults are over; the engine runs, and everybody stops."""
        for visitor in self.visitors:
            visitor.stop()
        # The engine may not have noticed yet that the last one it lost is gone.
        wait_until(lambda: self._killed not in self.engine.workers(), "the last death to be noticed")
        wait_until(self.engine.ready, "the shards to be back")
        for visitor in self.visitors:
            visitor.settle(lambda one: wait_until(partial(self._taken, one), "an event to be taken"))

    def _taken(self, one: Sent) -> bool:
        """As a sender does: what is refused for now is sent again."""
        reply = self.engine.send(one.event())
        assert reply.status in (200, 429, 503), reply
        return bool(reply.status == 200 and reply.json()["accepted"] == 1)

    def enough(self) -> bool:
        """Whether all that is to be killed in the middle of has happened often enough."""
        return True

    def judge(self, kills: int) -> None:
        """The engine has stopped."""
        raise NotImplementedError

    # --- its course -------------------------------------------------------------------------------------

    def rage(self, *, kills: int) -> None:
        with ExitStack() as stack:
            for number in self.OPTIONS:
                self.receivers[number] = stack.enter_context(
                    ReceiverThread(ReceiverConfig(kept_requests=1_000_000))
                )
            stack.callback(self.stop)
            self._start()
            self.engine.apply(self.catalog())
            for number in self.FAILING:
                self.receivers[number].misbehave(*FAULTS)
            self.begin()
            for number in count():
                if number >= kills and (self.enough() or number >= MOST * kills):
                    break
                self._kill()
            for number in self.FAILING:
                self.receivers[number].misbehave()
            self.calm()
            assert self.engine.stop() == 0
            self.judge(kills)

    def destinations(self) -> list[dict[str, Any]]:
        """As the catalog has them. One user a message, so that a message's id names one person."""
        return [
            destination(
                number,
                self.receivers[number].url,
                self.receivers[number].ca_file,
                max_users_per_request=1,
                standard_webhooks={"key": "env:WEBHOOK"},
                **options,
            )
            for number, options in self.OPTIONS.items()
        ]

    def _start(self) -> None:
        self.engine.start()
        self._open_to = self.engine.intake

    def stop(self) -> None:
        """However it went: nothing is left running."""
        self._open_to = None
        if self.engine.running:
            self.engine.stop()

    def _kill(self) -> None:
        """Let it live for a random while with at least one more event acknowledged, then kill something. However
        slow the machine is, a life has so many events on average.
        """
        at_least = max(self.acknowledged(), EVENTS_A_LIFE * self._deaths)
        self._deaths += 1
        wait_until(lambda: self.acknowledged() > at_least, "events to be acknowledged")
        time.sleep(self.random.uniform(0, LONGEST_LIFE_S))  # the moment of death is the test's input
        victim = self.random.choice(("shard", "shard", "engine", "everything"))
        if victim == "shard":
            workers = self.engine.workers()
            if workers:
                self._killed = self.random.choice(workers)
                with suppress(ProcessLookupError):  # the one that was killed before, and is reaped just now
                    os.kill(self._killed, signal.SIGKILL)
            return
        self._open_to = None
        if victim == "engine":
            self.engine.kill_engine_only()
        else:
            self.engine.kill()
        self._start()

    def acknowledged(self) -> int:
        return sum(visitor.acknowledged for visitor in self.visitors)

    def deliver_everything(self) -> None:
        """Faults are over: what is owed is replayed until nothing is."""
        wait_until(lambda: verdict.ids_on_their_way(self.engine.data) == 0, "ids to arrive")
        wait_until(self.engine.delivered, "everything to be delivered")
