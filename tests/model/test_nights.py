"""Model test of everything that is not a visitor clicking (QUALITY, reliability 6, 11 and 13).

Random histories through the command `arke simulate`: events, time that passes, batches on command and at 02:00,
onboarding files, catalog edits, switches, failing answers. At the end batches run until all answers are good;
then what every destination was last told about every (partner id, segment) is what the brute-force evaluator
says, however the destination keeps what it hears: whether it took in the requests it answered with a failure
or not, and whether it goes by the order of arrival or by DateTime.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings

from model.contract import check_messages, check_zeros, moment
from model.histories import START
from model.nights import DEVICES, DPIDS, Night, Truth, aliases, all_keys, final_times, nights, owner_of, play
from model.receivers import Receivers, ReceiversByTime, day_of, entries

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from model.nights import Moment
    from model.receivers import Key
    from tour.stage import Request

Item = tuple["Key", str]
"""A partner id at a destination, and an alias."""

often = settings(max_examples=500, derandomize=True, suppress_health_check=list(HealthCheck), database=None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nights")


@often
@given(night=nights())
def test_everybody_is_told_the_truth_in_the_end(folder: Path, night: Night) -> None:
    """500 histories of 50 steps (thousands: `make soak`): all four kinds of receivers believe what is true."""
    check_the_end(folder, night)


@settings(often, max_examples=250)
@given(night=nights(quiet=True))
def test_a_batch_tells_net_changes_and_nothing_else(folder: Path, night: Night) -> None:
    """Without failures and edits, batch by batch and item by item."""
    check_batches(folder, night)


@pytest.mark.soak
@settings(often, max_examples=20_000, derandomize=False)
@given(night=nights())
def test_everybody_is_told_the_truth_in_the_long_run(folder: Path, night: Night) -> None:
    """The same, many more."""
    check_the_end(folder, night)


@pytest.mark.soak
@settings(often, max_examples=10_000, derandomize=False)
@given(night=nights(quiet=True))
def test_net_changes_in_the_long_run(folder: Path, night: Night) -> None:
    """The same, many more."""
    check_batches(folder, night)


def check_the_end(folder: Path, night: Night) -> None:
    requests = play(folder, night)
    check_messages(requests)
    truth = Truth(night)
    everybody = [
        receivers(trusting=trusting)
        for receivers in (Receivers, ReceiversByTime)
        for trusting in (False, True)
    ]
    for request in requests:
        for receivers in everybody:
            receivers.take(request)
        then = truth.at(moment(request))
        mode = truth.mode(then, request.destination)
        assert mode.enabled, "nothing is sent to a destination that is switched off"
        assert mode.realtime or request.kind != "realtime"
        check_zeros(request, then.edition.outlets[request.destination])
    end = truth.at(final_times(night)[-1])
    for destination in DPIDS:
        if truth.mode(end, destination).enabled:
            for key in all_keys(destination):
                for receivers in everybody:
                    assert not wrong(receivers, key, end), type(receivers).__name__


def check_snapshot(request: Request, now: Moment) -> None:
    """Real time tells every mapped segment the user is in with 1, and nothing with 1 that is not so."""
    names = aliases(now, request.destination)
    for _, uuid, statuses in entries(request):
        members = now.devices[DEVICES.index(uuid)].members
        held = {alias for alias, segment in names.items() if segment in members}
        assert {alias for alias, status in statuses.items() if status} == held, f"{request.at} {uuid}"


def wrong(receivers: Receivers, key: Key, now: Moment) -> str:
    outlet = now.edition.outlets[key[0]]
    return receivers.wrong(key, outlet, now.edition.world, owner_of(now, key), day_of(now.at, START))


def check_batches(folder: Path, night: Night) -> None:
    """Each batch has exactly the items whose truth differs from that of the batch before, or from what the
    destination was told last: a gain that real time told and time took back has no net change, but a 0 to tell.
    """
    requests = play(folder, night)
    check_messages(requests)
    truth = Truth(night)
    for destination in DPIDS:
        before: dict[Item, int] = {}
        believed: dict[Item, int] = {}
        told = [request for request in requests if request.destination == destination]
        for at in batch_times(night, destination):
            live = [request for request in told if moment(request) < at]
            run = [request for request in told if at <= moment(request) < at + 1]
            told = told[len(live) + len(run) :]
            assert {request.kind for request in live} <= {"realtime"}
            for request in live:
                check_snapshot(request, truth.at(moment(request)))
            believed |= items(live)
            now = beliefs(truth.at(at), destination)
            due = {item: status for item, status in now.items() if status != before.get(item, 0)}
            due |= {item: now[item] for item, status in believed.items() if now.get(item, status) != status}
            batch = [request for request in run if request.kind == "batch"]
            assert items(batch) == sayable(due, truth.at(at), destination), f"batch of {destination} at {at}"
            assert len(items(batch)) == sum(len(statuses) for r in batch for _, _, statuses in entries(r))
            believed |= items(run)
            before = now


def batch_times(night: Night, destination: int) -> list[int]:
    from model.histories import moments

    steps = night.history.steps
    times = zip(moments(steps, gap_s=1), steps, strict=True)
    return [at for at, step in times if step.batch == destination] + final_times(night)


def items(requests: Sequence[Request]) -> dict[Item, int]:
    """The last status of every item in these requests."""
    return {
        (key, alias): status
        for request in requests
        for key, _, statuses in entries(request)
        for alias, status in statuses.items()
    }


def beliefs(now: Moment, destination: int) -> dict[Item, int]:
    """The truth about every item of a destination: 0 too where its mapping is not in force."""
    world = now.edition.world
    mapped = aliases(now, destination)
    every = {
        item.alias for item in now.edition.outlets[destination].mapped if item.segment not in world.paused
    }
    return {
        (key, alias): int(alias in mapped and mapped[alias] in owner_of(now, key))
        for key in all_keys(destination)
        for alias in every
    }


def sayable(due: dict[Item, int], now: Moment, destination: int) -> dict[Item, int]:
    """What of it may be said: no 0s where they are not taken, none for an ended mapping where that is silent."""
    outlet = now.edition.outlets[destination]
    if not outlet.supports_unsegment:
        return {item: status for item, status in due.items() if status}
    if outlet.on_unmap == "silent":
        mapped = aliases(now, destination)
        return {item: status for item, status in due.items() if status or item[1] in mapped}
    return due
