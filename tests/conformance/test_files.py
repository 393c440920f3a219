"""What every store of data files promises: records by name and content, what is filed, and who joins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.domain.identity import Claims, Owner
from arke.domain.profile import FileMark
from arke.storage.ports.files import Filed

if TYPE_CHECKING:
    from arke.storage.ports.directory import Directory

JANE, JOHN = (777, "jane"), (777, "john")
ONE, TWO = f"{1:038d}", f"{2:038d}"


async def test_a_file_is_known_by_name_and_content(directory: Directory) -> None:
    """The time of its first load stays, and so does how far it has come."""
    files = directory.files
    first = await files.begin("a.sync", b"1", 100)
    assert (first.begun, first.position, first.done, first.body) == (100, 0, False, b"")
    await files.advance(first.number, 10_000, b"counters", {}, {}, 100)
    again = await files.begin("a.sync", b"1", 200)
    assert (again.number, again.begun, again.position, again.body) == (first.number, 100, 10_000, b"counters")
    assert (await files.begin("a.sync", b"2", 200)).number != first.number
    assert (await files.begin("b.sync", b"1", 200)).number != first.number
    await files.finish(first.number, b"receipt")
    done = await files.begin("a.sync", b"1", 300)
    assert (done.done, done.body) == (True, b"receipt")


async def test_what_is_filed_is_replaced_with_its_id(directory: Directory) -> None:
    files = directory.files
    number = (await files.begin("a.sync", b"1", 100)).number
    kept = Filed({1: 100}, {9: (1, 100)}, FileMark(number, 1, 1, 1))
    await files.advance(number, 1, b"", {JANE: kept, JOHN: Filed({1: 100})}, {}, 100)
    await files.advance(number, 2, b"", {JOHN: Filed({2: 100})}, {}, 100)
    assert await files.filed({JANE, JOHN, (777, "nobody")}) == {JANE: kept, JOHN: Filed({2: 100})}


async def test_a_device_joins_whichever_comes_first(directory: Directory) -> None:
    """Filed and then linked, or linked and then filed; not the devices that heard it already."""
    files = directory.files
    number = (await files.begin("a.sync", b"1", 100)).number
    await directory.identities.link(Claims(50, {JOHN: Owner(ONE, 1)}))
    assert await files.joining(10) == []
    await files.advance(number, 1, b"", {JANE: Filed(), JOHN: Filed()}, {}, 100)
    await directory.identities.link(Claims(150, {JANE: Owner(TWO, 2)}))
    assert [(one.id, one.uuid) for one in await files.joining(10)] == [("john", ONE), ("jane", TWO)]
    await files.joined(await files.joining(1))
    assert [one.id for one in await files.joining(10)] == ["jane"]
    await files.joined(await files.joining(1))
    await files.advance(number, 2, b"", {JANE: Filed(), JOHN: Filed()}, {JANE: [TWO], JOHN: ["other"]}, 100)
    assert [(one.id, one.uuid) for one in await files.joining(10)] == [("john", ONE)]


async def test_what_joins_again_meanwhile_is_not_lost(directory: Directory) -> None:
    """A join that is done does not take away one that came while it was under way."""
    files = directory.files
    number = (await files.begin("a.sync", b"1", 100)).number
    await directory.identities.link(Claims(50, {JANE: Owner(ONE, 1)}))
    await files.advance(number, 1, b"", {JANE: Filed()}, {}, 100)
    under_way = await files.joining(10)
    await files.advance(number, 2, b"", {JANE: Filed({1: 100})}, {}, 100)
    await files.joined(under_way)
    assert [one.uuid for one in await files.joining(10)] == [ONE]


async def test_what_is_too_old_goes_and_what_is_erased_is_gone(directory: Directory) -> None:
    files = directory.files
    old = (await files.begin("old.sync", b"1", 100)).number
    await files.advance(old, 1, b"", {JANE: Filed()}, {}, 100)
    await files.finish(old, b"receipt")
    new = (await files.begin("new.sync", b"1", 200)).number
    await files.advance(new, 1, b"", {JOHN: Filed()}, {}, 200)
    await files.prune(150, 150)
    assert set(await files.filed({JANE, JOHN})) == {JOHN}
    assert not (await files.begin("old.sync", b"1", 300)).done
    await directory.identities.link(Claims(250, {JOHN: Owner(ONE, 1)}))
    await files.forget_filed([JOHN])
    assert (await files.filed({JOHN}), await files.joining(10)) == ({}, [])
