"""Random histories with batches: after each one, a destination for batches alone believes what is true.

Devices are told in and out of segments, ids move between them, endpoints fail, catalogs change, in any order.
Written from the rules of SPEC section 3 alone: the truth is kept here in three dictionaries.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from tour.stage import ACME, COOKIES, Stage, destination, segment

if TYPE_CHECKING:
    from pathlib import Path

    from tour.stage import Request

SEGMENTS = (10, 11, 12)
DEVICES = [f"{number:038d}" for number in range(1, 5)]
IDS = [f"cookie-{number}" for number in range(6)]
STEPS = 60


class History:
    """A script under way, with the truth it makes."""

    def __init__(self, stage: Stage, seed: int, **options: Any) -> None:
        self.stage = stage
        self.choice = random.Random(seed)
        self.options = options
        self.minute = 0
        self.held: dict[str, set[int]] = {device: set() for device in DEVICES}
        self.owner: dict[str, str] = {}
        self.mapped = self._catalog()
        self.expected: dict[str, dict[str, set[str]]] = {}

    def _catalog(self) -> set[int]:
        """Write a catalog that maps some of the segments; returns which."""
        mapped = sorted(self.choice.sample(SEGMENTS, self.choice.randint(1, 3)))
        self.name = self.stage.catalog(
            destination(*mapped, **self.options), segments=[segment(number) for number in SEGMENTS]
        )
        return set(mapped)

    @property
    def clock(self) -> str:
        return f"05-01 {self.minute // 60:02d}:{self.minute % 60:02d}:00"

    def step(self) -> None:
        self.minute += 2
        action = self.choice.random()
        if action < 0.65:
            self._see()
        elif action < 0.75:
            self.stage.respond(self.clock, 500, 2 * self.choice.randint(1, 2))
        elif action < 0.82:
            self.mapped = self._catalog()
            self.stage.apply(self.clock, self.name)
        else:
            self.stage.batch(self.clock)

    def _see(self) -> None:
        device = self.choice.choice(DEVICES)
        ids = []
        if self.choice.random() < 0.4:
            partner = self.choice.choice(IDS)
            ids = [(COOKIES, partner)]
            # An event is about the device it names; the id it declares moves there.
            self.owner[partner] = device
        told = {number: self.choice.random() < 0.5 for number in SEGMENTS if self.choice.random() < 0.6}
        self.held[device] = {n for n in SEGMENTS if told.get(n, n in self.held[device])}
        memberships = {str(number): int(status) for number, status in told.items()}
        self.stage.see(self.clock, device, ids=ids, **({"memberships": memberships} if memberships else {}))

    def last_batch(self) -> None:
        """Often, for the first ones may meet answers that were scripted and not used up."""
        for _ in range(30):
            self.minute += 2
            self.stage.batch(self.clock)

    def truth(self) -> dict[str, set[str]]:
        found = {}
        for partner, device in self.owner.items():
            told = {str(number) for number in self.held[device] & self.mapped}
            if told:
                found[partner] = told
        return found


def believed(requests: list[Request]) -> dict[str, set[str]]:
    """What a destination makes of the messages that it acknowledged."""
    found: dict[str, set[str]] = {}
    for request in requests:
        for partner, told in request.users.items() if request.status == 200 else ():
            for alias, status in told.items():
                known = found.setdefault(partner, set())
                known.add(alias) if status == "1" else known.discard(alias)
    return {partner: aliases for partner, aliases in found.items() if aliases}


@pytest.mark.parametrize("realtime", [False, True])
@pytest.mark.parametrize("seed", range(25))
def test_after_the_last_batch_it_believes_what_is_true(tmp_path: Path, seed: int, realtime: bool) -> None:
    history = History(Stage(tmp_path), seed, realtime=realtime)
    for _ in range(STEPS):
        history.step()
    history.last_batch()
    requests = history.stage.play()
    assert {request.destination for request in requests} <= {ACME}
    assert believed(requests) == history.truth()
    assert history.stage.summary.owed == 0


@pytest.mark.parametrize("seed", range(25))
def test_a_batch_says_nothing_that_it_knows(tmp_path: Path, seed: int) -> None:
    """With an endpoint that is well and ids that stay, no state is ever told twice in a row."""
    history = History(Stage(tmp_path), seed, realtime=False)
    for number, device in enumerate(DEVICES):
        history.stage.see(history.clock, device, ids=[(COOKIES, IDS[number])])
    for _ in range(STEPS):
        history.minute += 2
        if history.choice.random() < 0.3:
            history.stage.batch(history.clock)
            continue
        device = history.choice.choice(DEVICES)
        memberships = {str(number): history.choice.randint(0, 1) for number in SEGMENTS}
        history.stage.see(history.clock, device, memberships=memberships)
    last: dict[tuple[str, str], str] = {}
    for request in history.stage.play():
        for partner, told in request.users.items():
            for alias, status in told.items():
                assert last.get((partner, alias), "0") != status
                last[partner, alias] = status
    assert last
