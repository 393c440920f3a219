"""What must hold of stores that outlive their process, and of SQLite's files."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import apsw
import pytest

from arke.errors import Fenced, StoreTooNew, StoreUnavailable
from arke.storage.ports.shard import GroupWrites
from conformance.shard.stores import DURABLE, IN_POSTGRES, held, in_a_file, load, put, record, uuid
from held_up import held_up

if TYPE_CHECKING:
    from pathlib import Path

    from conformance.shard.stores import Open


@pytest.mark.parametrize("opened", DURABLE)
async def test_it_is_all_there_after_reopening(opened: Open, tmp_path: Path) -> None:
    store = await opened(tmp_path)
    uids = await put(store, held(1))
    await store.commit(GroupWrites(journal=[record(1)], cursors={1: 1}))
    await store.tidy()
    assert await store.expunge()
    await store.close()
    again = await opened(tmp_path)
    assert await load(again, 1) == {uuid(1): (uids[uuid(1)], held(1))}
    found = (await again.last_seq(), await again.cursors(), await again.count_profiles())
    assert found == (1, {1: 1}, 1)
    await again.close()


@pytest.mark.parametrize("opened", IN_POSTGRES)
async def test_a_second_owner_fences_the_first(opened: Open, tmp_path: Path) -> None:
    """Two writers would give out the same journal positions. See `tests/integration/postgres/test_fencing.py`."""
    first, second = await opened(tmp_path), await opened(tmp_path)
    with pytest.raises(Fenced):
        await first.commit(GroupWrites(journal=[record(1)]))
    await second.commit(GroupWrites(journal=[record(1)]))
    await first.close()
    await second.close()


class TestFiles:
    async def test_a_second_writer_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Two writers would give out the same journal positions; the second gets in once the first is gone."""
        monkeypatch.setattr("arke.storage.sqlite.connection.LOCK_TIMEOUT_S", 0.05)
        first = await in_a_file(tmp_path)
        with pytest.raises(StoreUnavailable, match="another process has this store open"):
            await in_a_file(tmp_path)
        await first.close()
        await (await in_a_file(tmp_path)).close()

    async def test_reads_cannot_write(self, tmp_path: Path) -> None:
        store: Any = await in_a_file(tmp_path)
        with pytest.raises(apsw.ReadOnlyError):
            store._reading.execute("DELETE FROM meta")
        await store.close()

    @pytest.mark.parametrize("cancelled", [False, True])
    async def test_a_group_reads_between_two_commits(self, tmp_path: Path, cancelled: bool) -> None:
        """Also where nobody waits for the first any more: its thread still has the connection that writes. What it
        stores is loaded, and counted.
        """
        store: Any = await in_a_file(tmp_path)
        uids = await put(store, held(1))
        await load(store, 2)
        with held_up(store) as commit:
            writes = GroupWrites(
                profiles={uids[uuid(1)]: held(1, seen=8), store.hashes.uid(uuid(2)): held(2)}
            )
            committing = asyncio.create_task(store.commit(writes))
            await commit.waits()
            if cancelled:
                committing.cancel()
            loading = asyncio.create_task(load(store, 1, 2))
            asking = asyncio.create_task(store.rows([*uids.values()]))
            done, _ = await asyncio.wait((loading, asking), timeout=0.05)
            assert not done
            assert await store.count_profiles() == 1
        assert {key: profile.seen for key, (_, profile) in (await loading).items()} == {
            uuid(1): 8,
            uuid(2): 7,
        }
        assert await asking
        assert await store.count_profiles() == 2
        assert committing.cancelled() == cancelled
        await store.close()

    async def test_closing_waits_for_a_commit_that_nobody_waits_for(self, tmp_path: Path) -> None:
        store: Any = await in_a_file(tmp_path)
        with held_up(store) as commit:
            committing = asyncio.create_task(store.commit(GroupWrites(journal=[record(1)])))
            await commit.waits()
            committing.cancel()
            threading.Timer(0.05, commit.let_go).start()
            await store.close()
        again = await in_a_file(tmp_path)
        assert await again.last_seq() == 1
        await again.close()

    async def test_they_are_the_owners_alone(self, tmp_path: Path) -> None:
        store = await in_a_file(tmp_path)
        await put(store, held(1))
        assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}
        await store.close()

    async def test_a_newer_schema_is_refused_and_left_alone(self, tmp_path: Path) -> None:
        await (await in_a_file(tmp_path)).close()
        (file,) = tmp_path.glob("*.db")
        connection = apsw.Connection(str(file))
        connection.execute("PRAGMA user_version=999")
        connection.close()
        with pytest.raises(StoreTooNew, match=r"schema 999.*upgrade Arke"):
            await in_a_file(tmp_path)
        connection = apsw.Connection(str(file))
        assert next(connection.execute("PRAGMA user_version")) == (999,)
        connection.close()

    async def test_one_that_is_no_store_is_unavailable(self, tmp_path: Path) -> None:
        (tmp_path / "shard-00.db").write_bytes(
            b"this is not a database, and long enough to be looked at" * 99
        )
        with pytest.raises(StoreUnavailable, match="NotADB"):
            await in_a_file(tmp_path)
