"""What every directory does: identities, moves, suppression, catalogs, the number of shards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from arke.domain.batch import BatchCounts, BatchRecord
from arke.domain.identity import Move, Owner, PersonRow
from arke.errors import InvalidInput, StoreTooNew, StoreUnavailable
from arke.storage.ports.directory import Directory, StoredCatalog
from arke.storage.sqlite.connection import MEMORY
from arke.storage.sqlite.directory import BATCH_RUNS_KEPT, SqliteDirectory
from arke.storage.sqlite.takeovers import PRUNED_AT_ONCE

Open = Callable[[Path], Directory]


def in_a_file(folder: Path) -> Directory:
    return SqliteDirectory(folder / "directory.db", key=b"fixed")


def in_memory(folder: Path) -> Directory:
    return SqliteDirectory(MEMORY, key=b"fixed")


@pytest.fixture(params=[in_a_file, in_memory])
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    opened = request.param(tmp_path)
    yield opened
    opened.close()


def test_the_newest_owner_of_an_id_counts(directory: Directory) -> None:
    """And the number of its mapping comes back with it; the highest one ever used is remembered."""
    assert directory.last_generation() == 0
    directory.link({(1, "a"): Owner("U", 1), (1, "b"): Owner("U", 2)}, [], 100)
    directory.link({(1, "a"): Owner("V", 3)}, [], 200)
    found = directory.find([(1, "a"), (1, "b"), (2, "a")])
    assert found == {(1, "a"): Owner("V", 3), (1, "b"): Owner("U", 2)}
    assert directory.last_generation() == 3


def test_a_move_stands_until_it_is_done(directory: Directory) -> None:
    """Moves come back in the order of their mappings; one that is done goes, and no other."""
    first, second = Move(1, "a", "U", "V", 100, 1), Move(1, "a", "V", "W", 200, 2)
    directory.link({(1, "a"): Owner("W", 2)}, [second, first], 200)
    assert directory.moves() == [first, second]
    directory.moved(first)
    directory.moved(first)
    assert directory.moves() == [second]


def test_links_and_their_moves_are_stored_together_or_not_at_all(directory: Directory) -> None:
    broken: Any = Move(1, "a", "U", None, 100, 1)  # type: ignore[arg-type]
    with pytest.raises(StoreUnavailable, match="NOT NULL"):
        directory.link({(1, "a"): Owner("V", 1)}, [broken], 100)
    assert (directory.find([(1, "a")]), directory.moves(), directory.last_generation()) == ({}, [], 0)


def test_takeovers_are_counted_by_device_and_day(directory: Directory) -> None:
    """A count only grows, for a later write may tell an earlier one."""
    links = {(1, "a"): Owner("U", 1)}
    directory.link(links, [], 100, {}, {("U", 5): 2, ("V", 5): 1})
    directory.link(links, [], 100, {}, {("U", 5): 1})
    found = [directory.takeovers(*one) for one in (("U", 5), ("V", 5), ("U", 6), ("W", 5))]
    assert found == [2, 1, 0, 0]


def test_counts_of_days_gone_by_go_with_the_next_ones(directory: Directory) -> None:
    directory.link({(1, "a"): Owner("U", 1)}, [], 100, {}, {(f"U{n}", 5): 1 for n in range(PRUNED_AT_ONCE)})
    directory.link({(1, "a"): Owner("U", 1)}, [], 100, {}, {("U0", 6): 1})
    assert [directory.takeovers("U0", day) for day in (5, 6)] == [0, 1]


def test_suppression_keeps_hashes_only(directory: Directory) -> None:
    hashes = directory.suppress({1: ["1:somebody", "1:else"]}, 100)
    assert directory.suppressed() == hashes == {directory.hash_of("1:somebody"), directory.hash_of("1:else")}
    assert directory.suppress({2: ["1:somebody"]}, 200) == {directory.hash_of("1:somebody")}
    assert all(b"somebody" not in digest for digest in directory.suppressed())


def test_a_request_that_is_lifted_takes_off_what_it_alone_wanted(directory: Directory) -> None:
    """What another request wants stays until that one is lifted too; devices among them are remembered."""
    uuid = "1" * 38
    directory.suppress({1: [uuid, "1:a", "1:both"], 2: ["1:both"]}, 100)
    both, device = directory.hash_of("1:both"), directory.hash_of(uuid)
    assert directory.suppressed_by(both) == [1, 2]
    lifted = directory.lift_request(1, 200)
    assert (lifted.gone, lifted.kept) == ({device, directory.hash_of("1:a")}, {both})
    assert (directory.suppressed(), directory.lifted()) == ({both}, {device: 200})
    assert directory.lift_request(1, 300) == (set(), set())
    assert directory.lift_request(2, 300) == ({both}, set())
    assert directory.suppressed() == set()
    directory.suppress({3: [uuid]}, 400)
    assert directory.lifted() == {}


def test_what_is_lifted_by_name_is_off_the_list_whoever_wanted_it(directory: Directory) -> None:
    uuid = "1" * 38
    directory.suppress({1: [uuid, "1:a"], 2: [uuid, "1:a"]}, 100)
    assert directory.lift_hash(directory.hash_of("1:a"), 200, device=False)
    assert not directory.lift_hash(directory.hash_of("1:a"), 200, device=False)
    assert directory.lift_hash(directory.hash_of(uuid), 200, device=True)
    assert (directory.suppressed(), directory.lifted()) == (set(), {directory.hash_of(uuid): 200})
    assert directory.lift_request(1, 300) == (set(), set())


def test_where_an_id_was_first_is_remembered_with_its_owner(directory: Directory) -> None:
    first = directory.hash_of("U")
    directory.link({(1, "a"): Owner("V", 2, 0, first), (1, "b"): Owner("V", 3)}, [], 100)
    found = directory.find([(1, "a"), (1, "b")])
    assert (found[1, "a"].first, found[1, "b"].first) == (first, None)
    directory.link({(1, "a"): Owner("U", 4)}, [], 200)
    assert directory.find([(1, "a")])[1, "a"].first is None


def test_the_newest_catalog_and_each_one_before(directory: Directory) -> None:
    assert directory.catalog() is None
    catalogs = [StoredCatalog(n, 100 + n, b'{"n":%d}' % n, {423: n}, f"note {n}") for n in (1, 2)]
    for stored in catalogs:
        directory.add_catalog(stored)
    assert (directory.catalog(), directory.catalog(1), directory.catalog(3)) == (
        catalogs[1],
        catalogs[0],
        None,
    )
    assert directory.catalog_versions() == [(2, 102, "note 2"), (1, 101, "note 1")]


def test_the_number_of_shards_is_fixed_once(directory: Directory) -> None:
    assert directory.shards(2) == 2
    assert directory.shards(None) == 2
    with pytest.raises(InvalidInput, match="this data directory has 2 shards, not 3: leave --shards out"):
        directory.shards(3)


def test_its_keys_survive_and_a_newer_schema_is_refused(tmp_path: Path) -> None:
    """The key of the hashes is made once: otherwise a restart would forget who opted out."""
    first = SqliteDirectory(tmp_path / "directory.db")
    hashes = first.suppress({1: ["1:somebody"]}, 100)
    first.close()
    again = SqliteDirectory(tmp_path / "directory.db")
    assert {again.hash_of("1:somebody")} == again.suppressed() == hashes
    again.close()
    connection = apsw.Connection(str(tmp_path / "directory.db"))
    connection.execute("PRAGMA user_version=999")
    connection.close()
    with pytest.raises(StoreTooNew, match="upgrade Arke"):
        SqliteDirectory(tmp_path / "directory.db")


def test_batch_runs_newest_first(directory: Directory) -> None:
    for number in (1, 2, 3):
        slot = 1_000 if number == 2 else None
        directory.keep_batch(BatchRecord(1, number, number * 10, "schedule", slot))
    directory.keep_batch(BatchRecord(1, 2, 20, "schedule", 1_000, 25, BatchCounts(4, 3, 1, 2, 1), "full"))
    assert [record.number for record in directory.batch_records(1, 2)] == [3, 2]
    assert directory.batch_records(1, 1, up_to=2)[0].counts == BatchCounts(4, 3, 1, 2, 1)
    assert [record.number for record in directory.unfinished_batches()] == [1, 3]
    assert (directory.last_slot(1), directory.last_slot(2)) == (1_000, None)


def test_old_runs_make_room_and_the_newest_slot_stays(directory: Directory) -> None:
    for number in range(1, BATCH_RUNS_KEPT + 11):
        slot = number if number in (3, 5) else None
        directory.keep_batch(BatchRecord(1, number, number, "command", slot, number))
    numbers = [record.number for record in directory.batch_records(1, 5_000)]
    assert numbers == [*range(BATCH_RUNS_KEPT + 10, 10, -1), 5]


def test_since_when_schedules_are_in_force(directory: Directory) -> None:
    directory.schedule_since({1: 100, 2: 200})
    directory.schedule_since({2: 200, 3: 300})
    assert directory.scheduled_since() == {2: 200, 3: 300}


def test_the_devices_of_a_person(directory: Directory) -> None:
    """The newest first, each with its state; the owner's state is remembered with the mapping."""
    key = (7, "ann")
    directory.link({key: Owner("U", 1, 1)}, [], 100, {(*key, "U"): PersonRow(1, 1)})
    directory.link({}, [], 200, {(*key, "V"): PersonRow(2, 0)})
    assert directory.devices(key) == ["V", "U"]
    assert directory.devices((7, "bob")) == []
    assert directory.person_of((*key, "V")) == PersonRow(2, 0)
    assert directory.person_of((*key, "W")) is None
    assert directory.find([key])[key] == Owner("U", 1, 1)
    assert directory.ids_of("U") == [key]
    assert directory.ids_of("V") == []


