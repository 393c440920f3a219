"""Events of many callers go in one call, and each caller hears of his own alone."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import pytest

from arke.domain.event import Accepted, IncomingEvent
from arke.engine import together as together_
from arke.engine.together import ENOUGH, MOST, Together
from arke.errors import EventError, ShardDown, StoreUnavailable
from patience import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from arke.engine.together import Answers

PATIENCE_S = 60.0


class Way:
    """Takes calls, and answers each event by its UUID, once `go` is set; those of which it is `quick`, before."""

    def __init__(self) -> None:
        self.quick: Callable[[str], bool] = lambda _: False
        self.calls: list[tuple[list[str | None], bool]] = []
        self.by_shard = True
        self.go = asyncio.Event()
        self.go.set()
        self.failed: Callable[[Sequence[IncomingEvent]], dict[int, ShardDown]] = lambda _: {}
        self.error: Exception | None = None

    async def __call__(self, events: Sequence[IncomingEvent], answers: Answers, *, evaluated: bool) -> None:
        self.calls.append(([event.uuid for event in events], evaluated))
        answers.failed = dict(self.failed(events))
        answers.found = [Accepted(uuid=event.uuid or "") for event in events]
        quick = [number for number, event in enumerate(events) if self.quick(event.uuid or "")]
        if quick:
            answers.settle(quick, by_shard=self.by_shard)
        await self.go.wait()
        if self.error is not None:
            raise self.error


def events(*uuids: str) -> list[IncomingEvent]:
    return [IncomingEvent(uuid=uuid) for uuid in uuids]


async def test_what_comes_in_one_turn_of_the_loop_goes_together() -> None:
    way = Way()
    together = Together(way)
    first, second = (
        together.taken(events("a"), evaluated=True),
        together.taken(events("b", "c"), evaluated=True),
    )
    plain = together.taken(events("d"), evaluated=False)
    assert [one.uuid for one in await second] == ["b", "c"]  # type: ignore[union-attr]
    assert [one.uuid for one in await first] == ["a"]  # type: ignore[union-attr]
    await plain
    await together.taken(events("e"), evaluated=True)
    assert way.calls == [(["a", "b", "c"], True), (["d"], False), (["e"], True)]


async def test_nobody_waits_for_a_call_while_a_shard_has_none() -> None:
    way = Way()
    way.go.clear()
    together = Together(way, 2)
    calls = [await begun(together, name) for name in "ab"]
    assert [uuids for uuids, _ in way.calls] == [["a"], ["b"]]
    way.go.set()
    await asyncio.gather(*calls)


async def test_what_comes_while_every_shard_has_a_call_goes_when_one_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(together_, "MOMENT_S", PATIENCE_S)
    way = Way()
    way.go.clear()
    together = Together(way, 2)
    first = [await begun(together, name) for name in "ab"]
    others = [await begun(together, name) for name in "cd"]
    assert [uuids for uuids, _ in way.calls] == [["a"], ["b"]]
    way.go.set()
    await asyncio.gather(*first, *others)
    assert [uuids for uuids, _ in way.calls] == [["a"], ["b"], ["c", "d"]]


async def test_nobody_waits_for_a_shard_that_does_not_answer() -> None:
    """Only for a moment."""
    way = Way()
    way.go.clear()
    together = Together(way)
    calls = [await begun(together, "a")]
    for count, name in enumerate("bc", start=2):
        calls.append(await begun(together, name))
        await eventually(partial(called, way, count), "a call of its own")
    way.go.set()
    await asyncio.gather(*calls)


def called(way: Way, times: int) -> bool:
    return len(way.calls) == times


async def begun(together: Together, uuid: str) -> asyncio.Future[list[Accepted | EventError]]:
    told = together.taken(events(uuid), evaluated=True)
    await asyncio.sleep(0)
    return told


async def test_who_is_answered_hears_of_it_though_others_of_his_call_are_not() -> None:
    """Each by his own events: who sent some of either kind waits for all of his."""
    way = Way()
    way.quick = lambda uuid: uuid in "ac"
    way.go.clear()
    together = Together(way)
    told = [together.taken(events(*uuids), evaluated=True) for uuids in ("a", "b", "bc", "cca")]
    assert [one.uuid for one in await told[0]] == ["a"]  # type: ignore[union-attr]
    assert len(await told[3]) == 3
    assert not told[1].done()
    assert not told[2].done()
    way.go.set()
    assert [one.uuid for one in await told[2]] == ["b", "c"]  # type: ignore[union-attr]
    assert len(await told[1]) == 1
    assert len(way.calls) == 1


async def test_an_error_of_the_rest_is_not_told_to_whoever_has_heard() -> None:
    way = Way()
    way.quick = lambda uuid: uuid == "a"
    way.error = KeyError("a defect")
    together = Together(way)
    heard, not_heard = (together.taken(events(uuid), evaluated=True) for uuid in "ab")
    assert len(await heard) == 1
    with pytest.raises(KeyError):
        await not_heard


async def test_the_next_call_leaves_once_a_shard_has_answered_though_another_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(together_, "MOMENT_S", PATIENCE_S)
    monkeypatch.setattr(together_, "COMPANY_S", PATIENCE_S)
    way = Way()
    way.quick = lambda uuid: uuid == "a"
    way.go.clear()
    together = Together(way)
    for _ in range(3):
        hangs, answered = (together.taken(events(uuid), evaluated=True) for uuid in "ba")
        await answered
        assert not hangs.done()
    assert [uuids for uuids, _ in way.calls] == [["b", "a"]] * 3
    way.go.set()


async def test_what_is_refused_before_a_shard_was_asked_lets_no_call_leave(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else whoever sends nonsense has the events of all others go one by one."""
    monkeypatch.setattr(together_, "MOMENT_S", PATIENCE_S)
    way = Way()
    way.quick, way.by_shard = (lambda uuid: uuid == "nonsense"), False
    way.go.clear()
    together = Together(way)
    under_way, refused = (together.taken(events(uuid), evaluated=True) for uuid in ("a", "nonsense"))
    assert len(await refused) == 1
    others = [await begun(together, name) for name in "bc"]
    assert [uuids for uuids, _ in way.calls] == [["a", "nonsense"]]
    way.go.set()
    await asyncio.gather(under_way, *others)
    assert [uuids for uuids, _ in way.calls] == [["a", "nonsense"], ["b", "c"]]


