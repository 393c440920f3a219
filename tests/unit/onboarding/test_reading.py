"""One file from survey to its last chunk, in a thread that others wait beside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.domain.catalog import Catalog
from arke.onboarding import reading
from arke.onboarding.columns_file import parse_columns
from arke.onboarding.names import parse_name
from arke.onboarding.reading import LET_GO_LINES, Reading

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

COLUMNS = "id: {column: cookie, dpid: 12345}\nsignals: {note: c_note}\n"


def test_the_thread_lets_go_after_so_many_rows_of_two_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a head of one line they all end at odd numbers."""
    paused = 0

    def sleep(seconds: float) -> None:
        nonlocal paused
        assert seconds == 0
        paused += 1

    monkeypatch.setattr(reading, "time", type("Time", (), {"sleep": staticmethod(sleep)}))
    path = tmp_path / "notes_12345.csv"
    path.write_text("cookie,note\n" + '1,"a\nb"\n' * (3 * LET_GO_LINES))
    file = Reading(path, parse_name(path.name), parse_columns(COLUMNS, "columns"))
    try:
        file.start(0, Catalog())
        chunk = file.chunk()
    finally:
        file.close()
    assert chunk.end
    assert chunk.last == 1 + 2 * 3 * LET_GO_LINES
    assert paused == 3
