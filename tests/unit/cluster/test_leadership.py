"""A leader whose work does not begin."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import pytest

from arke.cluster.leadership import ASKED_EVERY_S, STANDS_BACK_S, TRIES, Leadership
from arke.errors import StoreUnavailable
from arke.virtual_time import VirtualTimeLoop, run_virtual

if TYPE_CHECKING:
    from arke.storage.ports.nodes import Nodes


class Table:
    """Whoever asks first leads, until he resigns."""

    def __init__(self) -> None:
        self.leader = ""

    async def lead(self, name: str) -> int | None:
        self.leader = self.leader or name
        return 1 if self.leader == name else None

    async def resign(self, name: str) -> None:
        if self.leader == name:
            self.leader = ""


class Work:
    """Raises as often as there are errors, half begun."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.told: list[str] = []

    async def begin(self) -> None:
        self.told.append("begin")
        if self.errors:
            raise self.errors.pop(0)

    async def end(self) -> None:
        self.told.append("end")


@pytest.mark.parametrize("error", [StoreUnavailable("away"), OSError("no such folder"), KeyError("somebody")])
def test_what_does_not_begin_is_ended_and_begun_again(error: Exception) -> None:
    """Whatever it was: as long as this node asks to lead, no other one does."""

    async def play() -> None:
        work = Work(error, error)
        leadership = Leadership(cast("Nodes", Table()), "a", work)
        leadership.start()
        await asyncio.sleep(4 * ASKED_EVERY_S)
        assert leadership.leads
        await leadership.stop()
        assert work.told == ["begin", "end", "begin", "end", "begin", "end"]

    run_virtual(play(), VirtualTimeLoop())


def test_who_cannot_begin_lets_another_one_try() -> None:
    """And goes on asking, in case the other one goes."""

    async def play() -> None:
        table = cast("Nodes", Table())
        broken, sound = Work(*[OSError("no such folder") for _ in range(1000)]), Work()
        first, second = Leadership(table, "a", broken), Leadership(table, "b", sound)
        first.start()
        await asyncio.sleep(ASKED_EVERY_S / 2)
        second.start()
        await asyncio.sleep((TRIES + 1) * ASKED_EVERY_S)
        assert second.leads
        assert broken.told == ["begin", "end"] * TRIES
        await second.stop()
        await asyncio.sleep(STANDS_BACK_S + 2 * ASKED_EVERY_S)
        assert len(broken.told) > 2 * TRIES
        await first.stop()

    run_virtual(play(), VirtualTimeLoop())
