"""The brute-force evaluator: every realisation of a device kept, every membership worked out anew.

Slow and plain on purpose; nothing of the engine is used. `see` is what an event does, `pass_time` what is true
at a later moment though nothing was heard. A trait whose time-to-live ended is forgotten with its counts, and
so is a told membership; both come to the same whether one asks at every second or once, at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DAY = 86_400
INACTIVE_S = 120 * DAY
"""Without an event or a file about it a device is in nothing; when it is heard of again, what it holds counts."""

Rule = tuple[object, ...]
"""`("held", trait)`, `("not", rule)`, `("and", rule, rule)`, `("or", rule, rule)` or
`("frequency", traits, recency, days, comparison, count)`, whose recency is `<=`, `>=` or None.
"""


class World(NamedTuple):
    """What a catalog says of profiles: per trait its time-to-live in days, per segment its rule or, told ones,
    their time-to-live in days. `once` are the onboarded traits.
    """

    traits: dict[int, int]
    once: frozenset[int]
    rules: dict[int, Rule]
    told: dict[int, int]
    paused: frozenset[int]


def over(ttl_days: int, since: int, now: int) -> bool:
    """Whether a time-to-live has ended: 0 never does, 1 ends with the next UTC day, n after n x 24 h."""
    if ttl_days == 0:
        return False
    if ttl_days == 1:
        return now // DAY > since // DAY + 1
    return now - since >= ttl_days * DAY


def holds(rule: Rule, times: Mapping[int, list[int]], now: int) -> bool:
    match rule:
        case ("held", int(trait)):
            return trait in times
        case ("not", tuple(part)):
            return not holds(part, times, now)
        case ("and", tuple(left), tuple(right)):
            return holds(left, times, now) and holds(right, times, now)
        case ("or", tuple(left), tuple(right)):
            return holds(left, times, now) or holds(right, times, now)
        case ("frequency", tuple(traits), recency, int(days), comparison, int(count)):
            found = 0
            for trait in set(traits):
                for time in times.get(trait, []):
                    ago = now - time
                    within = ago <= days * DAY if recency == "<=" else ago >= days * DAY
                    found += recency is None or within
            return {">=": found >= count, "<=": found <= count, "==": found == count}[str(comparison)]
        case _:
            raise AssertionError(rule)


class Device:
    """One device: all its realisations, the last telling per told segment, the segments it is in, and when it
    was heard of last.
    """

    def __init__(self) -> None:
        self.times: dict[int, list[int]] = {}
        self.told: dict[int, tuple[int, int]] = {}
        self.members: frozenset[int] = frozenset()
        self.heard: int | None = None

    def see(
        self,
        world: World,
        now: int,
        ts: int,
        realised: Iterable[int] = (),
        memberships: Mapping[int, int] | None = None,
    ) -> frozenset[int]:
        """An event arrives at `now` that happened at `ts`; returns the segments the device is in then."""
        for segment, status in (memberships or {}).items():
            self._tell(world, segment, status, ts, now)
        self._forget(world, now)
        for trait in set(realised) & world.traits.keys():
            self._realise(world, trait, ts, now)
        self.heard = now
        return self._decide(world, now)

    def pass_time(self, world: World, now: int) -> frozenset[int]:
        """Nothing is heard of the device; time went on, or another catalog came into force."""
        self._forget(world, now)
        return self._decide(world, now)

    def load(self, world: World, now: int, add: Iterable[int], drop: Iterable[int]) -> frozenset[int]:
        """A file gives the device onboarded traits and takes others away."""
        for trait in drop:
            self.times.pop(trait, None)
        return self.see(world, now, now, add)

    def _decide(self, world: World, now: int) -> frozenset[int]:
        was = self.members
        if self.heard is None or now - self.heard >= INACTIVE_S:
            self.members = frozenset()
            return self.members
        computed = {
            segment
            for segment, rule in world.rules.items()
            if (segment in was if segment in world.paused else holds(rule, self.times, now))
        }
        told = {segment for segment in world.told if self.told.get(segment, (0, 0))[0]}
        self.members = frozenset(computed | told)
        return self.members

    def _forget(self, world: World, now: int) -> None:
        for trait, times in list(self.times.items()):
            if trait not in world.traits or over(world.traits[trait], max(times), now):
                del self.times[trait]
        for segment, (_, ts) in self.told.items():
            ttl_days = world.told.get(segment)
            if ttl_days is None or (ttl_days and now - ts >= ttl_days * DAY):
                self.told[segment] = (0, ts)

    def _realise(self, world: World, trait: int, ts: int, now: int) -> None:
        if trait not in self.times and over(world.traits[trait], ts, now):
            return
        times = self.times.setdefault(trait, [])
        times.append(ts)
        if trait in world.once:
            times[:] = [max(times)]

    def _tell(self, world: World, segment: int, status: int, ts: int, now: int) -> None:
        if segment not in world.told:
            return
        was = self.told.get(segment)
        if was is not None and ts < was[1]:
            return
        ttl_days = world.told[segment]
        if status and ttl_days and now - ts >= ttl_days * DAY:
            return
        if status and segment in world.paused and not (was is not None and was[0]):
            return
        self.told[segment] = (status, ts)
