"""What every store of data files promises: records by name and content, and who is to hear what is held at home."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.domain.homes import home_of
from arke.domain.identity import Claims, IdKey, Owner, PersonRow

if TYPE_CHECKING:
    from arke.storage.ports.directory import Directory

JANE, JOHN = (777, "jane"), (777, "john")
ONE, TWO = f"{1:038d}", f"{2:038d}"


async def link(directory: Directory, key: IdKey, uuid: str, generation: int) -> None:
    """A device comes to a person, or (its key) the person's home is made."""
    claims = Claims(100, {key: Owner(uuid, generation)}, people={(*key, uuid): PersonRow(generation, 0)})
    before = (await directory.identities.look_up([key])).owners.get(key)
    if before is not None:
        claims.before = {key: before.generation}
    await directory.identities.link(claims)


async def test_a_file_is_known_by_name_and_content(directory: Directory) -> None:
    """The time of its first load stays, and so does how far it has come."""
    files = directory.files
    first = await files.begin("a.sync", b"1", 100)
    assert (first.begun, first.position, first.done, first.body) == (100, 0, False, b"")
    await files.advance(first.number, 10_000, b"counters", {})
    again = await files.begin("a.sync", b"1", 200)
    assert (again.number, again.begun, again.position, again.body) == (first.number, 100, 10_000, b"counters")
    assert (await files.begin("a.sync", b"2", 200)).number != first.number
    assert (await files.begin("b.sync", b"1", 200)).number != first.number
    await files.finish(first.number, b"receipt")
    done = await files.begin("a.sync", b"1", 300)
    assert (done.done, done.body) == (True, b"receipt")


async def test_files_are_listed_from_the_newest_back(directory: Directory) -> None:
    """By name and number, with what is recorded of each."""
    files = directory.files
    numbers = [(await files.begin(f"{n}.sync", b"1", 100 + n)).number for n in range(5)]
    await files.finish(numbers[1], b"receipt")
    first = await files.newest(2**62, 3)
    assert [(one.name, one.record.number, one.record.begun) for one in first] == [
        (f"{n}.sync", numbers[n], 100 + n) for n in (4, 3, 2)
    ]
    rest = await files.newest(first[-1].record.number, 3)
    assert [one.name for one in rest] == ["1.sync", "0.sync"]
    assert (rest[0].record.done, rest[0].record.body) == (True, b"receipt")
    assert (rest[1].record.done, rest[1].record.body) == (False, b"")


async def test_a_device_joins_whichever_comes_first(directory: Directory) -> None:
    """The home and then the device, or the device and then a file; not the devices that heard it already."""
    files = directory.files
    number = (await files.begin("a.sync", b"1", 100)).number
    await link(directory, JOHN, ONE, 1)
    assert await files.joining(10) == [], "nothing is held anywhere"
    await link(directory, JANE, home_of(JANE), 2)
    assert await files.joining(10) == [], "a home is no device"
    await link(directory, JOHN, home_of(JOHN), 3)
    await files.advance(number, 1, b"", {JANE: [], JOHN: []})
    await link(directory, JANE, TWO, 4)
    assert [(one.id, one.uuid) for one in await files.joining(10)] == [("john", ONE), ("jane", TWO)]
    await files.joined(await files.joining(1))
    assert [one.id for one in await files.joining(10)] == ["jane"]
    await files.joined(await files.joining(1))
    await files.advance(number, 2, b"", {JANE: [TWO], JOHN: ["other"]})
    assert [(one.id, one.uuid) for one in await files.joining(10)] == [("john", ONE)]


async def test_what_joins_again_meanwhile_is_not_lost(directory: Directory) -> None:
    """A join that is done does not take away one that came while it was under way."""
    files = directory.files
    number = (await files.begin("a.sync", b"1", 100)).number
    await link(directory, JANE, home_of(JANE), 1)
    await link(directory, JANE, ONE, 2)
    under_way = await files.joining(10)
    await files.advance(number, 2, b"", {JANE: []})
    await files.joined(under_way)
    assert [one.uuid for one in await files.joining(10)] == [ONE]


async def test_what_is_too_old_goes(directory: Directory) -> None:
    files = directory.files
    old = (await files.begin("old.sync", b"1", 100)).number
    await files.advance(old, 1, b"", {})
    await files.finish(old, b"receipt")
    new = (await files.begin("new.sync", b"1", 200)).number
    await files.finish(new, b"receipt")
    await files.prune(150)
    assert not (await files.begin("old.sync", b"1", 300)).done
    assert (await files.begin("new.sync", b"1", 300)).done
