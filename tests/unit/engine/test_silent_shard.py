"""A shard whose process hangs answers nothing, and does not end either."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from arke.engine.shards import Shards
from arke.errors import ShardDown
from arke.shard.protocol import AskStatus

if TYPE_CHECKING:
    from arke.engine.identity.admission import Suppressed
    from arke.shard.protocol import ShardPort


class Port:
    def __init__(self, *, hangs: bool) -> None:
        self.hangs = hangs

    async def call(self, question: Any) -> Any:
        if self.hangs:
            await asyncio.Event().wait()
        return type(question)


def test_who_asks_how_all_are_hears_of_the_others() -> None:
    ports = [Port(hangs=False), Port(hangs=True), Port(hangs=False)]
    shards = Shards(cast("list[ShardPort]", ports), cast("Suppressed", None))
    answers: list[Any] = list(asyncio.run(shards.ask_each(AskStatus(), within_s=0.01)))
    first, silent, last = answers
    assert first is last is AskStatus
    assert isinstance(silent, ShardDown)
    assert str(silent) == "shard 1 has not answered for 0.01 s"
