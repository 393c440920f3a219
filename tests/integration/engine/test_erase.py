"""Withdraw, Scrub and Erase on a real shard."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from arke.shard.commands import Command, Erase, Erased, Result, Scrub, Scrubbed, Withdraw
from arke.shard.protocol import AskProfile, AskStanding, Standing
from arke.storage.keyed_hash import KeyedHash
from e2e.catalogs import DPID, device
from integration.engine.shards import NotingPoster, open_store, running_shard, sight
from patience import eventually

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from arke.shard.shard import Shard

NOW = 2_000_000_000


async def ask(shard: Shard, *commands: Command) -> list[Result]:
    return await shard.append(commands)


async def standing(shard: Shard, number: int) -> Standing:
    return await shard.call(AskStanding(device(number)))


async def known(shard: Shard, number: int) -> bool:
    return (await shard.call(AskProfile(device(number)))).profile is not None


def test_a_withdrawn_device_is_told_zeros_only_and_then_forgotten(tmp_path: Path) -> None:
    """Also when it is withdrawn again and again; its journal records are emptied, others' are not."""

    async def main() -> None:
        poster = NotingPoster()
        async with running_shard(open_store(tmp_path), poster) as shard:
            await ask(shard, sight(1), sight(2))
            await eventually(
                lambda: sum(one.body.count(b"DataPartner") for one in poster.posted) == 2, "both"
            )
            withdraw = Withdraw(device(1), NOW, "privacy")
            await ask(shard, withdraw, sight(1, "lens"), withdraw)
            await eventually(lambda: poster.posted[-1].kind == "privacy", "the zeros")
            assert b'"Status":"1"' not in poster.posted[-1].body
            while (await standing(shard, 1)).busy:
                await asyncio.sleep(0.01)
            told = [row.entry.told for row in (await standing(shard, 1)).ledger]
            assert [set(row.values()) for row in told] == [{0}]
            uid = await shard.store.find_uid(device(1))
            before = await shard.store.journal(0, 100)
            assert await ask(shard, Scrub((device(1),), 0, 100)) == [Scrubbed(None)]
            assert await ask(shard, Erase(device(1))) == [Erased(())]
            after = await shard.store.journal(0, 100)
            assert [entry.seq for entry in after] == [entry.seq for entry in before]
            assert uid not in {entry.uid for entry in after}
            assert [entry for entry in after if entry.kind != "erased"] == [
                entry for entry in before if entry.uid != uid
            ]
            assert (await known(shard, 1), await known(shard, 2)) == (False, True)
            assert await standing(shard, 1) == Standing()
            assert await shard.store.count_profiles() == 1

    asyncio.run(main())


def test_a_device_is_not_erased_while_a_message_about_it_is_under_way(tmp_path: Path) -> None:
    """Its outcome would bring the ledger row back."""

    async def main() -> None:
        poster = NotingPoster()
        poster.gate.clear()
        async with running_shard(open_store(tmp_path), poster) as shard:
            await ask(shard, sight(1))
            await eventually(lambda: poster.posted, "a message under way")
            erasing = asyncio.create_task(ask(shard, Erase(device(1))))
            await asyncio.sleep(0)
            assert not erasing.done()
            poster.gate.set()
            await erasing
            assert await standing(shard, 1) == Standing()

    asyncio.run(main())


def test_what_is_owed_goes_with_the_device(tmp_path: Path) -> None:
    """And the lane knows that it owes it no more."""

    async def main() -> None:
        poster = NotingPoster(500)
        async with running_shard(open_store(tmp_path), poster) as shard:
            await ask(shard, sight(1), sight(2))
            await eventually(lambda: shard.lanes[1].behind.owed_count == 2, "both owed")
            assert await ask(shard, Erase(device(1))) == [Erased((1,))]
            assert shard.lanes[1].behind.owed_count == 1
            assert await shard.store.owed_counts() == {1: 1}

    asyncio.run(main())


def test_only_some_ids_may_leave(tmp_path: Path) -> None:
    """The device stays with its other ids; the one that goes gets its zeros and leaves no row."""

    async def main() -> None:
        poster = NotingPoster()
        async with running_shard(open_store(tmp_path), poster) as shard:
            await ask(shard, sight(1, partner="a"))
            await ask(shard, sight(1, partner="b"))
            await eventually(lambda: b'"b"' in b"".join(one.body for one in poster.posted), "b told")
            keys = ((DPID, "a"),)
            await ask(shard, Withdraw(device(1), NOW, "opt_out", keys))
            await eventually(
                lambda: poster.posted[-1].kind == "privacy" and b'"a"' in poster.posted[-1].body,
                "a's zeros",
            )
            users = {user["DataPartner_UUID"]: user for user in json.loads(poster.posted[-1].body)["Users"]}
            assert {state["Status"] for state in users["a"]["Segments"]} == {"0"}
            await ask(shard, Erase(device(1), ids=keys))
            left = await standing(shard, 1)
            assert left.ids == [(DPID, "b")]
            assert {row.id for row in left.ledger} == {"b"}

    asyncio.run(main())


def test_a_device_behind_an_erased_one_is_still_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two UUIDs with one hash: the second lies at the next place, also when the first has gone."""
    monkeypatch.setattr(KeyedHash, "uid", lambda *_: 7)

    async def main() -> None:
        async with running_shard(open_store(tmp_path), NotingPoster()) as shard:
            await ask(shard, sight(1), sight(2))
            await ask(shard, Erase(device(1)))
            assert (await known(shard, 1), await known(shard, 2)) == (False, True)
            await ask(shard, sight(3))
            assert await known(shard, 3)

    asyncio.run(main())


def test_a_message_under_way_counts_before_the_ledger_knows_of_it(tmp_path: Path) -> None:
    """Its destination is busy with the device until the outcome is written down."""

    async def main() -> None:
        poster = NotingPoster()
        poster.gate.clear()
        async with running_shard(open_store(tmp_path), poster) as shard:
            await ask(shard, sight(1))
            await eventually(lambda: poster.posted, "a message under way")
            assert (await standing(shard, 1)).ledger == []
            assert (await standing(shard, 1)).busy == [1]
            poster.gate.set()
            while (await standing(shard, 1)).busy:
                await asyncio.sleep(0.01)
            assert {row.id for row in (await standing(shard, 1)).ledger} == {"p1"}

    asyncio.run(main())
