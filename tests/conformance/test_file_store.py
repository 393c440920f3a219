"""What every store of data files promises: records by name and content, what is filed, and who joins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from arke.domain.identity import Owner
from arke.domain.profile import FileMark
from arke.storage.ports.files import Filed
from arke.storage.sqlite.connection import MEMORY
from arke.storage.sqlite.directory import SqliteDirectory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from arke.storage.ports.directory import Directory

JANE, JOHN = (777, "jane"), (777, "john")
ONE, TWO = f"{1:038d}", f"{2:038d}"


@pytest.fixture(params=["file", "memory"])
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Directory]:
    opened = SqliteDirectory(tmp_path / "directory.db" if request.param == "file" else MEMORY)
    yield opened
    opened.close()


def test_a_file_is_known_by_name_and_content(directory: Directory) -> None:
    """The time of its first load stays, and so does how far it has come."""
    files = directory.files
    first = files.begin("a.sync", b"1", 100)
    assert (first.begun, first.position, first.done, first.body) == (100, 0, False, b"")
    files.advance(first.number, 10_000, b"counters", {}, {}, 100)
    again = files.begin("a.sync", b"1", 200)
    assert (again.number, again.begun, again.position, again.body) == (first.number, 100, 10_000, b"counters")
    assert files.begin("a.sync", b"2", 200).number != first.number
    assert files.begin("b.sync", b"1", 200).number != first.number
    files.finish(first.number, b"receipt")
    done = files.begin("a.sync", b"1", 300)
    assert (done.done, done.body) == (True, b"receipt")


def test_what_is_filed_is_replaced_with_its_id(directory: Directory) -> None:
    files = directory.files
    number = files.begin("a.sync", b"1", 100).number
    kept = Filed({1: 100}, {9: (1, 100)}, FileMark(number, 1, 1, 1))
    files.advance(number, 1, b"", {JANE: kept, JOHN: Filed({1: 100})}, {}, 100)
    files.advance(number, 2, b"", {JOHN: Filed({2: 100})}, {}, 100)
    assert files.filed({JANE, JOHN, (777, "nobody")}) == {JANE: kept, JOHN: Filed({2: 100})}


def test_a_device_joins_whichever_comes_first(directory: Directory) -> None:
    """Filed and then linked, or linked and then filed; not the devices that heard it already."""
    files = directory.files
    number = files.begin("a.sync", b"1", 100).number
    directory.link({JOHN: Owner(ONE, 1)}, [], 50)
    assert files.joining(10) == []
    files.advance(number, 1, b"", {JANE: Filed(), JOHN: Filed()}, {}, 100)
    directory.link({JANE: Owner(TWO, 2)}, [], 150)
    assert [(one.id, one.uuid) for one in files.joining(10)] == [("john", ONE), ("jane", TWO)]
    files.joined(files.joining(1))
    assert [one.id for one in files.joining(10)] == ["jane"]
    files.joined(files.joining(1))
    files.advance(number, 2, b"", {JANE: Filed(), JOHN: Filed()}, {JANE: [TWO], JOHN: ["other"]}, 100)
    assert [(one.id, one.uuid) for one in files.joining(10)] == [("john", ONE)]


def test_what_joins_again_meanwhile_is_not_lost(directory: Directory) -> None:
    """A join that is done does not take away one that came while it was under way."""
    files = directory.files
    number = files.begin("a.sync", b"1", 100).number
    directory.link({JANE: Owner(ONE, 1)}, [], 50)
    files.advance(number, 1, b"", {JANE: Filed()}, {}, 100)
    under_way = files.joining(10)
    files.advance(number, 2, b"", {JANE: Filed({1: 100})}, {}, 100)
    files.joined(under_way)
    assert [one.uuid for one in files.joining(10)] == [ONE]


def test_what_is_too_old_goes_and_what_is_erased_is_gone(directory: Directory) -> None:
    files = directory.files
    old = files.begin("old.sync", b"1", 100).number
    files.advance(old, 1, b"", {JANE: Filed()}, {}, 100)
    files.finish(old, b"receipt")
    new = files.begin("new.sync", b"1", 200).number
    files.advance(new, 1, b"", {JOHN: Filed()}, {}, 200)
    files.prune(150, 150)
    assert set(files.filed({JANE, JOHN})) == {JOHN}
    assert not files.begin("old.sync", b"1", 300).done
    directory.link({JOHN: Owner(ONE, 1)}, [], 250)
    files.forget_filed([JOHN])
    assert (files.filed({JOHN}), files.joining(10)) == ({}, [])
