"""What every store of figures over time promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.storage.ports.history import BlockKey

if TYPE_CHECKING:
    from pathlib import Path

    from arke.storage.ports.directory import Directory
    from conformance.conftest import OpenDirectory

ACME = BlockKey(1, 423, 60, 7_200)
LATER = ACME._replace(begins=10_800)
DAY = ACME._replace(grain_s=900, begins=0)
OTHER = ACME._replace(number=424)


async def test_a_block_is_read_as_it_was_written_last(directory: Directory) -> None:
    assert await directory.history.get([ACME]) == {}
    await directory.history.write({ACME: b"one\0", OTHER: b""})
    await directory.history.write({ACME: b"two\0"})
    assert await directory.history.get([ACME, OTHER, LATER]) == {ACME: b"two\0", OTHER: b""}


async def test_a_subjects_blocks_come_in_order(directory: Directory) -> None:
    await directory.history.write({LATER: b"2", ACME: b"1", OTHER: b"o", DAY: b"d"})
    kind, number, grain_s, _ = ACME
    assert await directory.history.of(kind, number, grain_s, 0, 10_800) == [(7_200, b"1"), (10_800, b"2")]
    assert await directory.history.of(kind, number, grain_s, 7_201, 10_799) == []


async def test_the_oldest_of_all_subjects_are_found(directory: Directory) -> None:
    await directory.history.write({LATER: b"2", ACME: b"1", OTHER: b"o", DAY: b"d"})
    assert await directory.history.before(60, 10_800, 9) == {ACME: b"1", OTHER: b"o"}
    assert len(await directory.history.before(60, 99_999, 2)) == 2
    assert LATER not in await directory.history.before(60, 99_999, 2)
    assert await directory.history.before(900, 1, 9) == {DAY: b"d"}


async def test_blocks_take_the_place_of_others(directory: Directory) -> None:
    await directory.history.write({ACME: b"1", LATER: b"2"})
    await directory.history.write({DAY: b"d"}, [ACME, LATER, OTHER])
    assert await directory.history.get([ACME, LATER, DAY]) == {DAY: b"d"}


async def test_they_are_there_after_a_restart(lasting: OpenDirectory, tmp_path: Path) -> None:
    async with lasting(tmp_path) as directory:
        await directory.history.write({ACME: b"1"})
    async with lasting(tmp_path) as directory:
        assert await directory.history.get([ACME]) == {ACME: b"1"}
