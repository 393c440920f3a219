"""One run of the simulation: what is drawn from a seed happens, the calm comes, and everybody must be right.

`python -m simulation.run SEED` (in the folder of the tests) replays a seed and prints every request.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

from arke.delivery import builder, lane
from arke.engine import links
from arke.engine.identity import mappings
from arke.operations.reconciliation import ReconciliationOperations
from arke.operations.sizes import SizeOperations
from arke.operations.status import StatusOperations
from arke.virtual_time import VirtualClock, VirtualTimeLoop, run_virtual
from model.oracle import DAY
from simulation.catalogs import BY_UUID, COOKIES, DESTINATIONS, DEVICES, PARTNER_IDS, world
from simulation.fate import Fate
from simulation.machine import Machine
from simulation.network import Arrival, Network
from simulation.visitors import Visitors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.operations.engine import Engine
    from model.oracle import World

START = 20_000 * DAY
CALM_S = 3 * DAY
"""Longer than any pause, and as long as it takes until a sighting sends everything again."""
SETTLED = frozenset({"acknowledged", "told_by_batch", "no_partner_id"})
ROUNDS = 3
LATE_S = 300.0
ATTEMPTS = 2

Key = tuple[int, int, str]


class Broken(AssertionError):
    """An invariant does not hold. Says the seed, what is wrong, and all that was sent about it."""


class LaneErrors:
    """Stands for the lanes' log: one that meets what nobody expects says so there, and goes on. That the store
    does not answer is expected.
    """

    def __init__(self) -> None:
        self.unexpected: list[str] = []

    def error(self, event: str, **facts: object) -> None:
        if event != "lane_store_failed":
            self.unexpected.append(f"{event} {facts}")


def fast_folder() -> Path | None:
    """Where a sync costs nothing. Nothing here tests the disk: that is what the power-cut tests do."""
    shared_memory = Path("/dev/shm")
    return shared_memory if shared_memory.is_dir() else None


def run(seed: int) -> list[Arrival]:
    """Every request that arrived anywhere, in order. Raises Broken."""
    return judged(seed)[0]


def judged(seed: int) -> tuple[list[Arrival], Truth]:
    """The same with what is true at the end. Raises Broken."""
    arrivals, truth = play(seed)
    for problem in problems(arrivals, truth):
        raise Broken(f"seed {seed}: {problem}; replay it: python -m simulation.run {seed}")
    return arrivals, truth


def play(seed: int) -> tuple[list[Arrival], Truth]:
    """The same with what is true at the end, for who judges himself. With every other seed the directory hears of
    new devices minutes later, however seldom they come.
    """
    errors = LaneErrors()
    late_s, writable_s = (LATE_S, float("inf")) if seed % 2 else (links.LATE_S, mappings.WRITABLE_S)
    with (
        tempfile.TemporaryDirectory(dir=fast_folder()) as folder,
        patch.object(lane, "log", errors),
        patch.object(builder, "log", errors),
        patch.object(links, "LATE_S", late_s),
        patch.object(mappings, "WRITABLE_S", writable_s),
    ):
        loop = VirtualTimeLoop()
        played = run_virtual(_play(seed, Path(folder), VirtualClock(loop, START)), loop)
    if errors.unexpected:
        raise Broken(f"seed {seed}: {errors.unexpected}")
    return played


class Truth:
    """Per (destination, DPID, partner id) the aliases it is in; `refused`: how often an id was not given away;
    `lost`: how often the directory lost what it had not synced.
    """

    def __init__(self, visitors: Visitors, now: int, lost: int) -> None:
        believed = [device.pass_time(world(visitors.edition), now) for device in visitors.devices]
        self.told: dict[Key, set[str]] = {}
        self.refused = visitors.refused
        self.lost = lost
        for destination in DESTINATIONS:
            for partner_id in PARTNER_IDS:
                owner = visitors.owned.get(partner_id)
                members = believed[owner] if owner is not None else frozenset()
                self.told[destination, COOKIES, partner_id] = _aliases(members, world(visitors.edition))
            for partner_id, device in visitors.newcomers.items():
                members = device.pass_time(world(visitors.edition), now)
                self.told[destination, COOKIES, partner_id] = _aliases(members, world(visitors.edition))
        for uuid, members in zip(DEVICES, believed, strict=True):
            self.told[BY_UUID, 0, uuid] = _aliases(members, world(visitors.edition))


def _aliases(members: frozenset[int], rules: World) -> set[str]:
    return {f"s{segment}" for segment in members if segment in rules.rules or segment in rules.told}


async def _play(seed: int, folder: Path, clock: VirtualClock) -> tuple[list[Arrival], Truth]:
    fate = Fate(seed)
    network = Network(clock, fate)
    machine = Machine(folder, clock, fate, network, seed)
    current = asyncio.current_task()
    assert current is not None
    _ = machine.outsider(current)
    machine.start()
    visitors = Visitors(machine, clock, fate)
    await visitors.live()
    fate.calm()
    for _ in range(ROUNDS):
        await asyncio.sleep(CALM_S)
        await visitors.look_in()
    await machine.ask(lambda engine: engine.drain(120.0))
    status = await machine.ask(lambda engine: StatusOperations(engine).read())
    assert not any(one.owed for one in status.destinations), f"owed after the calm: {status.destinations}"
    for problem in await machine.ask(lambda engine: unsettled(engine, world(visitors.edition))):
        raise Broken(f"seed {seed}: {problem}")
    truth = Truth(visitors, int(clock.now()), machine.lost)
    await machine.stop()
    assert max(count for _, count in network.tries.values()) <= ATTEMPTS, "requests of one message"
    return network.arrivals, truth


async def unsettled(engine: Engine, rules: World) -> list[str]:
    """What statements say after the calm but that everybody was told, and who has left was taken back."""
    operations = ReconciliationOperations(
        engine.reconciliation, engine.live, SizeOperations(engine.shards), engine.audit, engine.clock
    )
    found = []
    for destination in DESTINATIONS:
        for segment in (*rules.rules, *rules.told):
            statement = await operations.statement(segment, destination)
            if statement.left or not SETTLED.issuperset(statement.buckets):
                found.append(f"unsettled: {statement}")
            if statement.users != statement.members or sum(statement.buckets.values()) != statement.users:
                found.append(f"it does not add up: {statement}")
    return found


def problems(arrivals: Sequence[Arrival], truth: Truth) -> list[str]:
    """Destinations that believe what is not so."""
    found = []
    for name, heard in (
        ("who took in what it answered 200", [one for one in arrivals if one.status == 200]),
        ("who took in everything", list(arrivals)),
    ):
        believed = beliefs(heard)
        for key, expected in truth.told.items():
            told = believed.get(key, set())
            if told != expected:
                found.append(f"{name} believes {sorted(told)} of {key}, true is {sorted(expected)}")
    found += [f"two things were said under one message id: {bodies}" for bodies in ambiguous(arrivals)]
    return found


def ambiguous(arrivals: Sequence[Arrival]) -> list[set[str]]:
    """What was said under one message id and is not the same: whoever goes by ids takes in only the first."""
    said: dict[tuple[int, str], set[str]] = {}
    for arrival in arrivals:
        said.setdefault((arrival.destination, arrival.message), set()).add(untimed(arrival.body))
    return [bodies for bodies in said.values() if len(bodies) > 1]


def untimed(body: str) -> str:
    """A message without the moment at which it was made."""
    message = json.loads(body)
    message.pop("ProcessTime")
    for user in message["Users"]:
        for state in user["Segments"]:
            state.pop("DateTime")
    return json.dumps(message)


def beliefs(arrivals: Sequence[Arrival]) -> dict[Key, set[str]]:
    """The aliases each partner id was last told 1, by order of arrival."""
    found: dict[Key, set[str]] = {}
    for arrival in arrivals:
        message = json.loads(arrival.body)
        for user in message["Users"]:
            key = (arrival.destination, int(message["User_DPID"]), user["DataPartner_UUID"])
            told = found.setdefault(key, set())
            for state in user["Segments"]:
                (told.add if state["Status"] == "1" else told.discard)(state["Segment_ID"])
    return found


def main() -> None:
    """Replay the seeds given."""
    for seed in map(int, sys.argv[1:]):
        for arrival in run(seed):
            sys.stdout.write(f"{arrival.at - START:.3f} {arrival}\n")


if __name__ == "__main__":
    main()
