"""The driver of `benchmarks/peers` tells of a contender what is true of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from fake_peer import FakePeer
from peers.arke_engine import Arke
from peers.driver import Report, Row, run
from peers.scenes import Drain, Latency, Rate, Settings
from peers.tables import markdown

if TYPE_CHECKING:
    from pathlib import Path

    from peers.contender import Contender

QUICK = Settings(
    seconds=0.3,
    latency_seconds=0.5,
    connections=(1, 4),
    bulk=50,
    rates=(50,),
    outage_events=700,
    outage_seconds=0.2,
    all_within_s=20,
    drained_within_s=20,
)


def measured(contender: Contender, tmp_path: Path, settings: Settings = QUICK) -> tuple[Report, Row]:
    report = run([contender], settings, 1, tmp_path)
    (row,) = report.rows
    return report, row


def test_a_contender_goes_through_every_scene(tmp_path: Path) -> None:
    report, row = measured(FakePeer(), tmp_path)
    assert not row.missing
    (turn,) = row.rounds
    one, four, bulk, latency, drain = turn.outcomes
    for rate, connections, events in ((one, 1, 1), (four, 4, 1), (bulk, 8, QUICK.bulk)):
        assert isinstance(rate, Rate)
        assert (rate.connections, rate.events_a_post) == (connections, events)
        assert rate.rate > 0
        assert rate.answer_p50_ms > 0
        assert (rate.missing, rate.twice, rate.refused, rate.broke) == (0, 0, 0, 0)
    assert isinstance(latency, Latency)
    assert latency.sustained
    assert 0 < latency.p50_ms <= latency.p99_ms < 1_000
    assert isinstance(drain, Drain)
    assert (drain.accepted, drain.arrived, drain.missing, drain.twice) == (700, 700, 0, 0)
    assert 0 < drain.first_s <= drain.all_s
    assert turn.memory_mb > 5
    assert sum(one.cpu_us for one in turn.outcomes if isinstance(one, Rate)) > 0
    told = markdown(report)
    assert "| A forwarder | 1 |" in told
    assert "not measured" not in told
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report


def test_what_arrives_twice_is_counted(tmp_path: Path) -> None:
    settings = msgspec.structs.replace(QUICK, connections=(4,), rates=(), outage_events=300)
    _, row = measured(FakePeer(times=2), tmp_path, settings)
    for outcome in row.rounds[0].outcomes:
        assert outcome.missing == 0
        if isinstance(outcome, Rate):
            assert outcome.twice == pytest.approx(outcome.arrived, abs=1)
        if isinstance(outcome, Drain):
            assert outcome.arrived == 300
            assert outcome.twice == pytest.approx(300, abs=1)


def test_what_is_lost_is_missed_and_what_comes_later_is_no_other_scenes(tmp_path: Path) -> None:
    settings = msgspec.structs.replace(
        QUICK, connections=(), rates=(), outage_events=500, all_within_s=0.5, drained_within_s=2
    )
    _, row = measured(FakePeer(loses=10), tmp_path, settings)
    bulk, drain = row.rounds[0].outcomes
    assert isinstance(bulk, Rate)
    assert 0 < bulk.missing < bulk.arrived
    assert isinstance(drain, Drain)
    assert drain.accepted == 500
    assert drain.missing == 50  # every tenth, after the twenty of the warm-up
    assert drain.all_s == -1


def test_what_is_refused_or_not_answered_is_sent_again(tmp_path: Path) -> None:
    settings = msgspec.structs.replace(QUICK, connections=(4,), outage_events=0)
    _, row = measured(FakePeer(refuses=7), tmp_path, settings)
    one, _, latency = row.rounds[0].outcomes
    assert isinstance(one, Rate)
    assert one.refused > 0
    assert one.broke > 0
    assert (one.missing, one.twice) == (0, 0)
    assert isinstance(latency, Latency)
    assert latency.missing == 0
    assert latency.p99_ms > 50  # counted from when the event was due, and it was sent again after a pause


def test_who_signs_otherwise_is_not_measured(tmp_path: Path) -> None:
    report, row = measured(FakePeer(key="another"), tmp_path)
    assert not row.rounds
    assert "signed" in row.missing
    assert "not measured: failed: " in markdown(report)


def test_who_is_not_here_is_told_of_and_does_not_run(tmp_path: Path) -> None:
    report, row = measured(FakePeer(lacks="no such program"), tmp_path)
    assert row.rounds == []
    assert "not measured: no such program" in markdown(report)


def test_arke_goes_through_a_few(tmp_path: Path) -> None:
    settings = msgspec.structs.replace(QUICK, connections=(4,))
    _, row = measured(Arke(1, 10), tmp_path, settings)
    assert not row.missing
    for outcome in row.rounds[0].outcomes:
        assert outcome.missing == 0
    drain = row.rounds[0].outcomes[-1]
    assert isinstance(drain, Drain)
    assert (drain.accepted, drain.arrived, drain.twice) == (700, 700, 0)
