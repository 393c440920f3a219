"""What every store of privacy requests does: open until they are finished, and then all is forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.domain.identity import Claims, Move, Owner, PersonRow
from arke.storage.ports.files import Filed

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


async def test_what_is_finished_is_forgotten(directory: Directory) -> None:
    """The devices with all they own, the ids whoever owns them, and nothing else; then remains are to be erased."""
    identities, requests = directory.identities, directory.requests
    owners = {A: Owner("U", 1), B: Owner("V", 2), C: Owner("V", 3), ANN: Owner("V", 4)}
    moves = [Move(*A, "W", "U", 100, 1), Move(*C, "W", "V", 100, 3)]
    people = {(*ANN, "U"): PersonRow(4, 1), (*ANN, "V"): PersonRow(5, 1)}
    await identities.link(Claims(100, owners, moves=moves, people=people))
    assert not await directory.remains()
    (number,) = await requests.open([b"open"], 100)
    gone = await requests.finish({number: b"done"}, ["U"], [B], 200)
    assert sorted(gone) == [A, B]
    known = await identities.look_up([*owners])
    assert sorted(known.owners) == [C, ANN]
    whose = {A: directory.hashes.digest("U"), B: directory.hashes.digest("V")}
    assert known.firsts == whose, "whose they were stays, as hashes"
    assert await identities.devices([ANN]) == {ANN: ["V"]}
    assert [move.id for move in await identities.moves()] == ["c"]
    assert await directory.remains()
    assert await directory.erase_remains()
    assert not await directory.remains()


async def test_what_was_filed_of_them_is_forgotten_too(directory: Directory) -> None:
    """And devices that go are to hear nothing any more."""
    files = directory.files
    number = (await files.begin("a.sync", b"1", 100)).number
    await files.advance(number, 1, b"", {A: Filed({1: 100}), ANN: Filed({1: 100})}, {}, 100)
    await directory.identities.link(Claims(100, {A: Owner("V", 1), ANN: Owner("U", 2)}))
    assert [one.uuid for one in await files.joining(10)] == ["V", "U"]
    await directory.requests.finish({}, ["U"], [A], 200)
    assert await files.filed([A, ANN]) == {ANN: Filed({1: 100})}
    assert await files.joining(10) == []
