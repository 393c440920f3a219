"""docs/operations/running.md says at which version the files of a data directory are."""

from __future__ import annotations

import re

import pytest

from unit.docs.pages import ROOT

PAGE = (ROOT / "docs/operations/running.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("file", "kind"), [("directory.db", "directory"), ("shard-NN.db", "shard")])
def test_the_page_tells_the_version_of_each_file(file: str, kind: str) -> None:
    steps = (ROOT / "src/arke/storage/sqlite/migrations" / kind).glob("*.sql")
    newest = max(int(step.name[:4]) for step in steps)
    told = re.search(rf"`{file}`(?: is)? at\s+version (\d+)", PAGE)
    assert told is not None
    assert int(told[1]) == newest
