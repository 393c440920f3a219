"""Model test of everything up to the wire: what destinations were told is what the brute-force evaluator says.

Random histories run through `arke simulate`, with endpoints that fail at random. Whenever a destination
acknowledges a message about a partner id, all it was ever told about that id is true then; whether it took
in the requests it answered with a failure or not. At the end every device is seen again until all was said.
"""

from __future__ import annotations

import json
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings

from arke.simulate.run import Simulation
from model.histories import (
    COOKIES,
    MAPPED_FROM,
    MAPPED_UNTIL,
    PLAIN,
    START,
    SUBSCRIBER,
    History,
    Jump,
    Step,
    as_they_are,
    catalog,
    histories,
    moments,
)
from model.oracle import DAY, Device, World
from model.receivers import Key, Receivers, day_of, entries, keys_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from arke.domain.catalog import Catalog
    from arke.simulate.network import Sent
    from model.histories import Edition

DEVICES = tuple(f"{number:038d}" for number in range(3))
DPIDS = {SUBSCRIBER: (COOKIES,), PLAIN: (COOKIES, 0)}
REFRESH_S = 3 * DAY
ROUNDS = 12
"""Refreshes at the end: each uses up two failing answers of a destination that still has some."""

often = settings(max_examples=500, derandomize=True, suppress_health_check=list(HealthCheck), database=None)


