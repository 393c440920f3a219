"""Ids that several nodes claim at once: nobody waits in a circle, and every mapping follows the one before."""

from __future__ import annotations

import asyncio
import random
from itertools import pairwise
from typing import TYPE_CHECKING

from arke.domain.homes import home_of
from arke.domain.identity import Claims, Move, Owner, PersonRow
from arke.storage.ports.feeds import Holding, Subject
from integration.postgres.nodes import nodes, take

if TYPE_CHECKING:
    from arke.domain.identity import IdKey
    from arke.storage.ports.directory import Directory

IDS = [(1, f"id-{number}") for number in range(20)]
ANN = (7, "ann")
ROUNDS = 15


async def _moves_of(node: Directory) -> dict[IdKey, list[Move]]:
    found: dict[IdKey, list[Move]] = {}
    for move in await node.identities.moves():
        found.setdefault(move.key, []).append(move)
    return found


async def test_each_move_begins_where_the_one_before_ended(dsn: str) -> None:
    """Six nodes, twenty ids, of which nobody has any at first; the nodes name them in every order."""
    async with nodes(dsn, 6) as six:

        async def claims(number: int) -> int:
            chance = random.Random(number)
            races = 0
            for turn in range(ROUNDS):
                some = chance.sample(IDS, chance.randint(1, len(IDS)))
                races += await take(six[number], some, f"device-{number}-{turn}")
            return races

        assert sum(await asyncio.gather(*map(claims, range(6)))) > 0
        owners = (await six[0].identities.look_up(IDS)).owners
        moves = await _moves_of(six[1])
        assert moves.keys() == owners.keys() == set(IDS)
        for key, followed in moves.items():
            assert all(one.new_uuid == other.old_uuid for one, other in pairwise(followed))
            assert (followed[-1].new_uuid, followed[-1].generation) == owners[key][:2]


async def test_of_two_new_devices_for_an_unknown_id_one_wins_and_the_other_is_told(dsn: str) -> None:
    async with nodes(dsn, 2) as (one, other):
        for number in range(20):
            key = (1, f"new-{number}")
            claims = [Claims(1, {key: Owner(uuid, 1)}) for uuid in ("U", "V")]
            lost = await asyncio.gather(one.identities.link(claims[0]), other.identities.link(claims[1]))
            assert sorted(lost, key=len) == [set(), {key}]
            winner = "U" if not lost[0] else "V"
            assert (await one.identities.look_up([key])).owners == {key: Owner(winner, 1)}
        assert await one.identities.moves() == []


async def test_who_is_forgotten_does_not_come_back_by_what_was_decided_before(dsn: str) -> None:
    """Ids are claimed, moved and forgotten at once: of each either nothing is stored, or what was decided since."""
    async with nodes(dsn, 4) as (one, other, third, privacy):
        going = True

        async def claims(node: Directory, name: str) -> None:
            chance = random.Random(name)
            for turn in range(ROUNDS):
                await take(node, chance.sample(IDS, 10), f"{name}-{turn}")

        async def forgets() -> int:
            forgotten = 0
            while going:
                forgotten += len(await privacy.requests.finish({}, [], IDS[:10], 1) or ())
                await asyncio.sleep(0)
            return forgotten

        forgetting = asyncio.ensure_future(forgets())
        await asyncio.gather(claims(one, "one"), claims(other, "other"), claims(third, "third"))
        going = False
        assert await forgetting > 0
        await privacy.requests.finish({}, [], IDS[:10], 1)
        left = await one.identities.look_up(IDS)
        assert left.owners.keys() == set(IDS[10:])
        moves = await _moves_of(one)
        assert moves.keys() <= set(IDS[10:])
        for followed in moves.values():
            assert all(before.new_uuid == after.old_uuid for before, after in pairwise(followed))


async def test_a_mapping_that_is_forgotten_while_it_is_replaced_is_a_race_lost(dsn: str) -> None:
    """The claim waits for the one who forgets, and sees that the id is gone."""
    async with nodes(dsn, 2) as (one, other):
        for number in range(20):
            key = (1, f"gone-{number}")
            await one.identities.link(Claims(1, {key: Owner("U", 1)}))
            lost, forgotten = await asyncio.gather(
                one.identities.link(Claims(2, {key: Owner("V", 2)}, {key: 1})),
                other.requests.finish({}, [], [key], 3),
            )
            assert forgotten == [key]
            assert lost in (set(), {key})
            assert (await other.identities.look_up([key])).owners == {}


async def test_devices_of_a_person_that_several_nodes_link_stay_within_bounds(dsn: str) -> None:
    """And each of them hears what the home holds."""
    home = home_of(ANN)
    async with nodes(dsn, 4) as four:
        await four[0].identities.link(
            Claims(1, {ANN: Owner(home, 1)}, people={(*ANN, home): PersonRow(1, 0)})
        )

        async def links(number: int) -> None:
            for turn in range(40):
                row = PersonRow(2 + turn * 4 + number, 0)
                people = {(*ANN, f"device-{number}-{turn}"): row}
                claims = Claims(1, {ANN: Owner(home, 1)}, {ANN: 1}, people=people)
                assert await four[number].identities.link(claims) == set()

        await asyncio.gather(*map(links, range(4)))
        (devices,) = (await four[0].identities.devices([ANN])).values()
        assert len(devices) == 100 - 1, "the home speaks, and is none of them"
        assert len(await four[0].files.joining(1_000)) == 160


async def test_the_longest_ids_there_are_fit_into_every_index(dsn: str) -> None:
    """512 characters of four bytes that no compression makes much shorter, also where a home is made of them."""
    key = (2**31, "".join(chr(0x10000 + n * 977 % 0xF0000) for n in range(512)))
    home, device = home_of(key), "1" * 38
    assert len(key[1].encode()) == 2048
    async with nodes(dsn, 1) as (node,):
        people = {(*key, home): PersonRow(1, 0), (*key, device): PersonRow(1, 0)}
        claims = Claims(1, {key: Owner(home, 1)}, moves=[Move(*key, device, home, 1, 1)], people=people)
        assert await node.identities.link(claims) == set()
        known = await node.identities.look_up([key], people)
        assert (known.owners, known.people) == (claims.owners, people)
        assert [(one.id, one.uuid) for one in await node.files.joining(10)] == [(key[1], device)]
        (feed,) = await node.files.feeds.open("", key[0], [Subject("trait", 1)])
        await node.files.feeds.hold(1, [Holding(feed.number, key[1])], [])
        assert await node.files.feeds.page(feed.number, "", 10) == [(key[1], 1)]
