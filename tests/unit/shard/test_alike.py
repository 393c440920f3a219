"""Devices in the same state that a walk comes to come out as each would by itself."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import msgspec
import pytest

from arke.domain.catalog import Catalog, DataSource, Destination, Mapping, Segment, Trait
from arke.domain.event import Event
from arke.domain.membership import Membership
from arke.domain.profile import (
    NEVER,
    Bar,
    DepartedId,
    FileMark,
    PartnerId,
    Profile,
    ProfileParts,
    SendMark,
    TraitState,
)
from arke.domain.stored_profile import decode_parts, decode_profile, encode_profile, encode_with_state
from arke.domain.time import DAY_S
from arke.evaluation.evaluate import leave_all
from arke.shard.alike import TRIED, Alike, Outcome
from arke.shard.commands import Backfill, Evaluated, Sight, Sweep
from arke.shard.ruling import Ruling
from arke.shard.runner import GroupRunner
from arke.storage.committer import InlineCommitter
from arke.storage.ports.shard import GroupWrites, Needs
from arke.storage.sqlite.connection import MEMORY
from arke.storage.sqlite.store import SqliteShardStore
from arke.telling.routing import Routing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.domain.change import JournalRecord
    from arke.shard.commands import Command, Result

NOW = 1_790_000_000
BEGUN = NOW - 40 * DAY_S
EXTERNAL = 900
MANY = range(2_000, 2_080)


def catalog(rule: str = "1T") -> Catalog:
    return Catalog(
        data_sources=(DataSource(id=501),),
        traits=tuple(Trait(id=number, kind="onboarded", ttl_days=number % 4 * 10) for number in range(1, 13)),
        segments=(
            *(
                Segment(id=100 + n, rule=f"{n}T AND NOT {n % 12 + 1}T OR {(n + 5) % 12 + 1}T")
                for n in range(2, 13)
            ),
            Segment(id=101, rule=rule),
            Segment(id=113, rule="FREQUENCY([2T] <= 20D) >= 1"),
            Segment(id=EXTERNAL, ttl_days=30),
            *(Segment(id=number, rule="1T") for number in MANY),
        ),
        destinations=(
            Destination(
                id=7,
                client_id="seven",
                url="https://partner.example/in",
                user_dpids=(501,),
                segments=(Mapping(segment=101), Mapping(segment=105), Mapping(segment=EXTERNAL)),
            ),
        ),
    )


CATALOG = catalog()
FINGERPRINT = Ruling(CATALOG, 1, {}).compiled.fingerprint


def uuid(number: int) -> str:
    return f"{number:038d}"


def state(shape: int) -> Profile:
    """One of some states that devices are in, of which some are a hair beside each other."""
    rng = random.Random(shape // 2)
    held = rng.sample(range(1, 13), rng.randrange(1, 6))
    at = {trait: BEGUN + rng.choice((0, 10 * DAY_S)) for trait in held}
    segments = [100 + trait for trait in held] + [EXTERNAL] * rng.randrange(2)
    if shape % 6 == 0:
        segments += MANY
    found = Profile(
        "",
        evaluated=BEGUN + 10 * DAY_S,
        due=NOW,
        fingerprint=FINGERPRINT,
        realisations=len(held),
        traits={trait: TraitState(ts, 0, [ts]) for trait, ts in at.items()},
        memberships={
            segment: Membership(1, BEGUN, BEGUN, "told" if segment == EXTERNAL else "rule")
            for segment in segments
        },
        sends={7: SendMark(BEGUN, 1, untold=shape % 3 == 0)} if shape % 4 else {},
        heard=BEGUN + shape % 2,
        wake=NOW,
    )
    if shape % 11 == 0:
        leave_all(found, "opt_out", BEGUN)
        found.traits, found.realisations, found.opted_out = {}, 0, BEGUN
    return found


def profile(number: int, shapes: int) -> Profile:
    """What is a device's own does not follow from its state."""
    key = uuid(number)
    if number % 13 == 0:
        key = f"501:person-{number}"
    if number % 17 == 0:
        key = f"~{number}"
    return msgspec.structs.replace(
        state(number * 7 % shapes),
        uuid=key,
        seen=number,
        routing_mark=number % 5,
        ids=[PartnerId(501, f"id-{number}", 0, BEGUN, number, arriving=number % 2 == 0)] * (number % 3),
        regions=[number % 7],
        departed=[DepartedId(f"{number}", number)] if number % 5 == 0 else [],
        file=FileMark(3, number, number) if number % 2 else None,
        bar=Bar(number) if number % 19 == 0 else None,
    )


async def filled(count: int, shapes: int) -> SqliteShardStore:
    store = SqliteShardStore(MEMORY, committer=InlineCommitter(), key=b"k" * 16)
    profiles = {number: profile(number, shapes) for number in range(1, count + 1)}
    await store.commit(
        GroupWrites(profiles=profiles, wakes=dict.fromkeys(profiles, (NEVER, NOW)), counted_to=NEVER)
    )
    return store


async def run(runner: GroupRunner, store: SqliteShardStore, commands: Sequence[Command]) -> list[Result]:
    result = await runner.run(commands)
    await store.commit(result.writes)
    runner.committed(result)
    return result.results


