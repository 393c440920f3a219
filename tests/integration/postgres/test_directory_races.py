"""What several nodes do at once to the records of one directory."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from arke.domain.identity import Claims, Owner
from arke.domain.token import Token
from arke.errors import CatalogChanged, InvalidInput, StoreUnavailable
from arke.storage.ports.directory import StoredCatalog
from arke.storage.postgres.connection import Server
from arke.storage.postgres.database import CONNECTIONS
from arke.storage.postgres.directory import PostgresDirectory
from integration.postgres.nodes import nodes, take
from patience import PATIENCE_S, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from arke.storage.ports.directory import Directory

KEY = (1, "a")


async def test_the_audit_of_several_nodes_is_one_chain(dsn: str) -> None:
    async with nodes(dsn, 4) as four:

        async def adds(number: int) -> list[int]:
            return [(await four[number].audit.add(1, f"node-{number}", "x", "")).entries for _ in range(25)]

        numbers = await asyncio.gather(*map(adds, range(4)))
        assert sorted(number for some in numbers for number in some) == list(range(1, 101))
        assert all(some == sorted(some) for some in numbers)
        assert await four[0].audit.intact()
        assert (await four[1].audit.end()).entries == 100


async def test_an_audit_that_was_cut_or_changed_is_found_out(dsn: str) -> None:
    async with nodes(dsn, 1) as (node,):
        for number in range(3):
            await node.audit.add(number, "local", "x", "")
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("UPDATE audit SET body = body || '\\x00' WHERE number = 2")
            assert not await node.audit.intact()
            connection.execute("DELETE FROM audit WHERE number > 1")
        assert not await node.audit.intact()
        assert (await node.audit.end()).entries == 3


async def test_of_two_nodes_that_apply_a_catalog_one_is_told_that_the_other_was_first(dsn: str) -> None:
    async with nodes(dsn, 2) as two:
        stored = [StoredCatalog(1, 1, b"{}", {}, f"node {number}") for number in range(2)]
        answers = await asyncio.gather(
            *(node.catalogs.add(one) for node, one in zip(two, stored, strict=True)), return_exceptions=True
        )
        (winner,) = [number for number, answer in enumerate(answers) if answer is None]
        assert isinstance(answers[1 - winner], CatalogChanged)
        assert await two[0].catalogs.get() == stored[winner]


async def test_of_two_tokens_with_one_id_one_is_refused(dsn: str) -> None:
    async with nodes(dsn, 2) as two:
        tokens = [
            Token(id="t", name=f"{number}", scopes=("read",), secret_hash=b"%d" % number, created=1)
            for number in range(2)
        ]
        answers = await asyncio.gather(
            *(node.tokens.add(one) for node, one in zip(two, tokens, strict=True)), return_exceptions=True
        )
        assert sorted(type(answer).__name__ for answer in answers) == ["InvalidInput", "NoneType"]


async def test_a_token_that_two_nodes_revoke_was_revoked_once(dsn: str) -> None:
    async with nodes(dsn, 2) as (one, other):
        await one.tokens.add(Token(id="t", name="", scopes=("read",), secret_hash=b"1", created=1))
        revoked = await asyncio.gather(one.tokens.revoke("t", 5), other.tokens.revoke("t", 6))
        assert revoked[0].revoked == revoked[1].revoked


async def test_privacy_requests_of_several_nodes_have_numbers_of_their_own(dsn: str) -> None:
    async with nodes(dsn, 4) as four:

        async def opens(node: Directory) -> list[int]:
            return [number for _ in range(10) for number in await node.requests.open([b"a", b"b"], 1)]

        numbers = [number for some in await asyncio.gather(*map(opens, four)) for number in some]
        assert len(set(numbers)) == 80
        assert await four[0].requests.unfinished() == sorted(numbers)


async def test_who_is_suppressed_anew_while_he_is_lifted_stays_on_the_list(dsn: str) -> None:
    """Whoever comes second sees what the first has done: what a request wants is on the list."""
    async with nodes(dsn, 2) as (one, other):
        texts = [f"1:person-{number}" for number in range(50)]
        for turn in range(10):
            await one.suppression.suppress({1: texts}, turn)
            await asyncio.gather(
                one.suppression.lift_request(1, turn), other.suppression.suppress({2: reversed(texts)}, turn)
            )
            assert await one.suppression.hashes() == {one.hashes.digest(text) for text in texts}
            assert len((await other.suppression.lift_request(2, turn)).gone) == len(texts)


async def test_what_is_replaced_as_a_whole_is_never_a_mixture(dsn: str) -> None:
    async with nodes(dsn, 2) as (one, other):
        for _ in range(10):
            await asyncio.gather(
                one.runs.schedule_since({1: 1, 2: 1, 3: 1}),
                other.runs.schedule_since({3: 2, 4: 2}),
                one.runs.note_presence({1: "on", 2: "away"}),
                other.runs.note_presence({2: "on", 3: "on"}),
            )
            assert await one.runs.scheduled_since() in ({1: 1, 2: 1, 3: 1}, {3: 2, 4: 2})
            assert await other.runs.presence() in ({1: "on", 2: "away"}, {2: "on", 3: "on"})


async def test_a_file_that_two_nodes_begin_is_one_file(dsn: str) -> None:
    async with nodes(dsn, 2) as two:
        for number in range(10):
            found = await asyncio.gather(*(node.files.begin(f"{number}", b"1", 1) for node in two))
            assert found[0] == found[1]


async def test_calls_of_one_facet_are_done_in_their_order(dsn: str) -> None:
    """Also those whose caller waits no more."""
    async with nodes(dsn, 1) as (node,):
        (number,) = await node.requests.open([b"first"], 1)
        saves = [asyncio.ensure_future(node.requests.save({number: b"%d" % turn})) for turn in range(50)]
        await asyncio.sleep(0)
        saves[0].cancel()
        await asyncio.gather(*saves, return_exceptions=True)
        assert (await node.requests.get([number]))[number].body == b"49"


async def test_what_was_forgotten_is_erased_once_no_reader_can_see_it(dsn: str) -> None:
    async with nodes(dsn, 1) as (node,):
        await node.identities.link(Claims(1, {KEY: Owner("U", 1)}))
        with psycopg.connect(dsn) as reader:
            reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            reader.execute("SELECT count(*) FROM identity")
            await node.requests.finish({}, ["U"], [], 1)
            assert not await node.erase_remains()
            assert await node.remains()
        await eventually(
            node.erase_remains, "readers to be out of the way, of other tests on the same server"
        )
        assert not await node.remains()


@asynccontextmanager
async def waiting_vacuum(dsn: str, node: PostgresDirectory) -> AsyncIterator[asyncio.Task[None]]:
    """VACUUM under way, and longer so than `statement_timeout` of the DSN: somebody holds a lock."""
    await node.requests.finish({}, ["U"], [], 1)
    with psycopg.connect(dsn) as holder, psycopg.connect(dsn, autocommit=True) as looker:
        holder.execute("LOCK TABLE person IN SHARE UPDATE EXCLUSIVE MODE")
        erasing = asyncio.create_task(erased(node))

        def waits() -> bool:
            return erasing.done() or bool(
                looker.execute(
                    "SELECT FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid AND NOT l.granted "
                    "WHERE l.relation = 'person'::regclass AND clock_timestamp() - a.query_start > '1.5 s'"
                ).fetchall()
            )

        await eventually(waits, "VACUUM to have waited")
        assert not erasing.done(), erasing.exception()
        yield erasing


async def erased(node: PostgresDirectory) -> None:
    """Readers may be in the way, of other tests on the same server."""
    await eventually(node.erase_remains, "what was forgotten to be erased")


async def test_a_vacuum_takes_as_long_as_it_takes(dsn: str) -> None:
    """No other call of the directory waits for it."""
    async with nodes(hurried(dsn), 1) as (node,):
        async with waiting_vacuum(dsn, node) as erasing:
            await asyncio.gather(*(node.try_writing() for _ in range(CONNECTIONS)))
            assert not erasing.done()
        await erasing
        assert not await node.remains()


async def test_a_directory_is_closed_in_the_middle_of_a_vacuum(dsn: str) -> None:
    async with nodes(hurried(dsn), 1) as (node,), waiting_vacuum(dsn, node) as erasing:
        await asyncio.wait_for(asyncio.to_thread(asyncio.run, node.close()), PATIENCE_S)
        with pytest.raises(StoreUnavailable):
            await erasing


def hurried(dsn: str) -> str:
    options = conninfo_to_dict(dsn).get("options", "")
    return make_conninfo(dsn, options=f"{options} -c statement_timeout=1s".lstrip())


async def test_a_connection_that_was_cut_is_opened_again(dsn: str) -> None:
    """Between two calls nobody notices; a call that it is cut under is told so, and the next one goes on."""
    name = f"arke-{os.getpid()}"
    async with nodes(make_conninfo(dsn, application_name=name), 1) as (node,):
        with psycopg.connect(dsn) as holder, psycopg.connect(dsn, autocommit=True) as connection:

            def cut(state: str) -> bool:
                found = connection.execute(
                    "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
                    "WHERE application_name = %s AND state = %s",
                    (name, state),
                )
                return found.fetchone() is not None

            await node.try_writing()
            assert cut("idle")
            await node.try_writing()
            holder.execute("LOCK TABLE meta")
            writing = asyncio.ensure_future(node.try_writing())
            await eventually(lambda: cut("active"), "the write to wait for the lock")
            with pytest.raises(StoreUnavailable):
                await writing
            holder.rollback()
            await node.try_writing()


async def test_a_commit_that_stopped_waiting_for_its_standby_is_none(dsn: str) -> None:
    """The server says so by a warning; what else it warns of may not be what was asked for either."""
    async with nodes(dsn, 1) as (node,):
        warning = "DO $$ BEGIN RAISE WARNING 'canceling wait for synchronous replication'; END $$"
        with pytest.raises(StoreUnavailable, match="its standby does not answer"):
            await node._database.rows(warning)
        await node.try_writing()


async def test_a_server_that_takes_no_writes_any_more_is_let_go_of(dsn: str) -> None:
    """By then another one is the primary, and the next connection finds it."""
    async with nodes(dsn, 1) as (node,):
        await node._database.rows("SET default_transaction_read_only = on")
        with pytest.raises(StoreUnavailable, match="read-only"):
            await node.try_writing()
        await node.try_writing()


async def test_behind_a_pooler_nothing_is_prepared_and_all_works(dsn: str) -> None:
    async with nodes(dsn, 1):
        node = PostgresDirectory(Server(dsn, prepared_statements="off"), connections=1)
        try:
            for turn in range(10):
                await take(node, [KEY], f"device-{turn}")
            assert (await node.identities.look_up([KEY])).owners[KEY].uuid == "device-9"
            assert await node._database.rows("SELECT count(*) FROM pg_prepared_statements") == [(0,)]
        finally:
            await node.close()


async def test_a_cluster_that_was_never_made_says_what_to_do(dsn: str) -> None:
    with pytest.raises(StoreUnavailable, match="run `arke cluster init`"):
        PostgresDirectory(Server(dsn))


async def test_the_number_of_shards_is_that_of_the_cluster(dsn: str) -> None:
    async with nodes(dsn, 1) as (node,):
        assert await node.shards(None) == 4
        with pytest.raises(InvalidInput, match="this cluster has 4 shards, not 5"):
            await node.shards(5)
