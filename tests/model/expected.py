"""What SPEC says of every request of a script, a function for each of its rules; nothing of the engine is used.

Who is in which segment when is the brute-force evaluator's to say; here is who speaks for which id, what is told to
whom, at which line of the script, and with which DateTime.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from model.oracle import DAY, Device, World, over
from model.scripts import CRM, DEVICES, WINDOW_DAYS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from model.scripts import Event, Line, Plan, Route

Name = tuple[int, str]
"""A partner id: DPID and id; under DPID 0 the device's own UUID."""


class Party(Device):
    """A device, or a person's home: when it came into and fell out of each segment, and what happened to it since
    it was last seen.
    """

    def __init__(self) -> None:
        super().__init__()
        self.since: dict[int, int] = {}
        self.lost: dict[int, int] = {}
        self.regions: set[int] = set()
        self.changed: set[int] = set()
        self.ids_changed: set[int] = set()
        self.remapped: set[int] = set()
        self.said_at = 0

    def _decide(self, world: World, now: int) -> frozenset[int]:
        before = self.members
        members = super()._decide(world, now)
        self.since |= dict.fromkeys(members - before, now)
        self.lost |= dict.fromkeys(before - members, now)
        self.changed |= members ^ before
        return members

    def live(self, world: World, after: int, until: int) -> None:
        """Pass every moment at which time alone may change something (SPEC section 12: TTL, recency)."""
        ends = {
            (self.heard or 0) + 120 * DAY,
            *(ts + world.told[told] * DAY for told, (_, ts) in self.told.items()),
        }
        for trait, times in self.times.items():
            last, ttl_days = max(times), world.traits[trait]
            ends.add((last // DAY + 2) * DAY if ttl_days == 1 else last + ttl_days * DAY)
            ends |= {time + days * DAY + late for time in times for days in WINDOW_DAYS for late in (0, 1)}
        for moment in sorted(moment for moment in ends if after < moment <= until):
            self.pass_time(world, moment)

    def seen(self) -> None:
        self.changed, self.ids_changed, self.remapped = set(), set(), set()


class Told(NamedTuple):
    """What a destination was told under a partner id, by alias; the DateTimes; and what its last batch found."""

    status: dict[str, int]
    times: dict[str, set[int]]
    batched: set[str]


class Town:
    """Everybody who was heard of: devices by UUID, homes by the person's id; and who speaks for which id."""

    def __init__(self) -> None:
        self.parties: dict[str, Party] = {}
        self.speaks: dict[Name, str] = {}
        self.devices_of: dict[str, set[str]] = {}
        self.moved: dict[Name, set[int]] = {}

    def hear(self, plan: Plan, line: Line) -> set[str]:
        """The line happens. Returns who is seen."""
        if line.apply is not None:
            for party in self.parties.values():
                party.pass_time(plan.world, line.at)
                party.remapped = set(plan.routes)
        if line.event is None:
            return set()
        if line.event.uuid is None:
            return self._hear_of_person(plan.world, line.event, line.at)
        device = self.parties.setdefault(line.event.uuid, Party())
        for name in line.event.ids:
            if name[0] == CRM:
                if name[1] in self.parties:
                    merge(plan.world, self.parties[name[1]], device, line.at)
                self.devices_of.setdefault(name[1], set()).add(line.event.uuid)
            self._take_over(name, line.event.uuid, line.at)
        self._see(device, plan.world, line.event, line.at)
        return {line.event.uuid}

    def _take_over(self, name: Name, uuid: str, now: int) -> None:
        """SPEC section 7: the newest mapping wins. Decision 0017: so the device that logged in last speaks."""
        before = self.speaks.get(name, name[1] if name[1] in self.parties else None)
        if before != uuid:
            self.speaks[name] = uuid
            self.parties[uuid].ids_changed.add(name[0])
            if before is not None:
                self.parties[before].ids_changed.add(name[0])
                self.moved.setdefault(name, set()).add(now)

    def _hear_of_person(self, world: World, event: Event, now: int) -> set[str]:
        """Decision 0036: it is heard at home, and brought to all devices of the person before it is answered; who
        speaks tells of it.
        """
        (name,) = event.ids
        home = self.parties.setdefault(name[1], Party())
        self._see(home, world, event, now)
        for uuid in self.devices_of.get(name[1], ()):
            merge(world, home, self.parties[uuid], now)
            self.parties[uuid].see(world, now, now)
        return {self.speaks.get(name, name[1])}

    @staticmethod
    def _see(party: Party, world: World, event: Event, now: int) -> None:
        party.see(world, now, now - event.late, {*event.realised, *event.traits}, event.memberships)
        party.said_at = now
        party.regions |= set() if event.region is None else {event.region}

    def names(self, route: Route) -> Iterator[tuple[Name, str]]:
        """Under which ids a destination knows whom: those it takes, each of whoever speaks for it; a home has
        no UUID (decisions 0004, 0017, 0036).
        """
        for name, uuid in self.speaks.items():
            if name[0] in route.dpids:
                yield name, uuid
        for key in self.parties:
            if key in DEVICES:
                if 0 in route.dpids:
                    yield (0, key), key
            elif CRM in route.dpids and (CRM, key) not in self.speaks:
                yield (CRM, key), key


def merge(world: World, home: Party, device: Party, now: int) -> None:
    """Decision 0036: what a home holds goes to the device: each realisation once, of two declarations the later."""
    for trait, times in home.times.items():
        if over(world.traits[trait], max(times), now):
            continue
        own = device.times.get(trait, [])
        both = sorted({*([] if own and over(world.traits[trait], max(own), now) else own), *times})
        device.times[trait] = both[-1:] if trait in world.once else both
    for segment, (status, ts) in home.told.items():
        if segment not in device.told or ts > device.told[segment][1]:
            device.told[segment] = (status, ts)


def ones(route: Route, party: Party) -> set[str]:
    """SPEC section 2: every mapped segment the user belongs to, under each of its aliases."""
    return {alias for alias, segment in route.mapped.items() if segment in party.members}


def zeros(route: Route, told: Told, held: set[str]) -> set[str]:
    """SPEC sections 2 and 4: what was told 1 and is over; none where no 0s are taken, and none for a mapping that
    is gone where `on_unmap` is silent.
    """
    return _sayable(route, {alias for alias, status in told.status.items() if status} - held)


def net(route: Route, told: Told, held: set[str]) -> tuple[set[str], set[str]]:
    """SPEC section 2: a batch has what is new since the one before, and what real time told otherwise."""
    gained = {alias for alias in held if alias not in told.batched or not told.status.get(alias)}
    return gained, zeros(route, told, held) | _sayable(route, told.batched - held)


def _sayable(route: Route, over: set[str]) -> set[str]:
    if not route.supports_unsegment:
        return set()
    return over & route.mapped.keys() if route.on_unmap == "silent" else over


def times_of_1(party: Party, segment: int, now: int, world: World) -> Iterable[int]:
    """SPEC section 2: when the membership was last verified: a told one when it was told; a computed one when it
    was evaluated, the last time that something was heard or since.
    """
    if segment in world.told:
        return (party.told[segment][1], party.since[segment])
    return range(min(party.said_at, party.since[segment]), now + 1)


def times_of_0(party: Party, segment: int, now: int, world: World) -> Iterable[int]:
    """SPEC section 2: when it was lost, or told to be over."""
    told = {party.told[segment][1]} if segment in party.told else set()
    return told | {party.lost[segment]} if segment in party.lost else told


def triggers(number: int, route: Route, party: Party, now: int, sent: int | None) -> list[str]:
    """SPEC section 3: for what a device that is seen is told of in real time."""
    found = {
        "1 and 2, a segment gained or lost": party.changed,
        "3, the mapping changed": number in party.remapped,
        "4, a partner id was added or removed": party.ids_changed & {*route.dpids},
        "5, three days since the last send": sent is not None and now - sent >= 3 * DAY,
    }
    return [trigger for trigger, set_off in found.items() if set_off]
