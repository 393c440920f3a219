"""What every store of privacy requests does: open until they are finished, and then all is forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.domain.homes import home_of
from arke.domain.identity import Claims, Move, Owner, PersonRow
from patience import eventually

if TYPE_CHECKING:
    from arke.storage.ports.directory import Directory

A, B, C = (1, "a"), (1, "b"), (1, "c")
ANN = (7, "ann")


async def test_privacy_requests_are_open_until_they_are_finished(directory: Directory) -> None:
    """Numbered in their order; what was saved last is what is found; the newest are listed first."""
    requests = directory.requests
    assert await requests.open([b"one", b"two"], 100) == [1, 2]
    await requests.save({2: b"two, further"})
    assert await requests.unfinished() == [1, 2]
    await requests.finish({1: b"proof"}, [], [], 200)
    assert await requests.unfinished() == [2]
    assert [(row.number, row.at, row.done, row.body) for row in await requests.page(99, 10)] == [
        (2, 100, 0, b"two, further"),
        (1, 100, 200, b"proof"),
    ]
    assert [row.number for row in await requests.page(2, 10)] == [1]
    found = await requests.get([2, 3])
    assert {number: row.body for number, row in found.items()} == {2: b"two, further"}


async def test_nobody_changes_a_request_that_has_ended_but_to_note_what_became_of_it(
    directory: Directory,
) -> None:
    requests, key = directory.requests, (1, "back")
    ended, goes_on = await requests.open([b"one", b"two"], 100)
    await requests.amend(goes_on, b"not yet")
    assert await requests.finish({ended: b"proof"}, [], [], 200) == []
    await directory.identities.link(Claims(100, {key: Owner("U", 1)}))
    await requests.save({ended: b"slept", goes_on: b"two, further"})
    assert await requests.finish({ended: b"slept", goes_on: b"done"}, ["U"], [], 300) is None
    assert (await directory.identities.look_up([key])).owners
    await requests.amend(ended, b"lifted")
    rows = await requests.get([ended, goes_on])
    assert [(rows[one].done, rows[one].body) for one in (ended, goes_on)] == [
        (200, b"lifted"),
        (0, b"two, further"),
    ]


async def test_what_is_finished_is_forgotten(directory: Directory) -> None:
    """The devices with all they own, the ids whoever owns them, and nothing else; then remains are to be erased."""
    identities, requests = directory.identities, directory.requests
    owners = {A: Owner("U", 1), B: Owner("V", 2), C: Owner("V", 3), ANN: Owner("V", 4)}
    moves = [Move(*B, "W", "V", 100, 2), Move(*C, "W", "V", 100, 3)]
    people = {(*ANN, "U"): PersonRow(4, 1), (*ANN, "V"): PersonRow(5, 1)}
    await identities.link(Claims(100, owners, moves=moves, people=people))
    assert not await directory.remains()
    (number,) = await requests.open([b"open"], 100)
    gone = await requests.finish({number: b"done"}, ["U"], [B], 200)
    assert sorted(gone or ()) == [A, B]
    known = await identities.look_up([*owners])
    assert sorted(known.owners) == [C, ANN]
    whose = {A: directory.hashes.digest("U"), B: directory.hashes.digest("V")}
    assert known.firsts == whose, "whose they were stays, as hashes"
    assert await identities.devices([ANN]) == {ANN: ["V"]}
    assert [move.id for move in await identities.moves()] == ["c"]
    assert await directory.remains()
    await eventually(
        directory.erase_remains, "readers to be out of the way, of other tests on the same server"
    )
    assert not await directory.remains()


async def test_a_request_ends_when_the_ids_of_its_devices_have_arrived(directory: Directory) -> None:
    """An engine may have taken an id over just now: forgotten half-way it would never arrive."""
    identities, requests = directory.identities, directory.requests
    (number,) = await requests.open([b"open"], 100)
    for key, old, new in ((A, "U", "V"), (B, "V", "U")):
        move = Move(*key, old, new, 100, 1)
        await identities.link(Claims(100, {key: Owner(new, 1)}, moves=[move]))
        assert await requests.finish({number: b"done"}, ["U"], [], 200) is None
        assert (await identities.look_up([key])).owners == {key: Owner(new, 1)}
        assert await requests.unfinished() == [number]
        await identities.moved(move)
    assert await requests.finish({number: b"done"}, ["U"], [], 200) == [B]
    assert await requests.unfinished() == []


async def test_homes_of_people_are_forgotten_with_their_ids(directory: Directory) -> None:
    """And devices that go are to hear nothing any more. The home of another person stays."""
    files, identities, bob = directory.files, directory.identities, (ANN[0], "bob")
    people = {(*key, home_of(key)): PersonRow(1, 0) for key in (ANN, bob)}
    await identities.link(Claims(100, {key: Owner(home_of(key), 1) for key in (ANN, bob)}, people=people))
    devices = {(*ANN, "V"): PersonRow(2, 0), (*bob, "U"): PersonRow(3, 0)}
    await identities.link(Claims(100, people=devices))
    assert [one.uuid for one in await files.joining(10)] == ["V", "U"]
    await directory.requests.finish({}, ["U", home_of(ANN)], [ANN], 200)
    assert (await identities.look_up((), people)).people == {(*bob, home_of(bob)): PersonRow(1, 0)}
    assert await files.joining(10) == []
