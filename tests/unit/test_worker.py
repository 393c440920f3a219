"""What a shard's process answers when a question fails."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import pytest

from arke.errors import ArkeError, InvalidInput, Overloaded, ShardFailed, StoreUnavailable
from arke.shard.protocol import AskStatus, Prepare
from arke.transport.answering import answered_by
from arke.transport.frames import Call, decode_answer

if TYPE_CHECKING:
    from arke.shard.shard import Shard

HEAD_BYTES = 4


class Failing:
    """A shard that raises one error, whatever it is asked."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def call(self, question: object) -> object:
        raise self._error


def raised(error: Exception, question: AskStatus | Prepare) -> ArkeError:
    """What arrives in the engine."""
    shard = cast("Shard", Failing(error))
    frame = asyncio.run(answered_by(shard, Call(7, question)))
    answer = decode_answer(frame[HEAD_BYTES:])
    assert (answer.number, answer.refusal is not None) == (7, True)
    assert answer.refusal is not None
    return answer.refusal.error()


@pytest.mark.parametrize(
    "error",
    [
        InvalidInput("version 9 was not prepared"),
        StoreUnavailable("disk full"),
        Overloaded("full", retry_after_s=9),
    ],
)
def test_an_error_arrives_as_it_was_raised(error: ArkeError) -> None:
    found = raised(error, AskStatus())
    assert (type(found), str(found), found.details()) == (type(error), str(error), error.details())


def test_an_error_that_nobody_foresaw_is_no_shard_that_went_away() -> None:
    """Who hears that a shard is being restarted waits for it, and it never comes. No word of the message, which
    may hold what somebody sent.
    """
    found = raised(KeyError("20914:38400000-8cf0-11bd"), AskStatus())
    assert (type(found), str(found)) == (ShardFailed, "KeyError")


def test_what_a_catalog_meets_is_told_to_whoever_applies_it() -> None:
    found = raised(ValueError("no such rule"), Prepare(1, b"{}", {}, {}))
    assert (type(found), str(found)) == (ShardFailed, "ValueError: no such rule")
