"""kill -9 at random moments, of the engine, of a shard, of both: nothing acknowledged is ever lost (QUALITY 1).

Events flow in all the while; one destination is well, the other fails now and then. Afterwards every
acknowledged event is found in its device's profile, everything is delivered or owed, and once what is owed was
replayed, each destination was last told exactly what the engine believes (QUALITY 11).
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, ClassVar

import pytest

from chaos import verdict
from chaos.storm import SHARDS, Storm
from e2e.catalogs import IN_MARKET, LENSES, STILL_LOOKING, TOLD, catalog, device

if TYPE_CHECKING:
    from pathlib import Path

ALIASES = {number: str(number) for number in (IN_MARKET, LENSES, STILL_LOOKING, TOLD)}
WELL, FAILING = 1, 2
IN_FLIGHT_A_LANE = 16


def test_a_hundred_kills(tmp_path: Path) -> None:
    """100 kills: no acknowledged event lost, no change neither delivered nor owed, few duplicates."""
    EventStorm(tmp_path, seed=random.randrange(1 << 32)).rage(kills=100)


@pytest.mark.soak
def test_a_thousand_kills(tmp_path: Path) -> None:
    """The long run."""
    EventStorm(tmp_path, seed=random.randrange(1 << 32)).rage(kills=1_000)


class EventStorm(Storm):
    """Events, and nothing else."""

    OPTIONS: ClassVar = {WELL: {}, FAILING: {}}
    FAILING: ClassVar = (FAILING,)

    def catalog(self) -> str:
        text = catalog(self.destinations())
        # A window over every trait: all realisations are kept one by one, so that each can be looked up.
        return text.replace(
            '"rule": "1000T"', '"rule": "frequency([1000T,1001T,1002T] <= 60D) >= 1 AND 1000T"'
        )

    def calm(self) -> None:
        super().calm()
        self.deliver_everything()

    def judge(self, kills: int) -> None:
        sent = [one for visitor in self.visitors for one in visitor.sent]
        kept = verdict.read(
            self.engine.data, (device(one.device) for one in sent), (one.partner for one in sent)
        )
        assert verdict.lost_events(kept, sent) == []
        assert verdict.invented_realisations(kept, sent) == []
        assert verdict.wrong_memberships(kept, sent) == []
        assert verdict.wrong_owners(kept, sent) == []
        assert (kept.owed, kept.moves) == (0, 0)
        believed = verdict.beliefs(kept, ALIASES)
        for number, receiver in self.receivers.items():
            told = {partner: receiver.segments_of(partner) for partner in believed}
            wrong = [partner for partner in believed if told[partner] != believed[partner]]
            assert not wrong, verdict.story(number, kept, sent, receiver.messages(), wrong[0], believed)
            ledger = verdict.ledger_beliefs(kept, number)
            assert {partner: ledger.get(partner, set()) for partner in believed} == believed
            assert verdict.duplicates(receiver.messages()) <= kills * SHARDS * IN_FLIGHT_A_LANE
        refusals = set().union(*(visitor.refusals for visitor in self.visitors))
        assert refusals <= {429, 503}
        assert sum(one.acknowledged for one in sent) > 10 * kills
