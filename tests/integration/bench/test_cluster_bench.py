"""`arke bench cluster` at a very small size, on each PostgreSQL there is; and what it says without one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from arke.bench import cluster
from arke.bench.evaluation import GROUP
from arke.bench.figures import Options
from servers.postgres import KINDS, shared

if TYPE_CHECKING:
    from pathlib import Path

TINY = Options(seconds=0.1, rounds=1, users=2_000, small=200, large=400)


@pytest.mark.parametrize("kind", KINDS)
def test_it_measures_and_leaves_nothing(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dsn = shared(kind)
    monkeypatch.setenv(cluster.SERVER, dsn)
    monkeypatch.setattr(cluster, "EVENTS", 4 * GROUP)
    section = cluster.run(TINY, tmp_path)
    found = {figure.key: figure.value for figure in section.figures}
    assert min(found[name] for name in ("commit", "bare_commit", "store", "bare", "events", "events_cpu")) > 0
    assert found["commit_ratio"] == pytest.approx(found["bare_commit"] / found["commit"], rel=0.01)
    with psycopg.connect(dsn) as connection:
        left = connection.execute("SELECT 1 FROM pg_namespace WHERE nspname LIKE 'arke_bench%'").fetchall()
    assert left == []


def test_without_a_server_it_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(cluster.SERVER, raising=False)
    section = cluster.run(TINY, tmp_path)
    assert section.figures == []
    assert cluster.SERVER in section.missing[0]
