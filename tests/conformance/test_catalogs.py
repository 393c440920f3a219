"""What every store of catalogs does: versions are added, and all of them stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from arke.errors import CatalogChanged
from arke.storage.ports.directory import StoredCatalog

if TYPE_CHECKING:
    from arke.storage.ports.directory import Directory


async def test_the_newest_catalog_and_each_one_before(directory: Directory) -> None:
    catalogs = directory.catalogs
    assert await catalogs.get() is None
    assert await catalogs.newest() == 0
    stored = [
        StoredCatalog(n, 100 + n, b'{"n":%d}' % n, {423: n}, f"note {n}", {423: {"x": n}}) for n in (1, 2)
    ]
    for one in stored:
        await catalogs.add(one)
    assert [await catalogs.get(), await catalogs.get(1), await catalogs.get(3)] == [
        stored[1],
        stored[0],
        None,
    ]
    assert await catalogs.newest() == 2
    assert await catalogs.versions(3, 10) == [(2, 102, "note 2"), (1, 101, "note 1")]
    assert await catalogs.versions(3, 1) == [(2, 102, "note 2")]
    assert await catalogs.versions(2, 10) == [(1, 101, "note 1")]


async def test_a_version_is_stored_once(directory: Directory) -> None:
    first = StoredCatalog(1, 100, b"{}", {}, "first")
    await directory.catalogs.add(first)
    with pytest.raises(CatalogChanged):
        await directory.catalogs.add(StoredCatalog(1, 200, b"{}", {}, "second"))
    assert await directory.catalogs.get(1) == first