def test_privacy_requests_are_open_until_they_are_finished(directory: Directory) -> None:
    """Numbered in their order; what was saved last is what is found; the newest are listed first."""
    assert directory.open_privacy([b"one", b"two"], 100) == [1, 2]
    directory.save_privacy({2: b"two, further"})
    assert directory.privacy_open() == [1, 2]
    directory.finish_privacy({1: b"proof"}, [], [], 200)
    assert directory.privacy_open() == [2]
    assert [(row.number, row.at, row.done, row.body) for row in directory.privacy_page(99, 10)] == [
        (2, 100, 0, b"two, further"),
        (1, 100, 200, b"proof"),
    ]
    assert [row.number for row in directory.privacy_page(2, 10)] == [1]
    assert directory.privacy(3) is None


def test_what_is_finished_is_forgotten(directory: Directory) -> None:
    """The devices with all they own, the ids whoever owns them, and nothing else; then it is to be compacted."""
    person = (7, "ann")
    links = {(1, "a"): Owner("U", 1), (1, "b"): Owner("V", 2), (1, "c"): Owner("V", 3), person: Owner("V", 4)}
    people = {(*person, "U"): PersonRow(4, 1), (*person, "V"): PersonRow(5, 1)}
    directory.link(links, [Move(1, "a", "W", "U", 100, 1), Move(1, "c", "W", "V", 100, 3)], 100, people)
    assert not directory.compact_due()
    (number,) = directory.open_privacy([b"open"], 100)
    gone = directory.finish_privacy({number: b"done"}, ["U"], [(1, "b")], 200)
    assert sorted(gone) == [(1, "a"), (1, "b")]
    assert sorted(directory.find([*links])) == [(1, "c"), person]
    firsts = [directory.first_device(key) for key in ((1, "a"), (1, "b"), (1, "c"))]
    assert firsts == [directory.hash_of("U"), directory.hash_of("V"), None], (
        "whose they were stays, as hashes"
    )
    assert directory.devices(person) == ["V"]
    assert [move.id for move in directory.moves()] == ["c"]
    assert directory.compact_due()
    assert directory.compact()
    assert not directory.compact_due()
