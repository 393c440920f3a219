"""The demo's verdict can fail: every figure that is off by one is found, and so is a book that disagrees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from arke.app import memory_engine
from arke.checking import catalog_checkers
from arke.clock import SeededEntropy
from arke.delivery.https.ports import Answer
from arke.delivery.https.request import OutboundRequest
from arke.demo.reconcile import Reconciliation, reconcile
from arke.demo.summary import DestinationFigures, EventFigures, membership_figures, problems_of
from arke.domain.catalog import Catalog, DataSource, Destination, Mapping, Segment, Trait
from arke.domain.event import DeclaredId, IncomingEvent
from arke.operations.status import Status
from arke.operations.subjects import Operations
from arke.receiver import AudienceState, parse
from arke.virtual_time import VirtualClock, VirtualTimeLoop, run_virtual
from reachable import Reachable

if TYPE_CHECKING:
    from collections.abc import Callable

EVENTS = EventFigures(
    sent=10,
    accepted=8,
    rejected=2,
    rejected_by_code={"bad_json": 2},
    unanswered=0,
    engine=8,
    counted=3,
    requests=5,
    opt_outs=0,
    seconds=1.0,
    per_second=8,
)
ROW = DestinationFigures(
    id=7,
    name="Acme",
    messages=5,
    acknowledged=4,
    failed=1,
    retries=2,
    unanswered=0,
    users=9,
    users_acknowledged=8,
    users_failed=1,
    users_unanswered=0,
    receiver_requests=7,
    receiver_accepted=4,
    receiver_users=8,
    receiver_refused=3,
    owed_before_replay=1,
    owed_after_replay=0,
    p50_ms=1.0,
    p99_ms=2.0,
)
BOOKS = Reconciliation(
    devices=6, ids=6, lines=12, inside=5, memberships=4, counted=3, differing=0, strays=0, examples=[]
)
STATUS = Status(
    ready=True,
    catalog_version=1,
    shards=1,
    profiles=6,
    events=8,
    changes=6,
    queued=0,
    backfilled=1.0,
    destinations=[],
)
replaced = msgspec.structs.replace


def problems(
    *, events: EventFigures = EVENTS, row: DestinationFigures = ROW, books: Reconciliation = BOOKS
) -> list[str]:
    return problems_of(events, membership_figures(6, books.memberships), [row], books, STATUS)


def test_figures_that_agree_are_no_problem() -> None:
    assert problems() == []


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (lambda: problems(events=replaced(EVENTS, sent=11)), "events sent 11"),
        (lambda: problems(events=replaced(EVENTS, engine=9)), "engine counts 9"),
        (lambda: problems(row=replaced(ROW, receiver_requests=8)), "requests it saw 8"),
        (lambda: problems(row=replaced(ROW, receiver_accepted=5)), "accepted 5"),
        (lambda: problems(row=replaced(ROW, receiver_users=7)), "users taken 7"),
        (lambda: problems(row=replaced(ROW, receiver_refused=2)), "refused 2"),
        (lambda: problems(row=replaced(ROW, owed_after_replay=1)), "owed after the replay 1"),
        (lambda: problems(books=replaced(BOOKS, devices=5)), "devices of visitors 5"),
        (lambda: problems(books=replaced(BOOKS, memberships=3)), "membership changes 6"),
        (lambda: problems(books=replaced(BOOKS, memberships=8)), "more memberships are held"),
        (lambda: problems(books=replaced(BOOKS, differing=1, examples=["x"])), "books disagree: x"),
        (lambda: problems(books=replaced(BOOKS, strays=1)), "nobody has 1"),
    ],
)
def test_a_figure_that_is_off_is_named(found: Callable[[], list[str]], says: str) -> None:
    assert any(says in problem for problem in found())


@pytest.mark.parametrize("arrived", [0, 1])
@pytest.mark.parametrize("taken", [0, 1])
def test_an_attempt_without_an_answer_may_have_arrived_or_not(arrived: int, taken: int) -> None:
    """Two machines that stood still for longer than a deadline have two true books."""
    seen = replaced(ROW, unanswered=1, users_unanswered=3)
    row = replaced(
        seen,
        receiver_requests=seen.receiver_requests - 1 + arrived,
        receiver_accepted=seen.receiver_accepted + arrived * taken,
        receiver_users=seen.receiver_users + 3 * arrived * taken,
        receiver_refused=seen.receiver_refused - 1 + arrived * (1 - taken),
    )
    assert problems(row=row) == []


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ({"receiver_requests": 5}, "requests it saw 5, with 1 unanswered"),
        ({"receiver_requests": 8}, "requests it saw 8, with 1 unanswered"),
        ({"receiver_accepted": 3}, "accepted 3, with 1 unanswered"),
        ({"receiver_accepted": 6}, "accepted 6, with 1 unanswered"),
        ({"receiver_users": 7}, "users taken 7, with 3 unanswered"),
        ({"receiver_users": 12}, "users taken 12, with 3 unanswered"),
        ({"receiver_refused": 1}, "refused 1, with 1 unanswered"),
        ({"receiver_refused": 4}, "refused 4, with 1 unanswered"),
    ],
)
def test_what_is_off_by_more_than_that_is_named(found: dict[str, int], says: str) -> None:
    row = replaced(ROW, unanswered=1, users_unanswered=3)
    for name, count in found.items():
        row = replaced(row, **{name: count})
    assert any(says in problem for problem in problems(row=row))


class KeepingPoster(Reachable):
    """Acknowledges everything and keeps the bodies."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    async def post(self, request: OutboundRequest, *, timeout_s: float) -> Answer:
        self.bodies.append(request.body)
        return Answer(status=200, sent=True)


CATALOG = Catalog(
    data_sources=(DataSource(id=12345),),
    traits=(Trait(id=1, rule="c_k == 1"),),
    segments=(Segment(id=9, rule="1T"),),
    destinations=(
        Destination(
            id=7,
            url="https://dsp.example.com/",
            client_id="1",
            user_dpids=(12345,),
            segments=(Mapping(segment=9, alias="nine"),),
        ),
    ),
)


def test_a_destination_that_knows_something_else_is_found_and_one_that_knows_the_same_is_not() -> None:
    loop = VirtualTimeLoop()
    clock = VirtualClock(loop, 1_800_000_000.0)
    poster = KeepingPoster()

    async def play() -> list[Reconciliation]:
        engine, shard = memory_engine(poster, clock, SeededEntropy(1))
        await shard.start()
        await engine.catalogs.apply(CATALOG)
        await engine.events.ingest(
            [IncomingEvent(ids=(DeclaredId(12345, text),), signals={"c_k": ["1"]}) for text in ("a", "b")]
        )
        await engine.drain(10)
        operations = Operations(engine, clock, catalog_checkers())
        state = AudienceState()
        ids = [(12345, "a"), (12345, "b"), (12345, "never seen")]
        found = [await reconcile(operations, CATALOG, {7: state}, ids, [])]
        state.apply(*map(parse, poster.bodies))
        found.append(await reconcile(operations, CATALOG, {7: state}, ids, []))
        found.append(await reconcile(operations, CATALOG, {7: state}, ids[:1], []))
        state.close()
        await engine.stop()
        return found

    before, after, unasked = run_virtual(play(), loop)
    assert (before.differing, before.inside) == (2, 2)
    assert "engine True, ledger True, destination False" in before.examples[0]
    assert (after.differing, after.strays, after.devices, after.lines) == (0, 0, 2, 2)
    assert unasked.strays == 1
