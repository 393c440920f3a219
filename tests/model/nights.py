"""Random histories with batches, files and time that passes unseen, and what is true at any moment of them."""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from hypothesis import strategies as st

from arke.domain.catalog import BatchSchedule
from model import histories
from model.histories import (
    COOKIES,
    PLAIN,
    START,
    STEPS,
    SUBSCRIBER,
    Edition,
    History,
    Step,
    as_they_are,
    moments,
)
from model.oracle import Device, Rule, World
from model.receivers import Key, day_of, keys_of
from tour.command_stage import simulated

if TYPE_CHECKING:
    from pathlib import Path

    from arke.domain.catalog import Catalog
    from tour.stage import Request

DEVICES = tuple(f"{number:038d}" for number in range(3))
DPIDS = {SUBSCRIBER: (COOKIES,), PLAIN: (COOKIES, 0)}
PARTNER_IDS = ("p", "q", "r")
FILED = frozenset((4, 5))
"""Onboarded traits: no signal realises them."""

HOUR = 3_600

SYNC = {
    "d_sid=4": ((4,), ()),
    "d_sid=5": ((5,), ()),
    "d_sid=4,d_sid=5": ((4, 5), ()),
    "d_unsid=4": ((), (4,)),
    "5:0": ((), (5,)),
    "d_sid=4,5:-1": ((4,), (5,)),
}
OVERWRITE = {"d_sid=4": ((4,), (5,)), "d_sid=5": ((5,), (4,)), "d_sid=4,d_sid=5": ((4, 5), ())}


class Mode(NamedTuple):
    """Which switches of a destination are on; the batch always is."""

    realtime: bool = True
    enabled: bool = True


class Night(NamedTuple):
    """A history whose editions each say which destinations take what. Scheduled: batches run at 02:00 too."""

    history: History
    modes: tuple[dict[int, Mode], ...]
    scheduled: bool

    def __repr__(self) -> str:
        switches = "\n".join(f"modes {number}: {modes}" for number, modes in enumerate(self.modes))
        return f"Night(scheduled={self.scheduled}\n{switches}\n{self.history!r})"


class Moment(NamedTuple):
    """How things stood right after a step."""

    at: int
    number: int
    edition: Edition
    devices: tuple[Device, ...]
    ids: tuple[frozenset[str], ...]


class Truth:
    """What is true at any moment of a history, by the brute-force evaluator."""

    def __init__(self, night: Night) -> None:
        self.night = night
        self._moments = list(_lives(night.history))
        self._times = [moment.at for moment in self._moments]

    def at(self, now: float) -> Moment:
        """Everybody brought up to `now`."""
        then = self._moments[bisect_right(self._times, now) - 1]
        devices = as_they_are(then.devices)
        for device in devices:
            device.pass_time(then.edition.world, int(now))
        return then._replace(at=int(now), devices=devices)

    def mode(self, moment: Moment, destination: int) -> Mode:
        return self.night.modes[moment.number][destination]


def owner_of(moment: Moment, key: Key) -> frozenset[int]:
    """The segments of whoever is known by this key."""
    _, dpid, partner_id = key
    for uuid, device, ids in zip(DEVICES, moment.devices, moment.ids, strict=True):
        if partner_id == uuid if dpid == 0 else partner_id in ids:
            return device.members
    return frozenset()


def all_keys(destination: int) -> list[Key]:
    """Every (destination, DPID, partner id) there can be."""
    ids = frozenset(PARTNER_IDS)
    return sorted({key for uuid in DEVICES for key in keys_of(destination, DPIDS[destination], uuid, ids)})


def aliases(moment: Moment, destination: int) -> dict[str, int]:
    """Segment by alias, for mappings that are in force and whose segment is not paused."""
    day = day_of(moment.at, START)
    return {
        item.alias: item.segment
        for item in moment.edition.outlets[destination].mapped
        if (item.start is None or item.start <= day)
        and (item.end is None or day < item.end)
        and item.segment not in moment.edition.world.paused
    }


def _lives(history: History) -> list[Moment]:
    devices = tuple(Device() for _ in DEVICES)
    ids: list[frozenset[str]] = [frozenset() for _ in DEVICES]
    number = 0
    found = [Moment(START, 0, history.editions[0], as_they_are(devices), tuple(ids))]
    for at, step in zip(moments(history.steps, gap_s=1), history.steps, strict=True):
        world = history.editions[number].world
        for device in devices:
            device.pass_time(world, at)
        if step.edit is not None:
            number = step.edit % len(history.editions)
            for device in devices:
                device.pass_time(history.editions[number].world, at)
        elif step.file is not None:
            _load(step.file, devices, ids, world, at)
        elif step.fail is None and step.batch is None:
            ids = [owned - set(step.ids) for owned in ids]
            ids[step.device] |= set(step.ids)
            realised = set(step.told_traits) | (set(step.realised) - FILED)
            devices[step.device].see(world, at, at - step.late, realised, _told(step, world))
        found.append(Moment(at, number, history.editions[number], as_they_are(devices), tuple(ids)))
    return found


def _load(
    file: tuple[str, str, str], devices: tuple[Device, ...], ids: list[frozenset[str]], world: World, at: int
) -> None:
    """A line none of whose traits is in the catalog is refused, whatever it would replace."""
    kind, partner_id, items = file
    add, drop = (SYNC if kind == "sync" else OVERWRITE)[items]
    if world.traits.keys().isdisjoint(add if kind == "overwrite" else (*add, *drop)):
        return
    for device, owned in zip(devices, ids, strict=True):
        if partner_id in owned:
            device.load(world, at, add, drop)


