"""Random catalogs and scripts of `arke simulate`, each from a seed: of devices, or of people and their devices.

What is inexact by decision is not drawn: a catalog edit that asks for longer windows than were kept (SPEC section
12), and a device that has realised something before it logs in as a person (decision 0036: the larger count).
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from model.histories import text
from model.oracle import DAY, Rule, World, holds

if TYPE_CHECKING:
    from pathlib import Path

COOKIES, STATIONS, GAID, CRM = 12345, 777, 20914, 778
"""Data sources; ids of the last one are those of people."""

DEVICES = tuple(digit * 38 for digit in "123456")
PEOPLE = ("h1", "h1", "h1", "h2")
PARTNER_IDS = {
    COOKIES: ("p", "q"),
    STATIONS: ("s", "t"),
    GAID: tuple(f"00000000-aaaa-4aaa-8aaa-00000000000{digit}" for digit in "01"),
}
TAKES = (
    {501: (COOKIES,), 502: (0, COOKIES), 503: (STATIONS, GAID), 504: (GAID, 0)},
    {501: (COOKIES,), 502: (CRM,), 503: (CRM, 0), 504: (0,)},
)
"""Which ids each destination takes; the second: where there are people."""

TRAITS = (1, 2, 3, 4, 5)
ONCE = 5
COMPUTED, TOLD = (11, 12, 13), (21, 22)
WINDOW_DAYS = (1, 2, 3, 5, 30, 119)


class Route(NamedTuple):
    """A destination: the ids it takes, the segment of each alias, and its options."""

    dpids: tuple[int, ...]
    mapped: dict[str, int]
    realtime: bool
    supports_unsegment: bool
    on_unmap: str


class Plan(NamedTuple):
    """A catalog."""

    world: World
    routes: dict[int, Route]


class Event(NamedTuple):
    """What an event says, of a device or, without `uuid`, of a person. `late`: how long before it arrived."""

    uuid: str | None
    ids: tuple[tuple[int, str], ...]
    realised: tuple[int, ...]
    traits: tuple[int, ...]
    memberships: dict[int, int]
    region: int | None
    late: int


class Line(NamedTuple):
    """A line of the script: an event, or a batch of a destination, or the number of a catalog that is applied."""

    at: int
    event: Event | None = None
    batch: int | None = None
    apply: int | None = None


class Script(NamedTuple):
    plans: tuple[Plan, ...]
    lines: tuple[Line, ...]


def script(seed: int, *, people: bool) -> Script:
    """The script of this seed: 5 to 40 lines; the first of its catalogs is in force at the beginning."""
    dice = Random(seed)
    plans, lines = [_plan(dice, people, None)], []
    first = datetime.fromisoformat(dice.choice(("2028-02-27", "2026-03-27", "2026-12-30"))).replace(
        tzinfo=UTC
    )
    times = [int(first.timestamp()) + dice.choice((0, 1, 3_600, DAY - 1, dice.randrange(DAY)))]
    persons = {uuid: dice.choice(PEOPLE) for uuid in DEVICES} if people else {}
    logged_in: set[str] = set()
    for _ in range(dice.randrange(10, 41) if people else dice.randrange(5, 31)):
        times.append(max(times[-1] + 6, _next_time(dice, times, people)))
        if people and times[-1] > times[0] + 100 * DAY:
            break
        kind = dice.random()
        if kind < 0.82:
            event = _event_at_home(dice, persons, logged_in) if people else _event(dice)
            lines.append(Line(times[-1], event=event))
        elif kind < 0.93:
            lines.append(Line(times[-1], batch=dice.choice((501, 502, 503, 504))))
        else:
            plans.append(_plan(dice, people, plans[-1]))
            lines.append(Line(times[-1], apply=len(plans) - 1))
    return Script(tuple(plans), tuple(lines))


def _next_time(dice: Random, times: list[int], people: bool) -> int:
    """On the second at which something ends, or one beside it, as often as not."""
    kind = dice.random()
    if kind < 0.5:
        return times[-1] + dice.choice(
            (7, 60, 3_600, DAY - 1, DAY, DAY, DAY + 1, 2 * DAY, 3 * DAY - 1, 3 * DAY)
        )
    if kind < 0.9:
        days = dice.choice(WINDOW_DAYS[:4] if people else (*WINDOW_DAYS, 120))
        return dice.choice(times[-6:]) + days * DAY + dice.choice((-1, 0, 1))
    return (times[-1] // DAY + dice.choice((1, 2))) * DAY + dice.choice((-1, 0, 1))


# --- events ---------------------------------------------------------------------------------------------


def _event(dice: Random) -> Event:
    ids = tuple((dpid, dice.choice(names)) for dpid, names in PARTNER_IDS.items() if dice.random() < 0.2)
    said = _said(dice, 0.5)
    region = dice.choice((6, 7, 9)) if dice.random() < 0.3 else None
    late = (1, 3_600, DAY - 1, DAY, DAY + 1, 2 * DAY, 5 * DAY, 5 * DAY + 1, 30 * DAY, 129 * DAY)
    ago = dice.choice(late) if dice.random() < 0.3 else 0
    return said._replace(uuid=dice.choice(DEVICES[:3]), ids=ids, region=region, late=ago)


def _event_at_home(dice: Random, persons: dict[str, str], logged_in: set[str]) -> Event:
    """About a person, or of a device: until it has logged in it realises nothing."""
    said = _said(dice, 0.2)
    if dice.random() < 0.4:
        return said._replace(ids=((CRM, dice.choice(PEOPLE)),))
    uuid = dice.choice(DEVICES)
    person = persons[uuid]
    ids = [(COOKIES, dice.choice(PARTNER_IDS[COOKIES]))] if dice.random() < 0.3 else []
    if dice.random() < 0.4:
        ids.append((CRM, person))
        logged_in.add(uuid)
    if uuid not in logged_in:
        said = said._replace(realised=(), traits=())
    return said._replace(uuid=uuid, ids=tuple(ids))


def _said(dice: Random, quiet: float) -> Event:
    """Some say nothing: somebody is seen."""
    if dice.random() < quiet:
        return Event(None, (), (), (), {}, None, 0)
    realised = dice.choice(((), (1,), (2,), (3,), (4,), (1, 2), (3, 4), (1, 2, 3, 4)))
    traits = dice.sample((1, 2, 3, ONCE, 99), dice.choice((1, 2))) if dice.random() < 0.3 else ()
    told = dice.sample(TOLD, dice.choice((1, 2))) if dice.random() < 0.8 else ()
    memberships = {segment: dice.choice((0, 1)) for segment in told}
    return Event(None, (), realised, tuple(traits), memberships, None, 0)


# --- catalogs -------------------------------------------------------------------------------------------


def _plan(dice: Random, people: bool, before: Plan | None) -> Plan:
    """A catalog, or the one before with other mappings and, where there are no people, other rules."""
    again = before is None or (not people and dice.random() < 0.4)
    world = _world(dice, people) if before is None or again else before.world
    routes = {}
    for number, dpids in TAKES[people].items():
        was = before.routes[number] if before else None
        route = was or Route(
            dpids,
            {},
            dice.random() < 0.75,
            dice.random() < 0.6,
            dice.choice(("unsegment", "unsegment", "silent")),
        )
        routes[number] = route if was and dice.random() < 0.5 else route._replace(mapped=_mapped(dice))
    return Plan(world, routes)


def _world(dice: Random, people: bool) -> World:
    rules = {segment: _counted(dice) if people else _rule(dice) for segment in COMPUTED}
    for segment, rule in rules.items():
        if holds(rule, {}, 0):  # a rule that is true for an empty profile is refused
            rules[segment] = ("and", ("held", dice.choice(TRAITS)), rule)
    if not people:  # the longest windows, so that edits find what they ask for
        rules |= {900 + trait: ("frequency", (trait,), "<=", 119, ">=", 1) for trait in TRAITS}
    ttls = {trait: dice.choice((0, 30, 120) if people else (0, 1, 1, 2, 5, 30, 120)) for trait in TRAITS}
    told = {segment: dice.choice((2, 5) if people else (0, 1, 2, 30)) for segment in TOLD}
    return World(ttls, frozenset((ONCE,)), rules, told, frozenset())


def _mapped(dice: Random) -> dict[str, int]:
    aliases: dict[str, int] = {}
    for segment in (*COMPUTED, *TOLD):
        some = dice.choice(
            ((f"{segment}",), (f"{segment}",), (), (f"x {segment}",), (f"a{segment}", f"b{segment}"))
        )
        aliases |= dict.fromkeys(some, segment)
    return aliases


def _rule(dice: Random, depth: int = 0) -> Rule:
    kind = dice.random()
    if depth > 2 or kind < 0.5:
        return _frequency(dice, dice.choice((1, 1, 2, 3))) if kind < 0.4 else ("held", dice.choice(TRAITS))
    if kind < 0.62:
        return ("not", _rule(dice, depth + 1))
    return (dice.choice(("and", "or")), _rule(dice, depth + 1), _rule(dice, depth + 1))


def _counted(dice: Random) -> Rule:
    """For people: how often ever, of a trait that another rule asks for in a short window."""
    trait = dice.choice((1, 2))
    if dice.random() < 0.4:
        return ("frequency", (trait,), "<=", dice.choice((1, 2, 3)), ">=", 1)
    return ("frequency", (trait,), None, 0, dice.choice((">=", "==")), dice.choice((2, 3, 4)))


def _frequency(dice: Random, among: int) -> Rule:
    some = tuple(dice.sample(TRAITS, among))
    recency = dice.choice((None, "<=", "<=", ">="))
    count = dice.choice((0, 1, 1, 2, 2, 3, 5))
    return ("frequency", some, recency, dice.choice(WINDOW_DAYS), dice.choice((">=", "<=", "==")), count)


# --- files ----------------------------------------------------------------------------------------------


def write(folder: Path, script: Script) -> tuple[Path, Path]:
    """The script and its first catalog, as files of this folder."""
    for number, plan in enumerate(script.plans):
        (folder / f"catalog-{number}.json").write_text(json.dumps(_catalog(plan)))
    path = folder / "script.ndjson"
    path.write_text("".join(json.dumps(_line(line)) + "\n" for line in script.lines))
    return path, folder / "catalog-0.json"


def _catalog(plan: Plan) -> dict[str, Any]:
    traits = [
        {"id": trait, "ttl_days": days}
        | (
            {"kind": "onboarded", "data_source": COOKIES}
            if trait == ONCE
            else {"rule": f'c_trait == "{trait}"'}
        )
        for trait, days in plan.world.traits.items()
    ]
    computed = [{"id": segment, "rule": text(rule)} for segment, rule in plan.world.rules.items()]
    external = [{"id": segment, "ttl_days": days} for segment, days in plan.world.told.items()]
    return {
        "data_sources": [*({"id": dpid} for dpid in PARTNER_IDS), {"id": CRM, "kind": "cross_device"}],
        "traits": traits,
        "segments": [*computed, *external],
        "destinations": [_destination(number, route) for number, route in plan.routes.items()],
    }


def _destination(number: int, route: Route) -> dict[str, Any]:
    return {
        "id": number,
        "url": f"https://dsp{number}.example.com/",
        "client_id": "c",
        "user_dpids": route.dpids,
        "realtime": route.realtime,
        "batch": {"every": "24h", "at": "02:00"},
        "supports_unsegment": route.supports_unsegment,
        "on_unmap": route.on_unmap,
        "segments": [{"segment": segment, "alias": alias} for alias, segment in route.mapped.items()],
    }


def _line(line: Line) -> dict[str, Any]:
    at = {"at": datetime.fromtimestamp(line.at, UTC).isoformat()}
    if line.event is None:
        return at | ({"batch": line.batch} if line.batch else {"apply": f"catalog-{line.apply}.json"})
    event = line.event
    said: dict[str, Any] = {
        "ids": [{"dpid": dpid, "id": name} for dpid, name in event.ids],
        "signals": {"c_trait": [str(trait) for trait in event.realised]} if event.realised else {},
        "traits": event.traits,
        "memberships": {str(segment): status for segment, status in event.memberships.items()},
    }
    said |= {} if event.uuid is None else {"uuid": event.uuid}
    said |= {} if event.region is None else {"region": event.region}
    return at | {"event": said | ({"ts": line.at - event.late} if event.late else {})}