async def test_a_call_has_so_many_events_at_most() -> None:
    way = Way()
    together = Together(way)
    many = 2 * ENOUGH + MOST + 1
    await asyncio.gather(*(together.taken(events(str(n)), evaluated=True) for n in range(many)))
    assert [len(uuids) for uuids, _ in way.calls] == [ENOUGH, ENOUGH, MOST, 1]


async def test_a_call_that_has_enough_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that each shard has the next one to commit while the one before it is answered; what comes beyond that
    gathers.
    """
    monkeypatch.setattr(together_, "MOMENT_S", PATIENCE_S)
    monkeypatch.setattr(together_, "COMPANY_S", PATIENCE_S)
    way = Way()
    way.go.clear()
    together = Together(way, 2)
    told = [together.taken(events(str(n)), evaluated=True) for n in range(4 * ENOUGH + 1)]
    await asyncio.sleep(0)
    assert [len(uuids) for uuids, _ in way.calls] == [ENOUGH] * 3
    way.go.set()
    await asyncio.gather(*told)
    assert [len(uuids) for uuids, _ in way.calls] == [ENOUGH] * 3 + [ENOUGH + 1]


async def test_only_who_has_nothing_stored_is_told_by_an_error() -> None:
    """A shard that is away is the business of those whose devices are there."""
    way = Way()
    way.failed = lambda of: {n: ShardDown("away") for n, event in enumerate(of) if event.uuid in ("b", "d")}
    together = Together(way)
    alone, other, mixed = (together.taken(events(*uuids), evaluated=True) for uuids in ("b", "a", "cd"))
    with pytest.raises(ShardDown):
        await alone
    assert len(await other) == 1
    assert len(await mixed) == 2


async def test_what_concerns_all_is_told_to_all() -> None:
    way = Way()
    way.error = StoreUnavailable("disk full")
    together = Together(way)
    both = [together.taken(events(uuid), evaluated=True) for uuid in "ab"]
    for one in both:
        with pytest.raises(StoreUnavailable):
            await one


async def test_who_does_not_wait_any_more_takes_nobody_along() -> None:
    way = Way()
    way.go.clear()
    together = Together(way)
    gone, stays = (asyncio.ensure_future(together.taken(events(uuid), evaluated=True)) for uuid in "ab")
    await asyncio.sleep(0)
    gone.cancel()
    way.go.set()
    assert len(await stays) == 1
    assert way.calls == [(["a", "b"], True)]
