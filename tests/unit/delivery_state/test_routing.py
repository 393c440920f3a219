"""Routes and their marks, and which destinations a sighting sets off."""

from __future__ import annotations

from collections import Counter
from hashlib import blake2b
from itertools import count, islice
from random import Random
from typing import TYPE_CHECKING, cast

import pytest

from arke.domain.catalog import Catalog, Destination, Mapping, Segment
from arke.domain.change import Change, Turned
from arke.domain.membership import Membership
from arke.domain.memberships import PAGE
from arke.domain.profile import NEVER, Profile, SendMark
from arke.domain.time import day_start_ts
from arke.engine.shards import Shards
from arke.telling.records import Route
from arke.telling.routing import Routing
from arke.telling.triggers import REMIND_AFTER_S, destinations_to_tell

if TYPE_CHECKING:
    from arke.engine.identity.admission import Suppressed
    from arke.shard.protocol import ShardPort

DAY = 86_400
NOW = day_start_ts("2026-05-01")
SEGMENTS = (Segment(id=10), Segment(id=20, paused=True), Segment(id=30))


def destination(number: int, *mapped: Mapping, **options: object) -> Destination:
    return Destination(
        id=number,
        url="https://dsp.example.com/",
        client_id="c",
        user_dpids=(12345, 0),
        segments=mapped,
        **options,  # type: ignore[arg-type]
    )


def routing(*destinations: Destination, now: int = NOW, version: int = 1, **versions: int) -> Routing:
    catalog = Catalog(segments=SEGMENTS, destinations=destinations)
    return Routing(catalog, {int(key[1:]): value for key, value in versions.items()}, version, now)


def test_routing_holds_until_the_next_date() -> None:
    """Of any mapping of any destination; without dates for ever."""
    dated = Mapping(segment=10, start="2026-05-03", end="2026-05-05")
    one = destination(1, dated)
    other = destination(2, Mapping(segment=30, end="2026-05-02"))
    assert routing(one, other).until == NOW + DAY
    assert routing(one, other, now=NOW + DAY).until == NOW + 2 * DAY
    assert routing(one, other, now=NOW + 4 * DAY).until == NEVER
    assert routing(destination(1, Mapping(segment=10))).until == NEVER


def test_a_mark_moves_with_the_mappings_and_their_dates_alone() -> None:
    """Another catalog version leaves it; a version of its mappings and a passed date move it."""
    dated = destination(1, Mapping(segment=10, start="2026-05-02"))
    first = routing(dated, version=1, d1=1).routes[1].mark
    assert routing(dated, version=9, d1=1).routes[1].mark == first
    assert routing(dated, version=9, d1=9).routes[1].mark > first
    assert routing(dated, version=1, d1=1, now=NOW + DAY).routes[1].mark > first


def test_what_is_mapped_now() -> None:
    """Active mappings with their rank in the catalog; paused segments are frozen; sleeping ones are neither."""
    route = routing(
        destination(
            1,
            Mapping(segment=30, alias="thirty"),
            Mapping(segment=20),
            Mapping(segment=10),
            Mapping(segment=10, alias="later", start="2027-01-01"),
        )
    ).routes[1]
    assert route.aliases_of == {30: ((0, "thirty"),), 10: ((2, "10"),)}
    assert route.segment_of == {"thirty": 30, "10": 10}
    assert route.frozen == {"20": 20}


def test_destinations_that_take_no_real_time_are_not_set_off() -> None:
    """Neither by segment nor by id."""
    mapped = Mapping(segment=10)
    found = routing(
        destination(1, mapped, realtime=False), destination(2, mapped, enabled=False), destination(3, mapped)
    )
    assert found.by_segment == {10: (3,)}
    assert found.by_dpid == {12345: (3,), 0: (3,)}
    assert [number for number in (1, 2, 3, 4) if found.tells(number)] == [3]


def test_one_in_n_devices_is_in_the_sample() -> None:
    """Near enough the rate, by a hash that is the same on every machine."""
    route = routing(destination(1, sample_rate_denominator=10)).routes[1]
    chosen = [number for number in range(10_000) if route.samples(f"{number:038d}")]
    assert 850 < len(chosen) < 1_150
    assert chosen[:3] == _first_sampled(route)


def _first_sampled(route: Route) -> list[int]:
    denominator = route.destination.sample_rate_denominator
    return list(islice((number for number in count() if _drawn(number) % denominator == 0), 3))


def _drawn(number: int) -> int:
    return int.from_bytes(blake2b(b"%038d" % number, digest_size=8, salt=b"arke sample").digest(), "big")


