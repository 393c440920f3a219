"""Random catalogs and histories, small enough that everything meets everything, and printed as they are.

Times come from jumps, many of them onto the exact second at which a window or a time-to-live ends.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, NamedTuple

from hypothesis import strategies as st

from arke.domain.catalog import Catalog, DataSource, Destination, Mapping, Segment, Trait
from model.oracle import DAY, Rule, World, holds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from model.oracle import Device

START = 20_000 * DAY
"""A midnight in 2024."""

STEPS = 50
TRAITS = (1, 2, 3, 4, 5)
ONCE = 5
COMPUTED = (11, 12, 13)
TOLD = (21, 22)
COOKIES = 12345
SUBSCRIBER, PLAIN = 501, 502
"""Two destinations: one takes cookies, the other cookies and the devices' own UUIDs."""

MAPPED_FROM, MAPPED_UNTIL = 3, 10
"""Days of the history on which mappings begin and end, where they do."""

TTL_DAYS = (0, 1, 2, 5, 30)
WINDOW_DAYS = (1, 2, 5, 30)


class Mapped(NamedTuple):
    """A mapping: from day `start` to day `end` of the history, None for without end."""

    segment: int
    alias: str
    start: int | None
    end: int | None


class Outlet(NamedTuple):
    """What varies of a destination."""

    mapped: tuple[Mapped, ...]
    supports_unsegment: bool
    on_unmap: str


class Edition(NamedTuple):
    """One version of the catalog."""

    world: World
    outlets: dict[int, Outlet]


class Jump(NamedTuple):
    """How time goes on: `seconds` on; or to `days` after an earlier step `back` steps ago, plus `seconds`."""

    seconds: int
    back: int = 0
    days: int = 0


class Step(NamedTuple):
    """One event of one device, or with `edit` a new catalog edition, or with `fail` failing answers, or with
    `batch` a batch of a destination, or with `file` an onboarding file: kind, partner id and items.
    """

    jump: Jump
    device: int = 0
    realised: tuple[int, ...] = ()
    told_traits: tuple[int, ...] = ()
    late: int = 0
    memberships: tuple[tuple[int, int], ...] = ()
    ids: tuple[str, ...] = ()
    edit: int | None = None
    fail: tuple[int, int] | None = None
    batch: int | None = None
    file: tuple[str, str, str] | None = None


class History(NamedTuple):
    """Catalog editions, of which the first is in force at the beginning, and what happens then."""

    editions: tuple[Edition, ...]
    steps: tuple[Step, ...]

    def __repr__(self) -> str:
        lines = [f"edition {number}: {edition}" for number, edition in enumerate(self.editions)]
        lines += [
            f"{at - START:>9} s: {step}" for at, step in zip(moments(self.steps), self.steps, strict=True)
        ]
        return "\n".join(["History(", *lines, ")"])


IDLE = Step(Jump(0))


def moments(steps: Sequence[Step], *, gap_s: int = 0) -> list[int]:
    """When each step happens: never before the one before it, and at least `gap_s` later."""
    times = [START]
    for step in steps:
        jump = step.jump
        aim = times[-1] + jump.seconds
        if jump.days:
            aim = times[max(0, len(times) - 1 - jump.back)] + jump.days * DAY + jump.seconds
        times.append(max(aim, times[-1] + gap_s))
    return times[1:]


def as_they_are(devices: Sequence[Device]) -> tuple[Device, ...]:
    """Copies that stay so. (What Python copies deeply by itself takes longer than the brute-force evaluator.)"""
    copies = tuple(copy.copy(device) for device in devices)
    for device in copies:
        device.times = {trait: list(times) for trait, times in device.times.items()}
        device.told = dict(device.told)
    return copies


def text(rule: Rule) -> str:
    """The rule as a catalog has it."""
    match rule:
        case ("held", trait):
            return f"{trait}T"
        case ("not", tuple(part)):
            return f"NOT ({text(part)})"
        case ("and" | "or", tuple(left), tuple(right)):
            return f"({text(left)}) {str(rule[0]).upper()} ({text(right)})"
        case ("frequency", tuple(traits), recency, days, comparison, count):
            window = f" {recency} {days}D" if recency is not None else ""
            return f"FREQUENCY([{','.join(f'{trait}T' for trait in traits)}]{window}) {comparison} {count}"
        case _:
            raise AssertionError(rule)


