"""What every store of identities does: owners, compare-and-set, moves, devices of people, takeovers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from arke.domain.homes import home_of
from arke.domain.identity import MAX_DEVICES, Claims, IdKey, Move, Owner, PersonRow
from arke.domain.placement import shard_of
from arke.errors import StoreUnavailable
from arke.storage.ports.identities import PRUNED_AT_ONCE
from patience import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from arke.storage.ports.directory import Directory
    from conformance.conftest import OpenDirectory

A, B, C = (1, "a"), (1, "b"), (1, "c")
ANN = (7, "ann")


async def owners(directory: Directory, *keys: IdKey) -> dict[IdKey, Owner]:
    return (await directory.identities.look_up(keys)).owners


async def test_the_newest_owner_of_an_id_counts(directory: Directory) -> None:
    """And the number of its mapping comes back with it."""
    identities = directory.identities
    assert await identities.link(Claims(100, {A: Owner("U", 1), B: Owner("U", 2)})) == set()
    assert await identities.link(Claims(200, {A: Owner("V", 3)}, {A: 1})) == set()
    assert await owners(directory, A, B, (2, "a")) == {A: Owner("V", 3), B: Owner("U", 2)}


async def test_a_mapping_takes_the_place_of_the_one_it_was_decided_from_only(directory: Directory) -> None:
    """Of an id whose race is lost nothing is stored: no owner, no move, no device of a person. The others are."""
    identities = directory.identities
    await identities.link(
        Claims(100, {A: Owner("U", 1), ANN: Owner("U", 2)}, people={(*ANN, "U"): PersonRow(2, 1)})
    )
    lost = await identities.link(
        Claims(
            200,
            {A: Owner("V", 4), ANN: Owner("V", 5), B: Owner("V", 6)},
            {A: 3, ANN: 0},
            [Move(*A, "U", "V", 200, 4), Move(*B, "T", "V", 200, 6)],
            {(*ANN, "V"): PersonRow(5, 1)},
        )
    )
    assert lost == {A, ANN}
    assert await owners(directory, A, B, ANN) == {A: Owner("U", 1), B: Owner("V", 6), ANN: Owner("U", 2)}
    assert [move.id for move in await identities.moves()] == ["b"]
    assert await identities.devices([ANN]) == {ANN: ["U"]}
    assert await identities.link(Claims(300, {A: Owner("V", 7)}, {A: 1})) == set()


async def test_another_state_of_the_same_mapping_needs_that_mapping(directory: Directory) -> None:
    identities = directory.identities
    await identities.link(Claims(100, {ANN: Owner("U", 1, 0)}))
    assert await identities.link(Claims(200, {ANN: Owner("U", 1, 1)}, {ANN: 1})) == set()
    assert await owners(directory, ANN) == {ANN: Owner("U", 1, 1)}


async def test_a_mapping_that_was_forgotten_meanwhile_is_a_race_lost(directory: Directory) -> None:
    """Another state of it would bring back who is gone, and a move would begin at nobody."""
    identities = directory.identities
    await identities.link(Claims(100, {ANN: Owner("U", 1, 0), A: Owner("U", 2)}))
    await directory.requests.finish({}, ["U"], [], 300)
    moves = [Move(*A, "U", "V", 400, 3)]
    claims = Claims(400, {ANN: Owner("U", 1, 2), A: Owner("V", 3), B: Owner("V", 4)}, {ANN: 1, A: 2}, moves)
    assert await identities.link(claims) == {ANN, A}
    assert await owners(directory, ANN, A, B) == {B: Owner("V", 4)}
    assert await identities.moves() == []


async def test_of_an_id_that_nobody_had_one_owner_wins(directory: Directory) -> None:
    """Several engines see it first at once, each for a device of its own."""
    identities = directory.identities
    assert await identities.link(Claims(100, {A: Owner("U", 5), B: Owner("U", 6)})) == set()
    assert await identities.link(Claims(100, {C: Owner("V", 7), A: Owner("V", 8)})) == {A}
    assert await owners(directory, A, B, C) == {A: Owner("U", 5), B: Owner("U", 6), C: Owner("V", 7)}


async def test_a_device_that_was_invented_gets_all_of_its_ids_or_none(directory: Directory) -> None:
    """With a part of them it would be told things, and moved ids, though no event ever came from it."""
    identities = directory.identities
    await identities.link(Claims(100, {A: Owner("U", 1), ANN: Owner("U", 2)}))
    torn = Claims(
        200, {A: Owner("V", 3), ANN: Owner("V", 4), B: Owner("W", 5)}, {ANN: 2}, invented={"V": {A, ANN}}
    )
    torn.moves = [Move(*ANN, "U", "V", 200, 4)]
    torn.people = {(*ANN, "V"): PersonRow(4, 1)}
    assert await identities.link(torn) == {A, ANN, B}
    assert await owners(directory, A, ANN, B) == {A: Owner("U", 1), ANN: Owner("U", 2)}
    spoken_for = Claims(300, {A: Owner("V", 6)}, people={(*ANN, "V"): PersonRow(7, 0)})
    spoken_for.invented = {"V": {A, ANN}}
    assert await identities.link(spoken_for) == {A, ANN}
    assert await identities.moves() == []
    assert await identities.devices([ANN]) == {}
    nothing = Claims(400, {A: Owner("V", 8), C: Owner("W", 9)}, invented={"V": {A}, "W": {C}})
    assert await identities.link(nothing) == {A}
    whole = Claims(500, {A: Owner("V", 10), ANN: Owner("V", 11)}, {A: 1, ANN: 2})
    whole.invented = {"V": {A, ANN}}
    assert await identities.link(whole) == set()
    assert await owners(directory, A, ANN, C) == {
        A: Owner("V", 10),
        ANN: Owner("V", 11),
        C: Owner("W", 9),
    }


async def test_a_move_stands_until_it_is_done(directory: Directory) -> None:
    """Those of one id come back in the order of its mappings; one that is done goes, and no other, whatever other
    ids' mappings are numbered.
    """
    identities = directory.identities
    first, second = Move(*A, "U", "V", 100, 1), Move(*A, "V", "W", 200, 2)
    other = Move(*B, "U", "V", 100, 1)
    claims = Claims(200, {A: Owner("W", 2), B: Owner("V", 1)}, moves=[second, first, other])
    await identities.link(claims)
    assert [move for move in await identities.moves() if move.key == A] == [first, second]
    await identities.moved(first)
    await identities.moved(first)
    assert sorted(move.key for move in await identities.moves()) == [A, B]
    await identities.moved(second)
    assert await identities.moves() == [other]


async def test_an_id_that_is_on_its_way_is_said_so(directory: Directory) -> None:
    """By whoever looks it up, and of the devices from which and to which it goes, until it has arrived."""
    identities, move = directory.identities, Move(*A, "U", "V", 100, 1)
    await identities.link(Claims(100, {A: Owner("V", 1), B: Owner("V", 2)}, moves=[move]))
    assert (await identities.look_up([A, B, C])).unsettled == {A}
    assert await identities.unsettled(["U", "V", "W"]) == {"U", "V"}
    await identities.moved(move)
    assert (await identities.look_up([A, B])).unsettled == set()
    assert await identities.unsettled(["U", "V"]) == set()


async def test_a_shard_gets_the_oldest_moves_of_ids_that_its_devices_had(directory: Directory) -> None:
    """So that each id is moved in the order of its mappings, whoever moves it."""
    identities, shards = directory.identities, await directory.shards(4)
    devices = [f"U{number}" for number in range(40)]
    ids = [(1, f"id-{number}") for number in range(40)]
    ends = [*devices[1:], devices[0]]
    older = [Move(*key, old, new, 1, 1) for key, old, new in zip(ids, devices, ends, strict=True)]
    newer = [Move(*key, old, "X", 2, 2) for key, old in zip(ids, ends, strict=True)]
    await identities.link(Claims(2, {key: Owner("X", 2) for key in ids}, moves=[*newer, *older]))
    for number in range(shards):
        mine = [move for move in older if shard_of(move.old_uuid, shards) == number]
        assert mine
        assert sorted(await identities.moves_from([number]), key=older.index) == mine
    assert sorted(await identities.moves_from([0, 1, 2, 3]), key=older.index) == older
    assert await identities.moves_from([]) == []
    await identities.moved(older[0])
    (freed,) = [move for move in await identities.moves_from([0, 1, 2, 3]) if move.key == ids[0]]
    assert freed == newer[0]


async def test_who_is_suppressed_is_looked_up_with_the_rest(directory: Directory) -> None:
    """And which edition of the list said so."""
    identities, suppression, hash_of = directory.identities, directory.suppression, directory.hashes.digest
    await suppression.suppress({1: ["1" * 38, "2" * 38, "1:a"]}, 100)
    await suppression.lift(hash_of("2" * 38), [1], 200, device=True)
    asked = [hash_of(text) for text in ("1" * 38, "2" * 38, "3" * 38, "1:a", "1:b")]
    known = await identities.look_up((), hashes=asked)
    assert known.suppressed == {hash_of("1" * 38), hash_of("1:a")}
    assert known.edition == await suppression.edition() == 3, "each change makes one"
    assert (await identities.look_up((), hashes=[hash_of("4" * 38)])).edition == 3
    assert (await identities.look_up([A])).edition == 0


async def test_what_is_suppressed_by_now_is_not_linked(directory: Directory) -> None:
    """Neither an id, nor anything to a device: nothing of what was decided about the id before is stored."""
    identities, hash_of = directory.identities, directory.hashes.digest
    await identities.link(Claims(100, {A: Owner("U", 1), ANN: Owner("U", 1)}, {}))
    await directory.suppression.suppress({1: ["1:b", "2" * 38]}, 100)
    owners = {A: Owner("2" * 38, 2), B: Owner("V", 2), C: Owner("V", 2), ANN: Owner("U", 1)}
    claims = Claims(100, owners, {A: 1, ANN: 1}, moves=[Move(*A, "U", "2" * 38, 100, 2)])
    claims.people = {(*ANN, "2" * 38): PersonRow(2, 0)}
    claims.names = [(key, hash_of(owner.uuid)) for key, owner in owners.items()]
    claims.names += [(B, hash_of("1:b")), (C, hash_of("1:c")), (ANN, hash_of("2" * 38))]
    assert await identities.link(claims) == {A, B, ANN}
    assert (await identities.look_up([A, B, C, ANN])).owners == {
        A: Owner("U", 1),
        C: Owner("V", 2),
        ANN: Owner("U", 1),
    }
    assert await identities.moves() == []
    assert (await identities.look_up((), claims.people)).people == {}
    begun = await identities.links_begun()
    # Transactions of other databases of the server are waited for, too.
    await eventually(lambda: identities.links_ended(begun), "what was begun before the mark to end")


async def test_links_and_their_moves_are_stored_together_or_not_at_all(directory: Directory) -> None:
    broken: Any = Move(1, "a", "U", None, 100, 1)  # type: ignore[arg-type]
    with pytest.raises(StoreUnavailable, match=r"(?i)not.null"):
        await directory.identities.link(Claims(100, {A: Owner("V", 1)}, moves=[broken]))
    assert await owners(directory, A) == {}
    assert await directory.identities.moves() == []


async def test_where_an_id_was_first_is_remembered_with_its_owner(directory: Directory) -> None:
    first = directory.hashes.digest("U")
    await directory.identities.link(Claims(100, {A: Owner("V", 2, 0, first), B: Owner("V", 3)}))
    found = await owners(directory, A, B)
    assert (found[A].first, found[B].first) == (first, None)
    await directory.identities.link(Claims(200, {A: Owner("U", 4)}, {A: 2}))
    assert (await owners(directory, A))[A].first is None


async def test_all_that_is_asked_for_is_answered_at_once(directory: Directory) -> None:
    """And what is not known is left out."""
    identities = directory.identities
    claims = Claims(100, {A: Owner("U", 1)}, people={(*ANN, "U"): PersonRow(2, 1)}, takeovers={("U", 5): 3})
    await identities.link(claims)
    await identities.link(Claims(100, {B: Owner("U", 3)}))
    await directory.requests.finish({}, [], [B], 200)
    known = await identities.look_up({A, B, C}, {(*ANN, "U"), (*ANN, "V")}, {("U", 5), ("U", 6)})
    assert known.owners == {A: Owner("U", 1)}
    assert known.firsts == {B: directory.hashes.digest("U")}
    assert known.people == {(*ANN, "U"): PersonRow(2, 1)}
    assert known.takeovers == {("U", 5): 3}


async def test_whose_many_ids_of_one_data_source_are(directory: Directory) -> None:
    """What is nobody's is left out, and what is another source's."""
    identities = directory.identities
    many = {(1, f"id-{number}"): Owner(f"U{number}", 1) for number in range(2_500)}
    await identities.link(Claims(100, many | {(2, "id-1"): Owner("V", 1), (2, "other"): Owner("V", 1)}))
    asked = [f"id-{number}" for number in range(2_499, 0, -1)]
    found = await identities.owned(1, [*asked, "other", "nobody"])
    assert found == {id_: many[1, id_].uuid for id_ in asked}
    assert await identities.owned(2, ["id-1", "id-2"]) == {"id-1": "V"}
    assert await identities.owned(1, []) == {}
    await identities.link(Claims(200, {(1, "id-1"): Owner("W", 2)}, {(1, "id-1"): 1}))
    assert await identities.owned(1, ["id-1"]) == {"id-1": "W"}


async def test_takeovers_are_counted_by_device_and_day(directory: Directory) -> None:
    """A count only grows, for a later write may tell an earlier one."""
    identities = directory.identities
    await identities.link(Claims(100, {A: Owner("U", 1)}, takeovers={("U", 5): 2, ("V", 5): 1}))
    await identities.link(Claims(100, {A: Owner("U", 1)}, {A: 1}, takeovers={("U", 5): 1}))
    asked = (("U", 5), ("V", 5), ("U", 6), ("W", 5))
    assert (await identities.look_up((), (), asked)).takeovers == {("U", 5): 2, ("V", 5): 1}


async def test_counts_of_days_gone_by_go_with_the_next_ones(directory: Directory) -> None:
    identities = directory.identities
    old = {(f"U{n}", 5): 1 for n in range(PRUNED_AT_ONCE)}
    await identities.link(Claims(100, {A: Owner("U", 1)}, takeovers=old))
    await identities.link(Claims(100, {A: Owner("U", 1)}, {A: 1}, takeovers={("U0", 6): 1}))
    assert (await identities.look_up((), (), {("U0", 5), ("U0", 6)})).takeovers == {("U0", 6): 1}


async def test_the_devices_of_a_person(directory: Directory) -> None:
    """The newest first, each with its state; the owner's state is remembered with the mapping."""
    identities = directory.identities
    await identities.link(Claims(100, {ANN: Owner("U", 1, 1)}, people={(*ANN, "U"): PersonRow(1, 1)}))
    await identities.link(Claims(200, people={(*ANN, "V"): PersonRow(2, 0)}))
    assert await identities.devices([ANN, (7, "bob")]) == {ANN: ["V", "U"]}
    asked = {(*ANN, "V"), (*ANN, "W")}
    assert (await identities.look_up((), asked)).people == {(*ANN, "V"): PersonRow(2, 0)}
    assert await owners(directory, ANN) == {ANN: Owner("U", 1, 1)}
    assert await identities.ids_of(["U", "V"]) == {"U": [ANN]}