def _told(step: Step, world: World) -> dict[int, int]:
    """The intake refuses an event that tells of a segment which is not in the catalog."""
    return {segment: status for segment, status in step.memberships if segment in world.told}


# --- through the command --------------------------------------------------------------------------------


def play(folder: Path, night: Night) -> list[Request]:
    """Every request of the history and of the batches at its end, in order."""
    history = night.history
    for number, (edition, modes) in enumerate(zip(history.editions, night.modes, strict=True)):
        (folder / f"{number}.json").write_bytes(msgspec.json.encode(_catalog(edition, modes)))
    times = moments(history.steps, gap_s=1)
    lines = []
    number = 0
    for at, step in zip(times, history.steps, strict=True):
        if step.edit is not None:
            number = step.edit % len(history.editions)
        lines.append({"at": _rfc3339(at)} | _action(folder, step, at, history.editions[number].world, number))
    lines += [
        {"at": _rfc3339(at), "batch": destination} for at in final_times(night) for destination in DPIDS
    ]
    script = folder / "script.ndjson"
    script.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    return simulated(script, folder / "0.json", *(() if night.scheduled else ("--no-schedule",)))


def final_times(night: Night) -> list[int]:
    """When the batches at the end run, an hour apart, off the full hour: each uses up two failing answers of a
    destination that still has some, and one more finds that all is told.
    """
    times = moments(night.history.steps, gap_s=1)
    last = times[-1] if times else START
    failing = sum(step.fail[1] for step in night.history.steps if step.fail is not None)
    return [last + HOUR * (1 + number) + 7 for number in range(failing // 2 + 3)]


def _catalog(edition: Edition, modes: dict[int, Mode]) -> Catalog:
    catalog = histories.catalog(edition)
    destinations = tuple(
        msgspec.structs.replace(
            destination,
            batch=BatchSchedule(),
            realtime=modes[destination.id].realtime,
            enabled=modes[destination.id].enabled,
        )
        for destination in catalog.destinations
    )
    return msgspec.structs.replace(catalog, destinations=destinations)


def _action(folder: Path, step: Step, at: int, world: World, number: int) -> dict[str, object]:
    if step.edit is not None:
        return {"apply": f"{number}.json"}
    if step.fail is not None:
        destination, times = step.fail
        return {"respond": {"destination": destination, "status": 503, "for": times}}
    if step.batch is not None:
        return {"batch": step.batch}
    if step.file is not None:
        kind, partner_id, items = step.file
        name = f"ftp_dpm_{COOKIES}_{at}.{kind}"
        (folder / name).write_text(f"{partner_id}\t{items}\n")
        return {"onboard": {"file": name}}
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


def _rfc3339(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()


# --- strategies -----------------------------------------------------------------------------------------

_batches = st.tuples(histories.jumps, st.sampled_from((SUBSCRIBER, PLAIN))).map(
    lambda parts: Step(parts[0], batch=parts[1])
)
_files = st.one_of(
    st.tuples(st.just("sync"), st.sampled_from(PARTNER_IDS), st.sampled_from(sorted(SYNC))),
    st.tuples(st.just("overwrite"), st.sampled_from(PARTNER_IDS), st.sampled_from(sorted(OVERWRITE))),
)
_loads = st.tuples(histories.jumps, _files).map(lambda parts: Step(parts[0], file=parts[1]))
_steps = st.one_of(
    st.just(histories.IDLE), *[histories.events] * 6, histories.others, _batches, _batches, _loads
)
_modes = st.fixed_dictionaries(
    {
        number: st.builds(
            Mode, st.sampled_from((True, True, False)), st.sampled_from((True, True, True, False))
        )
        for number in DPIDS
    }
)


@st.composite
def nights(draw: st.DrawFn, *, quiet: bool = False) -> Night:
    """`quiet`: one catalog, both destinations on, every answer 200, and batches on command alone."""
    count = 1 if quiet else draw(st.integers(1, 3))
    drawn = histories.with_long_windows([_filed(draw(histories.editions())) for _ in range(count)])
    editions = [_without_orphans(edition) for edition in drawn]
    steps = draw(st.lists(_steps, min_size=STEPS, max_size=STEPS))
    kept = tuple(
        step
        for step in steps
        if step != histories.IDLE and not (quiet and (step.fail is not None or step.edit is not None))
    )
    modes = [draw(_modes) for _ in editions]
    if quiet:
        modes = [{number: mode._replace(enabled=True) for number, mode in modes[0].items()}]
    return Night(
        History(tuple(editions), kept),
        tuple(modes),
        not quiet and draw(st.sampled_from((False, False, False, True))),
    )


def _without_orphans(edition: Edition) -> Edition:
    """Segments whose rule names a trait that is gone go with it, and their mappings: a catalog must add up."""
    world = edition.world
    rules = {segment: rule for segment, rule in world.rules.items() if _traits(rule) <= world.traits.keys()}
    known = rules.keys() | world.told.keys()
    outlets = {
        number: outlet._replace(mapped=tuple(item for item in outlet.mapped if item.segment in known))
        for number, outlet in edition.outlets.items()
    }
    return Edition(world._replace(rules=rules), outlets)


def _traits(rule: Rule) -> set[int]:
    match rule:
        case ("held", int(trait)):
            return {trait}
        case ("frequency", tuple(traits), *_):
            return set(traits)
        case _:
            return {trait for part in rule[1:] if isinstance(part, tuple) for trait in _traits(part)}


def _filed(edition: Edition) -> Edition:
    """Two onboarded traits instead of one; told segments are not paused.

    A told membership that lapses in the second in which it is told again while its segment is paused may
    stay or go: both are right.
    """
    world = edition.world
    paused = frozenset(world.paused - world.told.keys())
    return edition._replace(world=world._replace(once=FILED, paused=paused))
