"""A leader whose work does not begin."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import pytest

from arke.cluster.leadership import ASKED_EVERY_S, Leadership
from arke.errors import StoreUnavailable
from arke.virtual_time import VirtualTimeLoop, run_virtual

if TYPE_CHECKING:
    from arke.storage.ports.nodes import Nodes


class Table:
    """Whoever asks leads."""

    async def lead(self, name: str) -> int | None:
        return 1

    async def resign(self, name: str) -> None:
        return


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
