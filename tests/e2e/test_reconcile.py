"""`arke reconcile` over a running engine: real messages to real endpoints, each user in the bucket of what came."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from arke.api import parameters
from arke.api.table import callers, reconciliation, sizes
from arke.engine.reconciliation import ALL_UP_TO
from arke.errors import InvalidInput
from e2e.catalogs import IN_MARKET, LENSES, STILL_LOOKING, catalog, destination, device, visit
from e2e.engine_process import EngineProcess
from patience import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arke.operations.reconciliation import Statement
    from e2e.receiver_thread import ReceiverThread

VISITORS = 6
WELL, FAILING, SAMPLED, BATCHES, OFF, LATER, STRANGER = range(1, 8)


@pytest.fixture(scope="module")
def engine(
    tmp_path_factory: pytest.TempPathFactory, well: ReceiverThread, failing: ReceiverThread
) -> Iterator[EngineProcess]:
    """Six visitors saw a camera; one of them then bought a bag, and has left the third segment."""
    failing.misbehave("status=500")
    ca = well.ca_file
    later = [{"segment": IN_MARKET, "start": "2100-01-01"}, {"segment": LENSES}]
    told = [
        destination(WELL, well.url, ca),
        destination(FAILING, failing.url, failing.ca_file),
        destination(SAMPLED, well.url, ca, sample_rate_denominator=1_000_000),
        destination(BATCHES, well.url, ca, realtime=False),
        destination(OFF, well.url, ca, enabled=False),
        destination(LATER, well.url, ca, segments=later),
        destination(STRANGER, well.url, ca, user_dpids=[501]),
    ]
    with EngineProcess(tmp_path_factory.mktemp("engine"), shards=2) as running:
        running.apply(catalog(told))
        running.accept(*(visit(number, "camera") for number in range(VISITORS)))
        wait_until(lambda: settled(running), "everybody was told, or is owed")
        running.accept(visit(0, "bag"))
        wait_until(lambda: statement(running, WELL, STILL_LOOKING).left == {}, "the exit was told")
        yield running


def statement(engine: EngineProcess, number: int, segment: int = IN_MARKET) -> Statement:
    return engine.client().ask(reconciliation.STATEMENT, parameters.SegmentAt(segment, number))


def settled(engine: EngineProcess) -> bool:
    found = [statement(engine, number).buckets for number in (WELL, FAILING)]
    return found == [{"acknowledged": VISITORS}, {"owed": VISITORS}]


@pytest.mark.parametrize(
    ("number", "bucket", "reason"),
    [
        (WELL, "acknowledged", "acknowledged every id"),
        (FAILING, "owed", "500"),
        (SAMPLED, "not_in_sample", "1 in 1000000"),
        (BATCHES, "waits_for_batch", "the next one tells"),
        (OFF, "off", "switched off"),
        (LATER, "not_mapped", "begins on 2100-01-01"),
        (STRANGER, "no_partner_id", "(501)"),
    ],
)
def test_everybody_is_in_the_bucket_of_what_came(
    engine: EngineProcess, number: int, bucket: str, reason: str
) -> None:
    found = statement(engine, number)
    assert (found.users, found.members, found.basis) == (VISITORS, VISITORS, "now")
    assert found.buckets == {bucket: VISITORS}
    assert all(reason in one for one in found.reasons[bucket])


def test_the_command_prints_it(engine: EngineProcess) -> None:
    """For programs, as SPEC 10 says; and for people."""
    done = engine.arke("reconcile", str(IN_MARKET), str(FAILING), "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert (found["segment"], found["destination"], found["users"]) == (IN_MARKET, FAILING, VISITORS)
    assert found["buckets"] == {"owed": VISITORS}
    told = engine.arke("reconcile", str(STILL_LOOKING), str(FAILING))
    assert "5 users" in told.stdout
    assert "out of it, and told 1 before: 1 user\n" in told.stdout


def test_users_of_a_bucket_are_named_and_that_is_audited(engine: EngineProcess) -> None:
    done = engine.arke("reconcile", str(STILL_LOOKING), str(FAILING), "--users", "left:owed")
    assert done.stdout.split() == [device(0)]
    entries = engine.client().ask(callers.AUDIT, parameters.After()).entries
    assert entries[-1].action == "users_sampled"
    assert device(0) not in entries[-1].detail


def test_a_batch_moves_them_and_the_funnel_says_so(engine: EngineProcess) -> None:
    """Of a destination without real time: told by batch. The funnel is of all its segments."""
    before = engine.client().ask(reconciliation.FUNNEL, parameters.OneDestination(BATCHES))
    assert (before.qualified, before.partner_id, before.sent, before.acknowledged) == (6, 6, 0, 0)
    assert engine.arke("batch", "run", str(BATCHES)).returncode == 0
    assert statement(engine, BATCHES).buckets == {"told_by_batch": VISITORS}
    after = engine.client().ask(reconciliation.FUNNEL, parameters.OneDestination(BATCHES))
    assert (after.sent, after.acknowledged, after.owed) == (6, 6, 0)
    failing = engine.client().ask(reconciliation.FUNNEL, parameters.OneDestination(FAILING))
    assert (failing.sent, failing.acknowledged, failing.owed) == (6, 0, 6)


def test_sizes_and_overlaps(engine: EngineProcess) -> None:
    client = engine.client()
    found = client.ask(sizes.SIZES, parameters.Segments(f"{IN_MARKET},{STILL_LOOKING},{LENSES}"))
    assert found.members == {IN_MARKET: VISITORS, STILL_LOOKING: VISITORS - 1, LENSES: 0}
    assert (found.counted, found.away) == (1.0, [])
    both = client.ask(reconciliation.OVERLAP, parameters.TwoSegments(IN_MARKET, STILL_LOOKING))
    assert (both.both, both.low, both.high, both.exact) == (5, 5, 5, True)
    assert (both.share_of_one, both.share_of_other) == (round(5 / 6, 4), 1.0)


def test_a_count_of_all_in_the_background(engine: EngineProcess) -> None:
    client, where = engine.client(), parameters.OneDestination(WELL)
    begun = client.ask(reconciliation.COUNT, where)
    assert begun.destination == WELL
    wait_until(lambda: not client.ask(reconciliation.SHOW_COUNT, where).running, "the count")
    over = client.ask(reconciliation.SHOW_COUNT, where)
    assert (over.looked_at, over.share, over.error) == (VISITORS, 1.0, None)
    assert ALL_UP_TO > VISITORS


@pytest.mark.parametrize("asked", [(IN_MARKET, 99), (99, WELL)])
def test_what_is_not_in_the_catalog(engine: EngineProcess, asked: tuple[int, int]) -> None:
    with pytest.raises(InvalidInput, match="in the catalog"):
        engine.client().ask(reconciliation.STATEMENT, parameters.SegmentAt(*asked))
    done = engine.arke("reconcile", *map(str, asked))
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.parametrize("name", ["nope", "paused", "left:no_partner_id", ""])
def test_a_bucket_that_nobody_is_ever_in_is_not_answered_as_an_empty_one(
    engine: EngineProcess, name: str
) -> None:
    done = engine.arke("reconcile", str(IN_MARKET), str(WELL), "--users", name)
    assert (done.returncode, done.stdout) == (2, "")
    assert "no_partner_id" in done.stderr


def test_it_is_the_same_after_a_kill(engine: EngineProcess) -> None:
    """Last in this file: the engine is killed and comes back."""
    before = statement(engine, WELL), statement(engine, WELL, STILL_LOOKING)
    engine.kill()
    engine.start()
    wait_until(lambda: statement(engine, WELL).buckets == before[0].buckets, "the books")
    assert statement(engine, WELL).members == VISITORS
    assert statement(engine, WELL, STILL_LOOKING).members == VISITORS - 1
