"""kill -9 at random moments, of the engine, of a shard, of both: nothing acknowledged is ever lost (QUALITY 1).

Events flow in all the while; one destination is well, the other fails now and then. Afterwards every
acknowledged event is found in its device's profile, everything is delivered or owed, and once what is owed was
replayed, each destination was last told exactly what the engine believes (QUALITY 11).
"""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from arke.receiver import ReceiverConfig
from chaos import verdict
from chaos.visitors import Visitor
from e2e.catalogs import IN_MARKET, LENSES, STILL_LOOKING, TOLD, catalog, destination, device
from e2e.engine_process import EngineProcess, wait_until
from e2e.receiver_thread import ReceiverThread

if TYPE_CHECKING:
    from pathlib import Path

ALIASES = {number: str(number) for number in (IN_MARKET, LENSES, STILL_LOOKING, TOLD)}
WELL, FAILING = 1, 2
FAULTS = ("status=500:p0.08", "reset:p0.04", "close:p0.04")
VISITORS = 3
SHARDS = 2
LONGEST_LIFE_S = 0.35
IN_FLIGHT_A_LANE = 16


def test_a_hundred_kills(tmp_path: Path) -> None:
    """100 kills: no acknowledged event lost, no change neither delivered nor owed, few duplicates."""
    Storm(tmp_path, seed=random.randrange(1 << 32)).rage(kills=100)


@pytest.mark.soak
def test_a_thousand_kills(tmp_path: Path) -> None:
    """The long run."""
    Storm(tmp_path, seed=random.randrange(1 << 32)).rage(kills=1_000)


class Storm:
    """One engine, its visitors and destinations, and whoever kills it."""

    def __init__(self, folder: Path, *, seed: int) -> None:
        print(f"seed {seed}")
        self._random = random.Random(seed)
        self._engine = EngineProcess(folder, shards=SHARDS, environ={"WEBHOOK": "chaos-key"})
        self._open_to: str | None = None
        base_ts = int(time.time()) - 20 * 86_400
        self._visitors = [Visitor(n, seed, lambda: self._open_to, base_ts) for n in range(VISITORS)]

    def rage(self, *, kills: int) -> None:
        config = ReceiverConfig(kept_requests=1_000_000)
        with ExitStack() as stack:
            well = stack.enter_context(ReceiverThread(config))
            failing = stack.enter_context(ReceiverThread(config))
            stack.callback(self._stop)
            self._start()
            self._engine.apply(self._catalog(well, failing))
            failing.misbehave(*FAULTS)
            for visitor in self._visitors:
                visitor.start()
            for _ in range(kills):
                self._kill()
            for visitor in self._visitors:
                visitor.stop()
            failing.misbehave()
            wait_until(self._engine.ready, "the shards to be back")
            for visitor in self._visitors:
                visitor.settle(lambda one: self._engine.accept(one.event()))
            self._deliver_everything()
            self._judge(kills, {WELL: well, FAILING: failing})

    def _catalog(self, well: ReceiverThread, failing: ReceiverThread) -> str:
        options = {"max_users_per_request": 1, "standard_webhooks": {"key": "env:WEBHOOK"}}
        text = catalog(
            [
                destination(WELL, well.url, well.ca_file, **options),
                destination(FAILING, failing.url, failing.ca_file, **options),
            ]
        )
        # A window over every trait: all realisations are kept one by one, so that each can be looked up.
        return text.replace(
            '"rule": "1000T"', '"rule": "frequency([1000T,1001T,1002T] <= 60D) >= 1 AND 1000T"'
        )

    def _start(self) -> None:
        self._engine.start()
        self._open_to = self._engine.intake

    def _stop(self) -> None:
        self._open_to = None
        if self._engine.running:
            self._engine.stop()

    def _kill(self) -> None:
        """Let it live for a random while with at least one more event acknowledged, then kill something."""
        before = self._acknowledged()
        wait_until(lambda: self._acknowledged() > before, "an event to be acknowledged", 30)
        time.sleep(self._random.uniform(0, LONGEST_LIFE_S))  # the moment of death is the test's input
        victim = self._random.choice(("shard", "shard", "engine", "everything"))
        if victim == "shard":
            workers = self._engine.workers()
            if workers:
                os.kill(self._random.choice(workers), signal.SIGKILL)
            return
        self._open_to = None
        if victim == "engine":
            self._engine.kill_engine_only()
        else:
            self._engine.kill()
        self._start()

    def _acknowledged(self) -> int:
        return sum(visitor.acknowledged for visitor in self._visitors)

    def _deliver_everything(self) -> None:
        """Faults are over: what is owed is replayed until nothing is."""
        client = self._engine.client()

        wait_until(lambda: verdict.ids_on_their_way(self._engine.data) == 0, "ids to arrive")

        def nothing_left() -> bool:
            if not self._engine.settled():
                return False
            if not any(row.owed for row in client.status().destinations):
                return next(client.undelivered(None), None) is None
            client.replay(None)
            return False

        wait_until(nothing_left, "everything to be delivered", 60)
        assert self._engine.stop() == 0

    def _judge(self, kills: int, destinations: dict[int, ReceiverThread]) -> None:
        sent = [one for visitor in self._visitors for one in visitor.sent]
        kept = verdict.read(
            self._engine.data, (device(one.device) for one in sent), (one.partner for one in sent)
        )
        assert verdict.lost_events(kept, sent) == []
        assert verdict.invented_realisations(kept, sent) == []
        assert verdict.wrong_memberships(kept, sent) == []
        assert verdict.wrong_owners(kept, sent) == []
        assert (kept.owed, kept.moves) == (0, 0)
        believed = verdict.beliefs(kept, ALIASES)
        for number, receiver in destinations.items():
            told = {partner: receiver.segments_of(partner) for partner in believed}
            wrong = [partner for partner in believed if told[partner] != believed[partner]]
            assert not wrong, verdict.story(number, kept, sent, receiver.messages(), wrong[0])
            ledger = verdict.ledger_beliefs(kept, number)
            assert {partner: ledger.get(partner, set()) for partner in believed} == believed
            assert verdict.duplicates(receiver.messages()) <= kills * SHARDS * IN_FLIGHT_A_LANE
        refusals = set().union(*(visitor.refusals for visitor in self._visitors))
        assert refusals <= {429, 503}
        assert sum(one.acknowledged for one in sent) > 10 * kills