class Moment(NamedTuple):
    """How things stood at `at`: the catalog, and per device what it was and its ids."""

    at: int
    edition: Edition
    devices: tuple[Device, ...]
    ids: tuple[frozenset[str], ...]

    @property
    def members(self) -> tuple[frozenset[int], ...]:
        return tuple(device.members for device in self.devices)

    def later(self, at: float) -> Moment:
        """The same when nothing but time has passed."""
        devices = as_they_are(self.devices)
        for device in devices:
            device.pass_time(self.edition.world, int(at))
        return self._replace(at=int(at), devices=devices)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Empty files under the names that scripts apply; what is in them comes from the example."""
    path = tmp_path_factory.mktemp("model")
    for number in range(3):
        (path / f"{number}").touch()
    return path


@settings(often, max_examples=60)
@given(history=histories())
def test_what_was_told_is_true(folder: Path, history: History) -> None:
    """60 histories of 50 steps with failing endpoints, in real time alone; with batches see test_nights."""
    check_what_was_told(folder, history)


@settings(often, max_examples=100)
@given(history=histories(failures=False))
def test_what_changes_is_told_at_once_and_nothing_else(folder: Path, history: History) -> None:
    """Without failures: a change is told before the next event, and an event that changes nothing is silent."""
    check_when_it_was_told(folder, history)


@pytest.mark.soak
@settings(often, max_examples=20_000, derandomize=False)
@given(history=histories())
def test_what_was_told_is_true_in_the_long_run(folder: Path, history: History) -> None:
    """The same, many more."""
    check_what_was_told(folder, history)


def check_what_was_told(folder: Path, history: History) -> None:
    steps = (*history.steps, *_refreshes())
    times = moments(steps, gap_s=1)
    timeline = list(lives(history, steps, times))
    strict, trusting = Receivers(trusting=False), Receivers(trusting=True)
    for sent in simulate(folder, history, steps, times):
        strict.take(sent)
        trusting.take(sent)
        if sent.status != 200:
            continue
        at = datetime.fromisoformat(sent.at).timestamp()
        now = next(moment for moment in reversed(timeline) if moment.at <= at).later(at)
        for key, uuid, _ in entries(sent):
            for receivers in (strict, trusting):
                assert not wrong(receivers, key, DEVICES.index(uuid), now), sent.at
    for device in range(len(DEVICES)):
        for destination, dpids in DPIDS.items():
            for key in keys_of(destination, dpids, DEVICES[device], timeline[-1].ids[device]):
                for receivers in (strict, trusting):
                    assert not wrong(receivers, key, device, timeline[-1]), "at the end"


def check_when_it_was_told(folder: Path, history: History) -> None:
    times = moments(history.steps, gap_s=1)
    timeline = list(lives(history, history.steps, times))
    requests = deque(simulate(folder, history, history.steps, times))
    receivers = Receivers(trusting=False)
    last_sent: dict[int, dict[int, int]] = {number: {} for number in DPIDS}
    last_seen: dict[int, Moment] = {}
    for number, (step, now) in enumerate(zip(history.steps, timeline[1:], strict=True)):
        until = times[number + 1] if number + 1 < len(times) else now.at + DAY
        told: set[tuple[int, int]] = set()
        while requests and datetime.fromisoformat(requests[0].at).timestamp() < until:
            sent = requests.popleft()
            receivers.take(sent)
            told.update((sent.destination, DEVICES.index(uuid)) for _, uuid, _ in entries(sent))
        if step.edit is not None:
            assert not told, "applying a catalog sends nothing by itself"
            continue
        device = step.device
        assert {about for _, about in told} <= {device}, f"only who is seen is sent: {step}"
        changed = (last_seen[device] if device in last_seen else timeline[0]).members[device]
        changed ^= now.members[device]
        for destination, dpids in DPIDS.items():
            if changed & {item.segment for item in now.edition.outlets[destination].mapped}:
                for key in keys_of(destination, dpids, DEVICES[device], now.ids[device]):
                    assert not wrong(receivers, key, device, now), f"after {step}"
            sent_at = last_sent[destination].get(device)
            recent = sent_at is not None and now.at - sent_at < REFRESH_S
            if recent and _is_old_news(last_seen.get(device), now, device):
                assert (destination, device) not in told, f"nothing else sends: {step}"
            if (destination, device) in told:
                last_sent[destination][device] = now.at
        last_seen[device] = now
    assert not requests


def _is_old_news(last: Moment | None, now: Moment, device: int) -> bool:
    """Whether nothing about a device changed since it was seen last: segments, ids, mappings, their dates."""
    return (
        last is not None
        and last.edition is now.edition
        and last.ids[device] == now.ids[device]
        and last.members[device] == now.members[device]
        and _dates_passed(last) == _dates_passed(now)
    )


def _dates_passed(now: Moment) -> int:
    """How many of the days on which a mapping begins or ends have come."""
    return sum(day <= day_of(now.at, START) for day in (MAPPED_FROM, MAPPED_UNTIL))


def wrong(receivers: Receivers, key: Key, device: int, now: Moment) -> str:
    edition = now.edition
    return receivers.wrong(
        key, edition.outlets[key[0]], edition.world, now.members[device], day_of(now.at, START)
    )


def lives(history: History, steps: tuple[Step, ...], times: list[int]) -> Iterator[Moment]:
    """How things stand at the beginning and after each step, by the brute-force evaluator."""
    edition = history.editions[0]
    devices = tuple(Device() for _ in DEVICES)
    ids: list[frozenset[str]] = [frozenset() for _ in DEVICES]
    yield Moment(START, edition, as_they_are(devices), tuple(ids))
    for at, step in zip(times, steps, strict=True):
        for device in devices:
            device.pass_time(edition.world, at)
        if step.edit is not None:
            edition = history.editions[step.edit % len(history.editions)]
            for device in devices:
                device.pass_time(edition.world, at)
        elif step.fail is None:
            ids = [owned - set(step.ids) for owned in ids]
            ids[step.device] |= set(step.ids)
            realised = {*step.told_traits, *step.realised}
            devices[step.device].see(edition.world, at, at - step.late, realised, _told(step, edition.world))
        yield Moment(at, edition, as_they_are(devices), tuple(ids))


def simulate(folder: Path, history: History, steps: tuple[Step, ...], times: list[int]) -> list[Sent]:
    """Every request of the history, in order."""
    catalogs = {f"{number}": catalog(edition) for number, edition in enumerate(history.editions)}
    script = folder / "script.ndjson"
    lines = []
    edition = history.editions[0]
    for at, step in zip(times, steps, strict=True):
        if step.edit is not None:
            edition = history.editions[step.edit % len(history.editions)]
        lines.append({"at": _rfc3339(at)} | _action(step, at, edition.world, len(catalogs)))
    script.write_text("".join(json.dumps(line) + "\n" for line in lines))

    def load(path: Path) -> Catalog:
        return catalogs[path.name]

    sent: list[Sent] = []
    summary = Simulation(load, sent).run(script, folder / "0")
    assert [text for text in summary.complaints if "left out: unknown_trait" not in text] == []
    return sent


def _action(step: Step, at: int, world: World, editions: int) -> dict[str, object]:
    if step.edit is not None:
        return {"apply": str(step.edit % editions)}
    if step.fail is not None:
        destination, times = step.fail
        return {"respond": {"destination": destination, "status": 503, "for": times}}
    event: dict[str, object] = {"uuid": DEVICES[step.device], "ts": _rfc3339(at - step.late)}
    if step.realised:
        event["signals"] = {"c_trait": [str(trait) for trait in step.realised]}
    if step.told_traits:
        event["traits"] = step.told_traits
    if step.ids:
        event["ids"] = [{"dpid": COOKIES, "id": partner_id} for partner_id in step.ids]
    told = _told(step, world)
    if told:
        event["memberships"] = {str(segment): status for segment, status in told.items()}
    return {"event": event}


def _told(step: Step, world: World) -> dict[int, int]:
    """The intake refuses an event that tells of a segment which is not in the catalog."""
    return {segment: status for segment, status in step.memberships if segment in world.told}


def _refreshes() -> tuple[Step, ...]:
    each = tuple(Step(Jump(1), device) for device in range(len(DEVICES)))
    return tuple(
        Step(Jump(REFRESH_S), 0) if not step.device else step for _ in range(ROUNDS) for step in each
    )


def _rfc3339(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()
