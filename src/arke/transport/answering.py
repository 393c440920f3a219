"""The other end of a call: a shard is asked, and what it says becomes a frame, an error too."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from arke.errors import ArkeError, ShardFailed, ShardMoved
from arke.log import get_logger
from arke.shard.protocol import Prepare, Refusal, Switch
from arke.transport.frames import answer_frame, refusal_frame

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from arke.shard.protocol import Question
    from arke.transport.frames import Call

A = TypeVar("A")


class Answering(Protocol):
    """Who answers questions: see `ShardPort.call`."""

    async def call(self, question: Question[A]) -> A: ...


async def answered_by(shard: Answering, call: Call) -> bytes:
    """The frame that answers a call."""
    answer = await answer_or_refusal(shard, call.question)
    if isinstance(answer, Refusal):
        return refusal_frame(call.number, answer)
    return answer_frame(call.number, answer)


async def answer_or_refusal(shard: Answering, question: Question[Any]) -> Any:
    """What a shard answers, or a Refusal."""
    try:
        return await shard.call(question)
    except Exception as error:  # noqa: BLE001 - whoever asked must hear of it
        return refused(question, error)


def refused(question: Question[Any], error: BaseException) -> Refusal:
    """What whoever asked hears of an error."""
    if isinstance(error, ArkeError):
        return Refusal.of(error)
    get_logger("worker").error("call_failed", call=type(question).__name__, error=type(error).__name__)
    # What a catalog meets is for whoever applies it to read; any other message may hold personal data.
    more = f": {error}" if isinstance(question, Prepare | Switch) else ""
    return Refusal.of(ShardFailed(f"{type(error).__name__}{more}"))


async def answers_of(
    shards: Mapping[int, Answering], asked: Sequence[int], question: Question[Any]
) -> list[tuple[int, Any, Refusal | None]]:
    """What each of these answers or refuses. Those that are not here have moved."""

    async def one(number: int) -> tuple[int, Any, Refusal | None]:
        shard = shards.get(number)
        if shard is None:
            return number, None, Refusal.of(ShardMoved(f"shard {number} is not owned here"))
        answer = await answer_or_refusal(shard, question)
        return (number, None, answer) if isinstance(answer, Refusal) else (number, answer, None)

    return await asyncio.gather(*map(one, asked))
