"""What every store of feeds promises: who is in by files that are the whole audience, and who is named no more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.domain.identity import Claims, Owner, PersonRow
from arke.storage.ports.feeds import Census, Holding, Subject

if TYPE_CHECKING:
    from arke.storage.ports.directory import Directory

COOKIES, CRM = 12345, 777
BUYERS, READERS = Subject("trait", 1), Subject("segment", 101)
ONE, TWO = f"{1:038d}", f"{2:038d}"


async def test_a_feed_is_a_name_ids_and_a_subject(directory: Directory) -> None:
    feeds = directory.files.feeds
    buyers, readers = await feeds.open("", COOKIES, [BUYERS, READERS])
    assert (buyers.subject, buyers.dpid, buyers.file, buyers.at, buyers.shared) == (
        BUYERS,
        COOKIES,
        0,
        0,
        False,
    )
    assert readers.subject == READERS
    assert await feeds.open("", COOKIES, [BUYERS]) == [buyers]
    (other,) = await feeds.open("shop", COOKIES, [BUYERS])
    assert other.number not in (buyers.number, readers.number)
    assert other.shared
    (again,) = await feeds.open("", COOKIES, [BUYERS])
    assert again.shared, "another feeds the same"


async def test_the_newest_time_stays(directory: Directory) -> None:
    feeds = directory.files.feeds
    (buyers,) = await feeds.open("", COOKIES, [BUYERS])
    await feeds.begin(3, 500, [buyers.number])
    await feeds.begin(4, 0, [buyers.number])
    (found,) = await feeds.open("", COOKIES, [BUYERS])
    assert (found.file, found.at) == (4, 500)


async def test_who_is_in_and_who_said_so_last(directory: Directory) -> None:
    feeds = directory.files.feeds
    buyers, readers = await feeds.open("", COOKIES, [BUYERS, READERS])
    first = [Holding(buyers.number, id_) for id_ in "abc"]
    await feeds.hold(1, [*first, Holding(readers.number, "a")], [])
    await feeds.hold(
        2, [Holding(buyers.number, "b")], [Holding(buyers.number, "c"), Holding(buyers.number, "d")]
    )
    assert await feeds.page(buyers.number, "", 2) == [("a", 1), ("b", 2)]
    assert await feeds.page(buyers.number, "b", 2) == [("c", 2)], (
        "who is unsure stays in, and does not come in"
    )


async def test_a_file_is_held_against_who_is_in(directory: Directory) -> None:
    """What another file was found to name does not count."""
    feeds = directory.files.feeds
    (buyers,) = await feeds.open("", COOKIES, [BUYERS])
    assert await feeds.count(buyers.number, 2) == Census(0, 0)
    await feeds.hold(1, [Holding(buyers.number, id_) for id_ in "abc"], [])
    await feeds.name(
        2, [Holding(buyers.number, "a"), Holding(buyers.number, "b"), Holding(buyers.number, "x")]
    )
    assert await feeds.count(buyers.number, 2) == Census(3, 1)
    await feeds.name(3, [Holding(buyers.number, "a")])
    assert await feeds.count(buyers.number, 3) == Census(3, 2)
    assert await feeds.page(buyers.number, "", 9) == [("a", 1), ("b", 1), ("c", 1)], "nothing counts yet"


async def test_who_has_left_goes_with_the_position_of_the_file(directory: Directory) -> None:
    """Unless the file names it after all."""
    feeds = directory.files.feeds
    (buyers,) = await feeds.open("", COOKIES, [BUYERS])
    number = (await directory.files.begin("a.csv", b"1", 100)).number
    await feeds.hold(number + 1, [Holding(buyers.number, "a"), Holding(buyers.number, "b")], [])
    await feeds.hold(number, [Holding(buyers.number, "b")], [])
    gone = [Holding(buyers.number, "a"), Holding(buyers.number, "b")]
    await directory.files.advance(number, 1, b"", {}, gone)
    assert await feeds.page(buyers.number, "", 9) == [("b", number)]


async def test_what_else_keeps_somebody_in(directory: Directory) -> None:
    """Another feed of the same; another id of the device that this file names."""
    feeds = directory.files.feeds
    jane, john = (CRM, "jane"), (CRM, "john")
    people = {(*jane, ONE): PersonRow(1, 0), (*john, ONE): PersonRow(2, 0), (*john, TWO): PersonRow(3, 0)}
    await directory.identities.link(Claims(100, {jane: Owner(ONE, 1), john: Owner(ONE, 2)}, people=people))
    (buyers,) = await feeds.open("", CRM, [BUYERS])
    (shop,) = await feeds.open("shop", CRM, [BUYERS])
    await feeds.hold(1, [Holding(buyers.number, "jane"), Holding(buyers.number, "john")], [])
    await feeds.hold(2, [Holding(buyers.number, "jane")], [])
    assert not await feeds.is_held(buyers, 2, john, "")
    assert await feeds.is_held(buyers, 2, john, ONE), "jane has it, too"
    assert not await feeds.is_held(buyers, 2, john, TWO)
    assert not await feeds.is_held(buyers, 3, john, ONE), "that file names neither"
    await feeds.hold(9, [Holding(shop.number, "john")], [])
    assert await feeds.is_held(buyers, 2, john, "")
    assert await feeds.is_held(buyers, 2, john, TWO)


async def test_a_file_that_begins_anew_has_another_number(directory: Directory) -> None:
    files = directory.files
    first = await files.begin("a.csv", b"1", 100)
    await files.finish(first.number, b"receipt")
    anew = await files.begin("a.csv", b"1", 200, anew=True)
    assert anew.number > first.number
    assert (anew.begun, anew.position, anew.done, anew.body) == (200, 0, False, b"")
    assert (await files.begin("a.csv", b"1", 300)).number == anew.number


async def test_the_number_of_the_newest_file_is_not_given_again(directory: Directory) -> None:
    files = directory.files
    number = (await files.begin("a.csv", b"1", 100)).number
    await files.finish(number, b"receipt")
    await files.prune(1_000)
    assert (await files.begin("b.csv", b"1", 2_000)).number > number


async def test_who_is_erased_is_in_nothing(directory: Directory) -> None:
    """Devices, ids, and ids whose last device they were."""
    feeds = directory.files.feeds
    jane = (CRM, "jane")
    await directory.identities.link(
        Claims(100, {jane: Owner(ONE, 1)}, people={(*jane, ONE): PersonRow(1, 0)})
    )
    (devices,) = await feeds.open("", 0, [BUYERS])
    (cookies,) = await feeds.open("", COOKIES, [BUYERS])
    (people,) = await feeds.open("", CRM, [BUYERS])
    await feeds.hold(1, [Holding(devices.number, ONE), Holding(devices.number, TWO)], [])
    await feeds.hold(1, [Holding(cookies.number, "a"), Holding(cookies.number, "b")], [])
    await feeds.hold(1, [Holding(people.number, "jane"), Holding(people.number, "john")], [])
    await directory.requests.finish({}, [ONE], [(COOKIES, "a")], 300)
    assert await feeds.page(devices.number, "", 9) == [(TWO, 1)]
    assert await feeds.page(cookies.number, "", 9) == [("b", 1)]
    assert await feeds.page(people.number, "", 9) == [("john", 1)]