@pytest.mark.parametrize("shards", [2, 3, 8])
def test_every_shard_has_its_part_of_the_sample(shards: int) -> None:
    """Drawn by the hash that chooses the shard, one device in two would be the devices of one shard of two."""
    route = routing(destination(1, sample_rate_denominator=shards)).routes[1]
    homes = Shards([cast("ShardPort", None)] * shards, cast("Suppressed", None))
    uuids = [f"{number:038d}" for number in range(1_000 * shards)]
    sampled = Counter(homes.number_of(uuid) for uuid in uuids if route.samples(uuid))
    assert set(sampled) == set(range(shards))
    assert all(1_000 / shards * 0.7 < found < 1_000 / shards * 1.3 for found in sampled.values())


def device(*held: int, mark: int = 0, **sends: SendMark) -> Profile:
    profile = Profile("0" * 38, routing_mark=mark)
    profile.memberships = {number: Membership(1, NOW, NOW, "rule") for number in held}
    profile.sends = {int(key[1:]): value for key, value in sends.items()}
    return profile


def test_a_change_sets_off_and_is_noted() -> None:
    """Destinations mapped to it, ascending; a segment nobody maps sets off nobody."""
    found = routing(destination(2, Mapping(segment=10)), destination(1, Mapping(segment=10)))
    profile = device(10, mark=found.mark)
    assert destinations_to_tell(found, profile, [Change(10, 1, "rule")], (), NOW).destinations == (1, 2)
    assert profile.sends == {number: SendMark(NOW, found.routes[number].mark) for number in (1, 2)}
    assert destinations_to_tell(found, profile, [Change(99, 1, "rule")], (), NOW + 1).destinations == ()


def test_packed_changes_set_off_whom_they_would_one_by_one() -> None:
    """Of three destinations, over what is mapped on two pages."""
    segments = [10, 30, 1_500]
    catalog = Catalog(
        segments=tuple(Segment(id=number) for number in segments),
        destinations=(
            destination(1, Mapping(segment=10), Mapping(segment=1_500)),
            destination(2, Mapping(segment=30)),
            destination(3, Mapping(segment=1_500), realtime=False),
        ),
    )
    found = Routing(catalog, {}, 1, NOW)
    rng = Random(3)
    for _ in range(60):
        changes = [
            Change(number, rng.randrange(2), "rule") for number in rng.sample([9, *segments, 2_000], 2)
        ]
        told = destinations_to_tell(found, device(mark=found.mark), changes, (), NOW).destinations
        turned = [packed_change(one) for one in changes]
        again = destinations_to_tell(found, device(mark=found.mark), (), (), NOW, (), turned).destinations
        assert again == told


def packed_change(change: Change) -> Turned:
    bits = (1 << change.segment % PAGE).to_bytes(PAGE // 8, "little")
    return Turned(change.segment // PAGE, bits if change.status else b"", b"" if change.status else bits)


def test_an_id_concerns_those_that_have_something_to_say() -> None:
    """In a mapped segment, or sent before; a device in nothing and never sent is not set off."""
    found = routing(destination(1, Mapping(segment=10)))
    before = SendMark(NOW, found.routes[1].mark)
    assert destinations_to_tell(found, device(mark=found.mark), (), {12345}, NOW).destinations == ()
    assert destinations_to_tell(found, device(10, mark=found.mark), (), {12345}, NOW).destinations == (1,)
    assert destinations_to_tell(found, device(mark=found.mark, d1=before), (), {12345}, NOW).destinations == (
        1,
    )
    assert (
        destinations_to_tell(found, device(10, mark=found.mark, d1=before), (), {777}, NOW).destinations == ()
    )


def test_three_days_to_the_second() -> None:
    """From the note of the last send."""
    found = routing(destination(1, Mapping(segment=10)))
    profile = device(10, mark=found.mark, d1=SendMark(NOW, found.routes[1].mark))
    assert destinations_to_tell(found, profile, (), (), NOW + REMIND_AFTER_S - 1).destinations == ()
    assert destinations_to_tell(found, profile, (), (), NOW + REMIND_AFTER_S).destinations == (1,)
    assert destinations_to_tell(found, profile, (), (), NOW + REMIND_AFTER_S + 1).destinations == ()


def test_a_destination_that_was_removed_is_passed_over() -> None:
    """Its note stays on the profile and sets off nothing, however old; likewise one that is switched off."""
    found = routing(destination(2, Mapping(segment=10), enabled=False))
    profile = device(10, mark=found.mark, d1=SendMark(0, 0), d2=SendMark(0, 0))
    assert destinations_to_tell(found, profile, (), (), NOW).destinations == ()