def catalog(edition: Edition) -> Catalog:
    """The edition as the engine takes it."""
    world = edition.world
    traits = tuple(
        Trait(id=trait, ttl_days=ttl_days, kind="onboarded", data_source=COOKIES)
        if trait in world.once
        else Trait(id=trait, ttl_days=ttl_days, rule=f'c_trait == "{trait}"')
        for trait, ttl_days in world.traits.items()
    )
    computed = (
        Segment(id=segment, rule=text(rule), paused=segment in world.paused)
        for segment, rule in world.rules.items()
    )
    told = (
        Segment(id=segment, ttl_days=ttl_days, paused=segment in world.paused)
        for segment, ttl_days in world.told.items()
    )
    destinations = tuple(_destination(number, outlet) for number, outlet in edition.outlets.items())
    return Catalog(
        data_sources=(DataSource(id=COOKIES),),
        traits=traits,
        segments=(*computed, *told),
        destinations=destinations,
    )


def _destination(number: int, outlet: Outlet) -> Destination:
    return Destination(
        id=number,
        url=f"https://dsp{number}.example.com/",
        client_id="c",
        batch=None,
        user_dpids=(COOKIES, 0) if number == PLAIN else (COOKIES,),
        supports_unsegment=outlet.supports_unsegment,
        on_unmap="silent" if outlet.on_unmap == "silent" else "unsegment",
        segments=tuple(
            Mapping(segment=item.segment, alias=item.alias, start=_day(item.start), end=_day(item.end))
            for item in outlet.mapped
        ),
    )


def _day(number: int | None) -> str | None:
    from datetime import UTC, datetime

    return None if number is None else datetime.fromtimestamp(START + number * DAY, UTC).date().isoformat()


# --- strategies -----------------------------------------------------------------------------------------

_some_traits = st.lists(st.sampled_from(TRAITS), min_size=1, max_size=3, unique=True).map(tuple)
_frequencies = st.tuples(
    st.just("frequency"),
    _some_traits,
    st.sampled_from((None, "<=", ">=")),
    st.sampled_from(WINDOW_DAYS),
    st.sampled_from((">=", "<=", "==")),
    st.integers(0, 3),
)
_terms = st.one_of(st.tuples(st.just("held"), st.sampled_from(TRAITS)), _frequencies)
_rules = st.recursive(
    _terms,
    lambda parts: st.one_of(
        st.tuples(st.just("not"), parts), st.tuples(st.sampled_from(("and", "or")), parts, parts)
    ),
    max_leaves=4,
)


@st.composite
def _positive_rules(draw: st.DrawFn) -> Rule:
    """A rule that is not true for an empty profile: what is gets a trait that must be held."""
    rule: Rule = draw(_rules)
    return ("and", ("held", draw(st.sampled_from(TRAITS))), rule) if holds(rule, {}, 0) else rule


@st.composite
def _outlets(draw: st.DrawFn) -> Outlet:
    mapped = []
    for segment in (*COMPUTED, *TOLD):
        for alias in draw(st.sampled_from((("a",), ("a",), (), ("b",), ("a", "b")))):
            start = draw(st.sampled_from((None, None, None, MAPPED_FROM)))
            end = draw(st.sampled_from((None, None, None, MAPPED_UNTIL)))
            mapped.append(Mapped(segment, f"{segment}{alias}", start, end))
    return Outlet(
        tuple(mapped),
        draw(st.sampled_from((True, True, True, False))),
        draw(st.sampled_from(("unsegment", "unsegment", "silent"))),
    )


