"""What the reader of the log in PostgreSQL does while its server does not answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from arke.domain.event import Event
from arke.errors import StoreUnavailable
from arke.shard.commands import Sight
from arke.transport.message import encode_sight, packed
from arke.transport.postgres.reader import PostgresReader
from arke.virtual_time import VirtualTimeLoop, run_virtual

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.storage.postgres.connection import Session
    from arke.transport.ports import RefusedMessages, Unreadable

SHARD = 3
SIGHT = Sight(Event(uuid="1" * 38, at=1, ts=1, event_id="late"))


class Server:
    """Answers each question with the next of these; from then on nothing comes."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    async def run(self, work: object) -> Any:
        answer = self.answers.pop(0) if self.answers else []
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def close(self) -> None:
        return


class Refused:
    """Nothing is refused here."""

    async def refuse(self, unreadable: Sequence[Unreadable]) -> None:
        raise AssertionError


def test_a_server_that_is_back_and_has_nothing_new_is_read_on() -> None:
    """What comes later is brought, for as long as shards are read, and soon."""
    away, message = StoreUnavailable("away"), [(SHARD, 1, 1, packed([encode_sight(SIGHT)]))]

    async def play() -> None:
        server = Server(away, [], away, [], [], message)
        reader = PostgresReader(cast("Session", server), cast("RefusedMessages", Refused()))
        stream = reader.open(SHARD, 0)
        (found,) = await stream.read()
        assert found.sights == (SIGHT,)
        await reader.stop()

    run_virtual(play(), VirtualTimeLoop())
