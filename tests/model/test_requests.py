"""Every request of random scripts is what SPEC says: ids, 1s, 0s, DateTime, when, and whether at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from model.contract import check_messages, moment, stamp
from model.expected import Told, Town, net, ones, times_of_0, times_of_1, triggers, zeros
from model.oracle import DAY
from model.scripts import DEVICES, script, write
from tour.command_stage import simulated

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import Any

    from model.expected import Name, Party
    from model.scripts import Line, Plan, Script
    from tour.stage import Request

PROMPT_S = {"realtime": 2, "batch": 5}
"""Within how many seconds of its line a request is made."""

TENS = range(0, 60, 10)


@pytest.mark.parametrize("seed", TENS)
def test_devices_are_told_of_as_spec_says(tmp_path: Path, seed: int) -> None:
    """Ids that move, late events, catalogs that change, destinations of every kind."""
    for one in range(seed, seed + 10):
        check(tmp_path, one, people=False)


@pytest.mark.parametrize("seed", TENS)
def test_people_are_told_of_as_spec_says(tmp_path: Path, seed: int) -> None:
    """Events about people, and devices on which they log in."""
    for one in range(seed, seed + 10):
        check(tmp_path, one, people=True)


def check(folder: Path, seed: int, *, people: bool) -> None:
    """Play the script of this seed and compare; a difference is shown with the script."""
    drawn = script(seed, people=people)
    files = write(folder, drawn)
    requests = simulated(*files, "--no-schedule")
    check_messages(requests)
    difference = next(Comparison(drawn).differences(requests), None)
    shown = f"seed {seed}, people={people}\n{files[1].read_text()}\n{files[0].read_text()}{difference}"
    assert difference is None, shown


class Comparison:
    """Follows a script and what was sent, line by line."""

    def __init__(self, script: Script) -> None:
        self.lines, self.plans = script.lines, script.plans
        self.town = Town()
        self.told: dict[tuple[int, Name], Told] = {}
        self.sent_live: dict[tuple[int, str], int] = {}
        self.sent: dict[tuple[int, str], int] = {}

    def differences(self, requests: Sequence[Request]) -> Iterator[str]:
        plan = self.plans[0]
        ends = [*(line.at for line in self.lines[1:]), float("inf")]
        before = self.lines[0].at
        for line, end in zip(self.lines, ends, strict=True):
            for party in self.town.parties.values():
                party.live(plan.world, before, line.at)
            before = line.at
            plan = plan if line.apply is None else self.plans[line.apply]
            seen = self.town.hear(plan, line)
            mine = [request for request in requests if line.at <= moment(request) < end]
            for difference in self._after(line, plan, seen, mine):
                yield f"after {line}: {difference}"
            for key in seen:
                self.town.parties[key].seen()

    def _after(self, line: Line, plan: Plan, seen: set[str], requests: list[Request]) -> Iterator[str]:
        messages: dict[tuple[int, Name], list[tuple[str, dict[str, Any]]]] = {}
        for request in requests:
            if moment(request) > line.at + PROMPT_S[request.kind]:
                yield f"late: {request}"
            for user in request.message["Users"]:
                name = (int(request.message["User_DPID"]), user["DataPartner_UUID"])
                messages.setdefault((request.destination, name), []).append((request.kind, user))
        for number, route in plan.routes.items():
            live, reached = set[str](), set[str]()
            for name, key in self.town.names(route):
                got = messages.pop((number, name), [])
                where = f"destination {number}, {name}"
                for difference in self._about(line, plan, number, name, key, got, key in seen):
                    yield f"{where}: {difference}"
                reached |= {key} if got else set()
                live |= {key for kind, _ in got if kind == "realtime"}
            self.sent |= {(number, key): line.at for key in reached}
            for key in live:
                before = self.sent_live.get((number, key))
                if not triggers(number, route, self.town.parties[key], line.at, before):
                    yield f"destination {number} was told of {key} without a trigger"
                self.sent_live[number, key] = line.at
        for (number, name), users in messages.items():
            yield f"destination {number} is told of {name}, which it does not take or nobody has: {users}"

    def _about(
        self,
        line: Line,
        plan: Plan,
        number: int,
        name: Name,
        key: str,
        got: list[tuple[str, dict[str, Any]]],
        seen: bool,
    ) -> Iterator[str]:
        """What one destination is told under one partner id; of several messages the last one counts."""
        route, party = plan.routes[number], self.town.parties[key]
        told = self.told.setdefault((number, name), Told({}, {}, set()))
        for _, user in got[:-1]:
            _note(told, user)
        held = ones(route, party)
        is_batch = line.batch == number
        expected = net(route, told, held) if is_batch else (held, zeros(route, told, held))
        new = {alias for alias in expected[0] if is_batch or not told.status.get(alias)}
        last = self.sent.get((number, key))
        if not got:
            if (is_batch or (seen and route.realtime)) and (new or expected[1]):
                yield f"not told: {expected}"
            if seen and route.realtime and held and last is not None and line.at - last >= 3 * DAY:
                yield f"not told again after three days: {held}"
        else:
            kind, user = got[-1]
            if not (is_batch if kind == "batch" else seen and route.realtime):
                yield f"a {kind} message that is not to be sent: {user}"
            statuses = {state["Segment_ID"]: state["Status"] for state in user["Segments"]}
            said = tuple({alias for alias, status in statuses.items() if status == one} for one in "10")
            if said != expected:
                yield f"told (1s, 0s) {said}, not {expected}"
            if key in DEVICES and user["AAM_UUID"] != key:
                yield f"told as {user['AAM_UUID']}, not {key}"
            if sorted(user.get("AAM_Regions", [])) != [str(region) for region in sorted(party.regions)]:
                yield f"regions: {user}, not {party.regions}"
            if said == expected:
                yield from self._times(line, plan, name, told, party, user, number)
            _note(told, user)
        if is_batch:
            told.batched.clear()
            told.batched.update(held)

    def _times(
        self, line: Line, plan: Plan, name: Name, told: Told, party: Party, user: dict[str, Any], number: int
    ) -> Iterator[str]:
        """Under one partner id DateTime never goes back; what moved has it as it was, or as of the move."""
        mapped = plan.routes[number].mapped
        moves = self.town.moved.get(name)
        newest = max((max(times) for times in told.times.values()), default=0)
        for state in user["Segments"]:
            alias, at = state["Segment_ID"], stamp(state["DateTime"])
            segment = mapped.get(alias)
            if segment is None or at == newest:
                continue
            if moves and at in {line.at, *moves, *told.times.get(alias, ())}:
                continue
            times = times_of_1 if state["Status"] == "1" else times_of_0
            right = times(party, segment, line.at, plan.world)
            if at not in right:
                yield f"DateTime of {state}, not of {right}"


def _note(told: Told, user: dict[str, Any]) -> None:
    for state in user["Segments"]:
        told.status[state["Segment_ID"]] = int(state["Status"])
        told.times.setdefault(state["Segment_ID"], set()).add(stamp(state["DateTime"]))