async def test_of_the_devices_of_a_person_the_oldest_go_but_never_the_owner(directory: Directory) -> None:
    identities = directory.identities
    await identities.link(Claims(100, {ANN: Owner("U0", 1, 1)}, people={(*ANN, "U0"): PersonRow(1, 1)}))
    more = {(*ANN, f"U{n}"): PersonRow(n + 1, 0) for n in range(1, MAX_DEVICES + 3)}
    await identities.link(Claims(200, people=more))
    (devices,) = (await identities.devices([ANN])).values()
    assert devices == [*(f"U{n}" for n in range(MAX_DEVICES + 2, 3, -1)), "U0"]


async def test_the_home_of_a_person_is_none_of_the_devices(directory: Directory) -> None:
    """It has a row among them that never makes room, and is not listed."""
    identities, home = directory.identities, (*ANN, home_of(ANN))
    await identities.link(Claims(100, {ANN: Owner(home[2], 1)}, people={home: PersonRow(1, 0)}))
    assert await identities.devices([ANN]) == {}
    more = {(*ANN, f"U{n}"): PersonRow(n + 1, 0) for n in range(1, MAX_DEVICES + 3)}
    await identities.link(Claims(200, {ANN: Owner("U1", 2)}, before={ANN: 1}, people=more))
    (devices,) = (await identities.devices([ANN])).values()
    assert (len(devices), home[2] in devices, "U1" in devices) == (MAX_DEVICES, False, True)
    assert (await identities.look_up((), [home])).people == {home: PersonRow(1, 0)}


