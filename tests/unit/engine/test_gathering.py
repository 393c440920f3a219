"""Look-ups that go together: whoever asks while a question waits is answered by it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from arke.domain.identity import Owner
from arke.engine.identity.gathering import MOST_ASKED, WINDOW_S, Gathering
from arke.errors import StoreUnavailable
from arke.storage.ports.identities import Known
from arke.virtual_time import VirtualTimeLoop, run_virtual

if TYPE_CHECKING:
    from collections.abc import Collection

    from arke.domain.identity import IdKey


class Directory:
    """Answers that each id is its own name's, a millisecond later; keeps what it was asked, and when."""

    def __init__(self) -> None:
        self.asked: list[tuple[float, set[IdKey]]] = []
        self.down = False

    async def look_up(self, ids: Collection[IdKey], *others: Any) -> Known:
        self.asked.append((asyncio.get_running_loop().time(), set(ids)))
        await asyncio.sleep(0.001)
        if self.down:
            raise StoreUnavailable("no route")
        return Known({key: Owner(key[1], 1) for key in ids}, {}, {}, {}, set(), set(), 0)


def gathered() -> tuple[Directory, Any]:
    directory: Any = Directory()
    return directory, Gathering(directory)


def test_callers_of_one_window_share_a_question_and_later_ones_ask_anew() -> None:
    directory, gathering = gathered()

    async def caller(name: str, after_s: float) -> None:
        await asyncio.sleep(after_s)
        known = await gathering.look_up([(1, name)])
        assert known.owners[1, name].uuid == name

    async def main() -> None:
        await asyncio.gather(caller("a", 0), caller("b", WINDOW_S / 2), caller("c", 2 * WINDOW_S))

    run_virtual(main(), VirtualTimeLoop())
    assert [ids for _, ids in directory.asked] == [{(1, "a"), (1, "b")}, {(1, "c")}]


def test_a_full_question_does_not_wait() -> None:
    directory, gathering = gathered()

    async def main() -> None:
        await asyncio.gather(
            gathering.look_up([(1, str(number)) for number in range(MOST_ASKED)]),
            gathering.look_up([(1, "next")]),
        )

    run_virtual(main(), VirtualTimeLoop())
    assert [(at < WINDOW_S, len(ids)) for at, ids in directory.asked] == [(True, MOST_ASKED), (False, 1)]


def test_who_goes_away_does_not_take_the_answer_along_and_a_failure_is_told_to_all() -> None:
    directory, gathering = gathered()

    async def main() -> None:
        first, second = (asyncio.create_task(gathering.look_up([(1, name)])) for name in "ab")
        await asyncio.sleep(0)
        first.cancel()
        assert (await second).owners.keys() == {(1, "a"), (1, "b")}
        directory.down = True
        for outcome in await asyncio.gather(
            *(gathering.look_up([(1, name)]) for name in "cd"), return_exceptions=True
        ):
            assert isinstance(outcome, StoreUnavailable)
        directory.down = False
        assert (await gathering.look_up([(1, "e")])).owners

    run_virtual(main(), VirtualTimeLoop())
    with pytest.raises(IndexError):
        directory.asked[3]