async def walked(store: SqliteShardStore, ruling: Ruling, piece: int, *, backfill: bool) -> None:
    """Walk over all. In pieces of one, each by a runner that remembers nothing, nobody becomes like another one."""
    runner = GroupRunner(store, ruling)
    await runner.start()
    after = -1
    while True:
        if piece == 1:
            runner = GroupRunner(store, ruling)
            await runner.start()
        one = Backfill(ruling.compiled.fingerprint, NOW, after, piece) if backfill else Sweep(NOW, piece)
        (answer,) = await run(runner, store, [one])
        assert isinstance(answer, Evaluated)
        if not answer.profiles:
            return
        after = answer.uid


def told(record: JournalRecord) -> tuple[object, ...]:
    return (record.uid, record.at, record.kind, record.changes, record.turned, record.destinations)


async def everything(store: SqliteShardStore) -> tuple[object, ...]:
    return (
        await store.profile_bodies(-1, 10_000),
        [told(one) for one in await store.journal(0, 10_000)],
        (await store.load(Needs(due={(NEVER, 10_000)}))).due,
        await store.next_due(),
        await store.segment_sizes(None),
    )


@pytest.mark.parametrize("shapes", [12, 60])
@pytest.mark.parametrize("backfill", [False, True])
async def test_who_is_in_the_same_state_comes_out_as_by_itself(shapes: int, *, backfill: bool) -> None:
    ruling = Ruling(catalog("1T OR 3T OR 5T"), 2, {}) if backfill else Ruling(CATALOG, 1, {})
    stores = []
    for piece in (1, 97):
        store = await filled(400, shapes)
        await walked(store, ruling, piece, backfill=backfill)
        stores.append(await everything(store))
        await store.close()
    alone, together = stores
    assert together == alone
    assert len({changes for _, _, _, changes, *_ in together[1]}) > 5  # type: ignore[attr-defined]


async def test_an_event_of_the_same_group_goes_before_and_after_a_sweep() -> None:
    """Whoever a command names is not taken for what is stored."""
    ruling = Ruling(CATALOG, 1, {})
    found = []
    for pieces in (False, True):
        store = await filled(60, 12)
        runner = GroupRunner(store, ruling)
        await runner.start()
        some = [uuid(number) for number in (1, 2, 13, 25, 37)]
        commands: list[Command] = [
            *(Sight(Event(uuid=one, at=NOW, ts=NOW, memberships={EXTERNAL: 1})) for one in some[:3]),
            Sweep(NOW, 60),
            *(Sight(Event(uuid=one, at=NOW, ts=NOW, memberships={EXTERNAL: 0})) for one in some[2:]),
        ]
        if pieces:
            for command in commands:
                await run(runner, store, [command])
        else:
            await run(runner, store, commands)
        bodies, journal, *rest = await everything(store)
        found.append((bodies, sorted(journal, key=str), rest))  # type: ignore[call-overload]
        await store.close()
    assert found[0] == found[1]


async def test_two_walks_of_a_group_come_to_the_same_devices() -> None:
    """The second one finds what the first one has left."""
    ruling = Ruling(catalog("1T OR 3T OR 5T"), 2, {})
    fingerprint = ruling.compiled.fingerprint
    walks: list[list[Command]] = [[Sweep(NOW, 30)], [Backfill(fingerprint, NOW, -1, 60)], [Sweep(NOW, 60)]]
    found = []
    for groups in (walks, [[one for group in walks for one in group]]):
        store = await filled(60, 12)
        runner = GroupRunner(store, ruling)
        await runner.start()
        for commands in groups:
            await run(runner, store, commands)
        bodies, journal, *_ = await everything(store)
        found.append((bodies, journal))
        await store.close()
    (alone, first), (together, second) = found
    assert together == alone
    assert second == first


def test_parts_are_a_profile() -> None:
    """Field by field, the ones that are missing in what an earlier version stored included."""
    assert Profile.__struct_fields__ == ProfileParts.__struct_fields__
    whole = profile(95, 12)
    parts = decode_parts(encode_profile(whole))
    assert encode_with_state(parts, parts) == encode_profile(whole)
    bare = decode_parts(msgspec.msgpack.encode([uuid(1)]))
    assert decode_profile(encode_with_state(bare, bare)) == Profile(uuid(1))


def test_who_stays_who_he_is() -> None:
    """The state is another one's, and nothing else."""
    one, other = profile(5, 12), profile(22, 12)
    parts = [decode_parts(encode_profile(profile)) for profile in (one, other)]
    mixed = decode_profile(encode_with_state(*parts))
    own = ("uuid", "seen", "routing_mark", "ids", "regions", "departed", "file", "bar")
    for field in Profile.__struct_fields__:
        assert getattr(mixed, field) == getattr(one if field in own else other, field), field


def test_where_few_are_alike_nobody_looks_for_them_until_the_next_moment() -> None:
    alike, routing = Alike(), Routing(CATALOG, {}, 1, NOW)
    alike.under(routing, NOW, "sweep")
    alike.note((0,), Outcome(None, ()))
    paid = []
    for number in range(TRIED):
        paid.append(alike.pays)
        assert (alike.find((number % (TRIED // 2),)) is not None) == (number % (TRIED // 2) == 0)
    paid.append(alike.pays)
    alike.under(routing, NOW, "sweep")
    paid.append(alike.pays)
    alike.under(routing, NOW + 1, "sweep")
    paid.append(alike.pays)
    assert paid == [True] * TRIED + [False, False, True]
    assert alike.find((0,)) is None