async def test_all_of_it_outlives_the_directory(lasting: OpenDirectory, tmp_path: Any) -> None:
    move = Move(*A, "T", "U", 100, 1)
    async with lasting(tmp_path) as first:
        await first.identities.link(Claims(100, {A: Owner("U", 1)}, moves=[move], takeovers={("U", 5): 2}))
    async with lasting(tmp_path) as again:
        assert await owners(again, A) == {A: Owner("U", 1)}
        assert await again.identities.moves() == [move]
        assert (await again.identities.look_up((), (), {("U", 5)})).takeovers == {("U", 5): 2}


async def test_what_is_promised_counts_at_once(directory: Directory) -> None:
    """Like every other mapping: it is answered, and whoever comes second has lost."""
    identities = directory.identities
    claims = Claims(100, {A: Owner("U", 5), B: Owner("U", 6)}, invented={"U": {A, B}})
    assert claims.of_new_devices
    assert await identities.link(claims, promised=True) == set()
    assert await owners(directory, A, B) == {A: Owner("U", 5), B: Owner("U", 6)}
    late = Claims(200, {B: Owner("V", 7), C: Owner("V", 8)}, invented={"V": {B, C}})
    assert await identities.link(late, promised=True) == {B, C}
    assert await owners(directory, A, B, C) == {A: Owner("U", 5), B: Owner("U", 6)}
    assert await identities.link(Claims(300, {A: Owner("V", 9)}, {A: 5})) == set()


async def test_many_promised_at_once(directory: Directory) -> None:
    keys = [(1, f"n{number}") for number in range(200)]
    mapped = {key: Owner(f"U{key[1]}", number + 1) for number, key in enumerate(keys)}
    claims = Claims(100, mapped, invented={owner.uuid: {key} for key, owner in mapped.items()})
    assert await directory.identities.link(claims, promised=True) == set()
    assert await owners(directory, *keys) == mapped


async def test_what_is_settled_is_settled_for_good(lasting: OpenDirectory, tmp_path: Path) -> None:
    """As far as a directory has to be told: one that syncs everything knows nothing of it."""
    async with lasting(tmp_path) as directory:
        assert await directory.identities.settled() == 0
        await directory.identities.settle(7)
        await directory.identities.settle(5)
        known = await directory.identities.settled()
        assert known in (0, 7)
    async with lasting(tmp_path) as again:
        assert await again.identities.settled() == known
