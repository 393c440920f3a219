"""`arke bench` at very small sizes: what it reports is complete and comes from real runs.

Which figure is the larger is for the bench itself to say: so small, chance and other work decide.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from arke.bench import (
    batch,
    delivery,
    estimate,
    evaluation,
    growth,
    intake,
    onboarding,
    outage,
    stall,
    walks,
)
from arke.bench.figures import Options, Section
from arke.bench.sinks import BenchFailed
from patience import PATIENCE_S

TINY = Options(seconds=0.2, rounds=1, users=300, small=200, large=400, lines=500, profile=True)
NGINX_AND_WRK = shutil.which("nginx") is not None and shutil.which("wrk") is not None


EVENTS = 4 * evaluation.GROUP


def values(section: Section) -> dict[str, float]:
    return {figure.key: figure.value for figure in section.figures}


def test_evaluation_reports_a_durable_rate_next_to_its_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same work in memory, and moving blobs alone, in the same run."""
    monkeypatch.setattr(evaluation, "EVENTS", EVENTS)
    section = evaluation.run(TINY, tmp_path)
    found = values(section)
    assert min(found[name] for name in ("durable", "memory", "bare", "cpu", "two")) > 0
    assert found["memory_ratio"] == pytest.approx(found["durable"] / found["memory"])
    assert found["bare_ratio"] == pytest.approx(found["durable"] / found["bare"])
    (profile,) = section.profiles
    assert any("evaluation/evaluate.py" in row.where for row in profile.rows)


def test_delivery_reports_acknowledged_messages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Client and shard get through to the sink; without wrk the ratio is told as missing."""
    monkeypatch.setattr(delivery, "WARM_UP_S", 0.2)
    monkeypatch.setattr(
        delivery, "DEVICES", 5_000
    )  # more than a lane holds: it does not read to the end at once
    section = delivery.run(msgspec.structs.replace(TINY, profile=False), tmp_path)
    found = values(section)
    assert min(found[name] for name in ("client", "shard", "shard_cpu")) > 0
    assert found["body"] > 4_000
    if NGINX_AND_WRK:
        assert found["shard_ratio"] == pytest.approx(found["shard"] / found["wrk"])
        assert section.missing == []
    else:
        assert "shard_ratio" not in found
        assert "not on PATH" in section.missing[0]


def test_the_intake_reports_one_tree_beside_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This one beside itself: all that is compared is there, and comes from real runs."""
    monkeypatch.setenv(intake.AGAINST, str(Path(intake.__file__).parents[2]))
    found = values(intake.run(TINY, tmp_path))
    for load in intake.LOADS:
        assert found[f"{load.key}_p50_ms"] > 0
        assert found[f"{load.key}_cpu_us_ratio"] >= 0
    assert found["many_rate"] > 0


def test_what_is_no_other_tree_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(intake.AGAINST, str(tmp_path))
    with pytest.raises(BenchFailed, match="has no package"):
        intake.run(TINY, tmp_path)


def test_growth_compares_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "EVENTS", EVENTS)
    monkeypatch.setattr(growth, "MANY_SEGMENTS", 400)
    monkeypatch.setattr(growth, "MANY_TRAITS", 800)
    monkeypatch.setattr(growth, "USERS", 200)
    found = values(growth.run(TINY, tmp_path))
    assert {"segments_ratio", "dense_ratio", "profiles_ratio"} <= found.keys()
    assert all(value > 0 for value in found.values())


def test_onboarding_reports_lines_next_to_their_bare_cost(tmp_path: Path) -> None:
    """Every line is stored, by real shards; and what counting and inserting it costs, in the same run."""
    found = values(onboarding.run(TINY, tmp_path))
    assert found["lines"] > 0
    assert found["ratio"] == pytest.approx(found["lines"] / found["bound"])


def test_estimate_measures_each_size(tmp_path: Path) -> None:
    """Five figures a size, all measured; so small that which is the largest is left to chance."""
    found = values(estimate.run(TINY, tmp_path))
    kinds = ("sampled", "rare", "common", "forecast", "longest")
    assert list(found) == [f"{kind}_{size}" for size in (TINY.users, TINY.large) for kind in kinds]
    assert all(value > 0 for value in found.values())


def test_walks_go_through_everybody(tmp_path: Path) -> None:
    """Sweep and backfill at two sizes, each with a speed."""
    found = values(walks.run(TINY, tmp_path))
    assert len(found) == 6
    assert all(value > 0 for value in found.values())


def test_a_stall_is_measured_beside_all_walks_and_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Latencies of real events, alone and beside other work, of which it tells how much was done."""
    monkeypatch.setattr(stall, "LEAD_S", 0)
    section = stall.run(msgspec.structs.replace(TINY, seconds=1.0), tmp_path)
    found = values(section)
    for beside in ("walks", "file"):
        assert found[f"{beside}_ratio"] == pytest.approx(found[f"{beside}_p99"] / found["nothing_p99"])
    assert re.search(r"memberships changed, \d+% backfilled, \d+% of the batch done", section.notes[3])
    assert re.search(r"[0-9]+ of [0-9]+ lines loaded", section.notes[4])


def test_batch_tells_everybody_and_says_what_it_takes(tmp_path: Path) -> None:
    section = batch.run(msgspec.structs.replace(TINY, changed=(50, 400)), tmp_path)
    found = values(section)
    assert found["rate_50"] > 0
    assert found["rate_400"] > 0
    assert found["cpu_400"] > 0
    assert found["memory_ratio"] == pytest.approx(found["memory_400"] / found["memory_50"])


def test_an_outage_is_measured_from_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens, then somebody does: all are told, nobody twice, and how long that took."""
    monkeypatch.setattr(outage, "EVENTS", 300)
    section = outage.run(msgspec.structs.replace(TINY, seconds=0.1), tmp_path)
    found = values(section)
    for shards in outage.SHARDS:
        assert 0 < found[f"first_{shards}"] <= found[f"all_{shards}"]
        assert found[f"twice_{shards}"] == 0
        assert 0 < found[f"owed_{shards}"] <= 300


def test_end_to_end_runs_the_real_program_and_prints_json() -> None:
    """The command as users run it: every probe reaches the destination, and programs can read the answer."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "arke", "bench", "end-to-end", "--quick"),
            *("--seconds", "0.2", "--profiles", "500", "--json"),
        ],
        capture_output=True,
        text=True,
        timeout=3 * PATIENCE_S,  # three engines, one after another
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    (section,) = report["sections"]
    found = {figure["key"]: figure["value"] for figure in section["figures"]}
    assert found["events"] > 0
    assert 0 < found["p50"] <= found["p99"]
    assert any(", 0 did not arrive" in note for note in section["notes"])
    assert report["machine"]["cores"]


def test_an_unknown_bench_is_wrong_use() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "arke", "bench", "everything"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 2
    assert "choose delivery, evaluation, end-to-end, intake, growth, " in done.stderr
