"""The catalogs of the simulation: few traits, short lives, three destinations, and editions to switch between.

Every edition knows all traits: so it does not matter under which an event arrived, and the truth follows from the
last edition alone. Some rules count, so it would matter how often one arrived, if it had no `event_id`.
"""

from __future__ import annotations

from functools import cache

from arke.domain.catalog import BatchSchedule, Catalog, DataSource, Destination, Mapping, Segment, Trait
from model.histories import text
from model.oracle import Rule, World

COOKIES = 12345
DEVICES = tuple(f"{number:038d}" for number in range(3))
PARTNER_IDS = ("p", "q", "r", "s")
NEWCOMERS = ("v", "w", "x", "y")
"""Ids that devices come with of which nobody has heard."""
LIVE, BOTH, BY_UUID = DESTINATIONS = (501, 502, 503)
"""Real time alone; real time and batch; the same under the UUID."""

TTL_DAYS = {1: 1, 2: 12, 3: 0}
TOLD_TTL_DAYS = {21: 12}
EDITIONS = 3

_HELD: dict[int, Rule] = {trait: ("held", trait) for trait in TTL_DAYS}
_RULES: tuple[dict[int, Rule], ...] = (
    {
        11: _HELD[1],
        12: ("and", _HELD[1], _HELD[2]),
        13: ("and", _HELD[3], ("not", _HELD[2])),
        15: ("frequency", (3,), None, 0, "==", 3),
    },
    {
        11: ("or", _HELD[1], _HELD[2]),
        12: ("and", _HELD[1], _HELD[2]),
        14: _HELD[3],
        15: ("frequency", (2, 3), None, 0, "==", 4),
    },
    {
        11: _HELD[2],
        13: ("and", _HELD[3], ("not", _HELD[1])),
        14: _HELD[1],
        15: ("and", _HELD[3], ("frequency", (3,), None, 0, "<=", 2)),
    },
)


@cache
def world(edition: int) -> World:
    return World(TTL_DAYS, frozenset(), _RULES[edition], TOLD_TTL_DAYS, frozenset())


@cache
def catalog(edition: int) -> Catalog:
    rules = _RULES[edition]
    segments = [Segment(id=number, rule=text(rule)) for number, rule in rules.items()]
    segments += [Segment(id=number, ttl_days=ttl_days) for number, ttl_days in TOLD_TTL_DAYS.items()]
    return Catalog(
        data_sources=(DataSource(id=COOKIES),),
        traits=tuple(
            Trait(id=number, ttl_days=ttl_days, rule=f'c_trait == "{number}"')
            for number, ttl_days in TTL_DAYS.items()
        ),
        segments=tuple(segments),
        destinations=tuple(_destination(number, segments) for number in DESTINATIONS),
    )


def _destination(number: int, segments: list[Segment]) -> Destination:
    return Destination(
        id=number,
        url=f"https://dsp{number}.example.com/",
        client_id="c",
        batch=BatchSchedule() if number != LIVE else None,
        user_dpids=(COOKIES, 0) if number == BY_UUID else (COOKIES,),
        max_users_per_request=2,
        segments=tuple(Mapping(segment=segment.id, alias=f"s{segment.id}") for segment in segments),
    )
