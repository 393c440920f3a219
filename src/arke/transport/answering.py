"""The other end of a call: a shard is asked, and what it says becomes a frame, an error too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from arke.errors import ArkeError, ShardFailed
from arke.log import get_logger
from arke.shard.protocol import Prepare, Refusal, Switch
from arke.transport.frames import answer_frame, refusal_frame

if TYPE_CHECKING:
    from arke.shard.protocol import Question
    from arke.transport.frames import Call

A = TypeVar("A")


class Answering(Protocol):
    """Who answers questions: see `ShardPort.call`."""

    async def call(self, question: Question[A]) -> A: ...


async def answered_by(shard: Answering, call: Call) -> bytes:
    """The frame that answers a call."""
    try:
        question: Question[Any] = call.question
        return answer_frame(call.number, await shard.call(question))
    except ArkeError as error:
        return refusal_frame(call.number, Refusal.of(error))
    except Exception as error:  # noqa: BLE001 - whoever asked must hear of it
        get_logger("worker").error(
            "call_failed", call=type(call.question).__name__, error=type(error).__name__
        )
        # What a catalog meets is for whoever applies it to read; any other message may hold personal data.
        more = f": {error}" if isinstance(call.question, Prepare | Switch) else ""
        return refusal_frame(call.number, Refusal.of(ShardFailed(f"{type(error).__name__}{more}")))