@st.composite
def editions(draw: st.DrawFn) -> Edition:
    ttls = {trait: draw(st.sampled_from((*TTL_DAYS, *TTL_DAYS, None))) for trait in TRAITS}
    segments = {
        segment: draw(st.one_of(_positive_rules(), _positive_rules(), st.none())) for segment in COMPUTED
    }
    told = {segment: draw(st.sampled_from((*TTL_DAYS, None))) for segment in TOLD}
    paused = draw(st.sampled_from(((), (), (), (COMPUTED[0],), (TOLD[0],))))
    world = World(
        {trait: ttl_days for trait, ttl_days in ttls.items() if ttl_days is not None},
        frozenset((ONCE,)),
        {segment: rule for segment, rule in segments.items() if rule is not None},
        {segment: ttl_days for segment, ttl_days in told.items() if ttl_days is not None},
        frozenset(paused),
    )
    outlets = {number: draw(_outlets()) for number in (SUBSCRIBER, PLAIN)}
    known = world.rules.keys() | world.told.keys()
    return Edition(
        world,
        {
            number: outlet._replace(mapped=tuple(item for item in outlet.mapped if item.segment in known))
            for number, outlet in outlets.items()
        },
    )


jumps = st.one_of(
    st.sampled_from((0, 1, 60, 3_600, DAY - 1, DAY, 2 * DAY, 3 * DAY, 40 * DAY, 200 * DAY)).map(Jump),
    st.tuples(st.sampled_from((-1, 0, 1)), st.integers(0, 6), st.sampled_from((1, 1, 2, 2, 3, 5, 5, 30))).map(
        Jump._make
    ),
)
_few_traits = st.sampled_from(((), (1,), (2,), (3,), (4,), (1, 2), (3, 4), (1, 1), (1, 2, 3, 4)))
_late = st.sampled_from(
    (0, 0, 0, 0, 1, 3_600, DAY - 1, DAY, 2 * DAY, 5 * DAY, 5 * DAY + 1, 30 * DAY, 130 * DAY)
)
events = st.tuples(
    jumps,
    st.integers(0, 2),
    _few_traits,
    st.sampled_from(((), (), (ONCE,), (1,), (2, ONCE), (99,))),
    _late,
    st.sampled_from(((), (), ((21, 1),), ((21, 0),), ((22, 1),), ((21, 1), (22, 0)))),
    st.sampled_from(((), (), (), ("p",), ("q",), ("p", "q"), ("r",))),
).map(lambda parts: Step(*parts))
others = st.one_of(
    st.tuples(jumps, st.integers(0, 2)).map(lambda parts: Step(parts[0], edit=parts[1])),
    st.tuples(jumps, st.tuples(st.sampled_from((SUBSCRIBER, PLAIN)), st.integers(1, 4))).map(
        lambda parts: Step(parts[0], fail=parts[1])
    ),
)
_steps = st.one_of(st.just(IDLE), *[events] * 8, others)


@st.composite
def histories(draw: st.DrawFn, *, failures: bool = True) -> History:
    """Steps that shrink to nothing disappear, so that what is printed is what matters."""
    drawn = [draw(editions()) for _ in range(draw(st.integers(1, 3)))]
    steps = draw(st.lists(_steps, min_size=STEPS, max_size=STEPS))
    kept = [step for step in steps if step != IDLE and (failures or step.fail is None)]
    return History(tuple(with_long_windows(drawn)), tuple(kept))


def with_long_windows(drawn: list[Edition]) -> list[Edition]:
    """Editions that all ask for the longest window any of them asks for, by segments of its own.

    Counters are exact for the longest window a rule asks for and summarised beyond (SPEC section 12), so a
    later edition with a longer window would not find what the brute-force evaluator kept.
    """
    if len(drawn) == 1:
        return drawn
    longest: dict[int, int] = {}
    for edition in drawn:
        for rule in edition.world.rules.values():
            for trait, days in _windows(rule):
                longest[trait] = max(days, longest.get(trait, 0))
    keepers: dict[int, Rule] = {
        900 + trait: ("frequency", (trait,), "<=", days, ">=", 1) for trait, days in longest.items()
    }
    return [
        edition._replace(world=edition.world._replace(rules=edition.world.rules | keepers))
        for edition in drawn
    ]


def _windows(rule: Rule) -> list[tuple[int, int]]:
    match rule:
        case ("frequency", tuple(traits), "<=" | ">=", int(days), _, _):
            return [(trait, days) for trait in traits]
        case ("frequency" | "held", *_):
            return []
        case _:
            return [found for part in rule[1:] if isinstance(part, tuple) for found in _windows(part)]
