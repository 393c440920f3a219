"""A shard whose process hangs answers nothing, and does not end either."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from arke.engine.shards import SHARE_EVERY_S, Shards
from arke.errors import ShardDown
from arke.shard.protocol import AskStatus, ShareAcknowledgements
from arke.virtual_time import VirtualTimeLoop, run_virtual

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


def test_who_shares_what_was_acknowledged_does_not_wait_for_it() -> None:
    """A shard hears of another one's within a pause or two, whichever hangs."""

    class Sharing(Port):
        def __init__(self, *, hangs: bool = False) -> None:
            super().__init__(hangs=hangs)
            self.acknowledged: dict[int, float] = {}
            self.heard: dict[int, float] = {}

        async def call(self, question: Any) -> Any:
            await super().call(question)
            assert isinstance(question, ShareAcknowledgements)
            self.heard = question.elsewhere
            return self.acknowledged

        async def stop(self) -> None:
            pass

    async def main() -> None:
        ports = [Sharing(), Sharing(hangs=True), Sharing()]
        shards = Shards(cast("list[ShardPort]", ports), cast("Suppressed", None))
        shards.watch()
        for at in (100.0, 200.0):
            ports[2].acknowledged = {7: at}
            await asyncio.sleep(2.5 * SHARE_EVERY_S)
            assert ports[0].heard == {7: at}
        ports[1].hangs = False
        await shards.stop()

    loop = VirtualTimeLoop()
    run_virtual(main(), loop)
