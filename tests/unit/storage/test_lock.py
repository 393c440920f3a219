"""The lock of a store's file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from arke.errors import StoreUnavailable
from arke.storage.sqlite.connection import FileLock

if TYPE_CHECKING:
    from pathlib import Path


def test_what_the_system_refuses_is_said_in_its_words(tmp_path: Path) -> None:
    path = tmp_path / "nothing" / "shard-00.lock"
    with pytest.raises(StoreUnavailable) as raised:
        FileLock(path)
    assert str(raised.value) == f"{path}: no such file or directory"
