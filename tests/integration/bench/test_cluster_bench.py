"""`arke bench cluster` at a very small size: shards on each PostgreSQL there is, nodes on one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from arke.bench import cluster, cluster_chain, quiet_shards
from arke.bench.evaluation import GROUP
from arke.bench.figures import Options, Section
from arke.bench.nodes import KAFKA, POSTGRES
from servers.postgres import KINDS, shared

if TYPE_CHECKING:
    from pathlib import Path

TINY = Options(seconds=0.1, rounds=1, users=2_000, small=200, large=400)


@pytest.mark.parametrize("kind", KINDS)
def test_it_measures_and_leaves_nothing(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dsn = shared(kind)
    monkeypatch.setenv(POSTGRES, dsn)
    monkeypatch.setattr(cluster, "EVENTS", 4 * GROUP)
    monkeypatch.setattr(quiet_shards, "SHARDS", (8,))
    monkeypatch.setattr(cluster_chain, "run", lambda *_: Section(name="chain", figures=[], notes=["chain"]))
    section = cluster.run(TINY, tmp_path)
    found = {figure.key: figure.value for figure in section.figures}
    assert min(found[name] for name in ("commit", "bare_commit", "store", "bare", "events", "events_cpu")) > 0
    assert found["commit_ratio"] == pytest.approx(found["bare_commit"] / found["commit"], rel=0.01)
    quiet = found["quiet_8_together"] / found["quiet_8_alone"]
    assert found["quiet_8_ratio"] == pytest.approx(quiet, rel=0.01)
    assert section.notes[-1] == "chain"
    assert schemas(dsn) == []


def test_a_cluster_is_measured_from_the_intake_to_the_destination(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dsn = shared(KINDS[-1])
    monkeypatch.setenv(POSTGRES, dsn)
    monkeypatch.delenv(KAFKA, raising=False)
    monkeypatch.setattr(cluster_chain, "SHARDS", 16)
    tiny = Options(seconds=0.5, rounds=1, users=200, small=200, large=400)
    found = {figure.key: figure.value for figure in cluster_chain.run(tiny, tmp_path).figures}
    assert found["chain_taken"] >= found["chain_events"] > 0
    assert 0 < found["chain_p50"] <= found["chain_p99"]
    assert min(found[f"chain_cpu_{name}"] for name in ("intake", "worker", "PostgreSQL")) > 0
    assert schemas(dsn) == []


def schemas(dsn: str) -> list[tuple[object, ...]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute("SELECT 1 FROM pg_namespace WHERE nspname LIKE 'arke_bench%'").fetchall()


def test_without_a_server_it_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(POSTGRES, raising=False)
    section = cluster.run(TINY, tmp_path)
    assert section.figures == []
    assert POSTGRES in section.missing[0]
