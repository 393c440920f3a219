"""SQL in files, each statement under its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from arke.storage.sql_files import statements

if TYPE_CHECKING:
    from pathlib import Path


def test_statements_by_name(tmp_path: Path) -> None:
    file = tmp_path / "some.sql"
    file.write_text(
        "-- Why they are here.\n-- name: one\nSELECT 1;\n-- name: two\n-- twice\nSELECT\n  2\n;\n"
    )
    assert statements(file) == {"one": "SELECT 1", "two": "-- twice\nSELECT\n  2\n"}


@pytest.mark.parametrize("text", ["SELECT 1;\n", "-- name: one\nSELECT 1;\n-- name: one\nSELECT 2;\n"])
def test_each_has_one_name(tmp_path: Path, text: str) -> None:
    file = tmp_path / "some.sql"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"some\.sql"):
        statements(file)
