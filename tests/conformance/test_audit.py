"""What every audit does: entries are added, each sealed with all before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from arke.storage.ports.directory import Directory
    from conformance.conftest import OpenDirectory


async def test_entries_are_numbered_and_sealed(directory: Directory) -> None:
    audit = directory.audit
    assert ((await audit.end()).entries, await audit.intact()) == (0, True)
    ends = [await audit.add(100 + n, "local", "token.create", f"entry {n}") for n in range(3)]
    assert [end.entries for end in ends] == [1, 2, 3]
    assert await audit.end() == ends[-1]
    entries = await audit.entries(1, 10)
    assert [(one.number, one.at, one.actor, one.detail) for one in entries] == [
        (2, 101, "local", "entry 1"),
        (3, 102, "local", "entry 2"),
    ]
    assert [one.seal for one in entries] == [end.seal for end in ends[1:]]
    assert [one.number for one in await audit.entries(0, 2)] == [1, 2]
    assert await audit.intact()


async def test_it_goes_on_where_it_was(lasting: OpenDirectory, tmp_path: Path) -> None:
    async with lasting(tmp_path) as first:
        end = await first.audit.add(100, "local", "token.create", "one")
    async with lasting(tmp_path) as again:
        assert await again.audit.end() == end
        assert (await again.audit.add(200, "local", "token.create", "two")).entries == 2
        assert await again.audit.intact()
