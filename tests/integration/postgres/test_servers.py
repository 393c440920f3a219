"""Servers that cannot be used say why; those that can are reached with what the DSN and the settings say."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import psycopg
import pytest

from arke.errors import StoreUnavailable
from arke.storage.postgres import schema
from arke.storage.postgres.connection import GivenUp, Server, Session, one_round_trip
from arke.storage.postgres.database import Database, transaction
from patience import eventually
from servers.postgres import KINDS, server_of_its_own
from servers.process import free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from arke.storage.postgres.connection import Connection


def refused(server: Server) -> str:
    """What is said where a shard's store is to be opened."""
    with pytest.raises(StoreUnavailable) as raised, server.connect() as connection:
        schema.check(connection, server.name)
    return str(raised.value)


def test_where_nobody_listens() -> None:
    server = Server(f"postgresql://me:hunter2@127.0.0.1:{free_port()}/arke")
    said = refused(server)
    assert "PostgreSQL 127.0.0.1/arke" in said
    assert "refused" in said
    assert "hunter2" not in said + repr(server)


def test_a_dsn_that_is_none_is_not_repeated() -> None:
    said = refused(Server("hunter2 at the server"))
    assert "the DSN of PostgreSQL is none" in said
    assert "hunter2" not in said


def test_one_that_is_too_old(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arke.storage.postgres.connection.OLDEST_SERVER", 99)
    assert "is too old: 99 or newer is needed" in refused(Server(dsn))


def test_a_standby(kind: str) -> None:
    with server_of_its_own(kind) as primary:
        primary.stop()
        standby = primary.clone()
        (standby.data / "standby.signal").touch()
        standby.start()
        try:
            assert "is a standby and takes no writes: name the primary" in refused(Server(standby.dsn()))
        finally:
            standby.close()


def test_a_role_without_rights(kind: str) -> None:
    with server_of_its_own(kind) as server:
        server.execute("CREATE ROLE guest LOGIN")
        server.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        guest = Server(server.dsn(user="guest"))
        with (
            pytest.raises(StoreUnavailable, match="needs a schema of its own"),
            guest.connect() as connection,
        ):
            schema.initialise(connection, 2, "test")


def test_tls_is_checked_by_name() -> None:
    if "15" not in KINDS:
        pytest.skip("the server that was given is as it is")
    with server_of_its_own("15") as server:

        def trusting(file: str) -> Server:
            return Server(server.dsn(host="localhost", sslmode="verify-full", sslrootcert=file))

        with trusting(str(server.certificate)).connect() as connection:
            assert connection.info.pgconn.ssl_in_use
        with pytest.raises(StoreUnavailable, match="certificate"):
            trusting(__file__).connect()


def test_a_password_is_read_at_each_connect(kind: str, tmp_path: Path) -> None:
    """From a file, or from what a command prints: those of cloud services last minutes."""
    with server_of_its_own(kind) as server:
        rules = server.data / "pg_hba.conf"
        rules.write_text("host all secretive 127.0.0.1/32 scram-sha-256\n" + rules.read_text())
        server.execute("CREATE ROLE secretive LOGIN PASSWORD 'first'")
        server.execute("SELECT pg_reload_conf()")
        file = tmp_path / "password"
        reading = f"print(open({str(file)!r}).read())"
        dsn = server.dsn(user="secretive")
        servers = [
            Server(dsn, password_file=str(file)),
            Server(dsn, password_command=(sys.executable, "-c", reading)),
        ]
        for word in ("first", "second"):
            server.execute(f"ALTER ROLE secretive PASSWORD '{word}'")
            file.write_text("wrong\n")
            for one in servers:
                with pytest.raises(StoreUnavailable, match="password"):
                    one.connect()
            file.write_text(f"{word}\n")
            for one in servers:
                one.connect().close()


def test_a_password_that_is_not_to_be_had(tmp_path: Path) -> None:
    dsn = f"postgresql://me@127.0.0.1:{free_port()}/arke"
    assert "No such file" in refused(Server(dsn, password_file=str(tmp_path / "none")))
    assert "it ended with 1" in refused(Server(dsn, password_command=("false",)))
    assert "No such file" in refused(Server(dsn, password_command=(str(tmp_path / "none"),)))
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    assert "not text in UTF-8" in refused(Server(dsn, password_file=str(tmp_path / "binary")))
    assert "not text in UTF-8" in refused(Server(dsn, password_command=("cat", str(tmp_path / "binary"))))


async def test_a_session_finds_its_server_again(kind: str) -> None:
    def number(connection: Connection) -> int:
        row = connection.execute("SELECT 7").fetchone()
        assert row is not None
        return int(row[0])

    with server_of_its_own(kind) as server:
        session = Session(Server(server.dsn()), "test")
        assert await session.run(number) == 7
        server.kill()
        with pytest.raises(StoreUnavailable):
            await session.run(number)
        server.start()
        assert await session.run(number) == 7
        await session.close()


async def test_a_server_that_hangs_is_given_up(kind: str) -> None:
    """Its machine confirms what arrives, as one whose disk hangs does; it may be replaced by another meanwhile."""
    with server_of_its_own(kind) as server:
        bounded = Server(server.dsn(), answers_within_s=0.2)
        session, database = Session(bounded, "test"), Database(bounded, 1)

        def pid(connection: Connection) -> int:
            return connection.info.backend_pid

        def hung(connection: Connection) -> None:
            with one_round_trip(connection):
                connection.execute("SELECT 1")

        stopped = await session.run(pid), await database.run(pid)
        for number in stopped:
            os.kill(number, signal.SIGSTOP)
        try:
            with pytest.raises(StoreUnavailable, match=r"has not answered for 0\.2 s"):
                await session.run(hung)
            assert session.lost
            with pytest.raises(StoreUnavailable, match=r"has not answered for 0\.2 s"):
                await database.rows("SELECT 1")
            again = await session.run(pid), await database.run(pid)
            assert not {*again} & {*stopped}
        finally:
            for number in stopped:
                os.kill(number, signal.SIGCONT)
            database.close()
            await session.close()


async def test_statements_that_go_out_together_may_take_longer_than_one(kind: str) -> None:
    """The server answers them at the end, all at once."""
    with (
        server_of_its_own(kind) as server,
        Server(server.dsn(), answers_within_s=2.0).connect() as connection,
    ):
        with transaction(connection):
            for _ in range(8):
                connection.execute("SELECT pg_sleep(0.4)")
        assert connection.execute("SELECT 7").fetchone() == (7,)


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("in_session", [False, True])
async def test_what_was_given_up_changes_nothing_after_what_came_later(
    kind: str, *, in_session: bool, together: bool
) -> None:
    """A backend that was stopped goes on, and has a statement that nobody waits for any more."""
    with server_of_its_own(kind) as server:
        session, database = Session(Server(server.dsn()), "test"), Database(Server(server.dsn()), 2)
        run = session.run if in_session else database.run

        def write(text: str) -> Callable[[Connection], None]:
            def work(connection: Connection) -> None:
                sql, bindings = "UPDATE note SET text = %s", (text,)
                if together:
                    with transaction(connection):
                        connection.execute(sql, bindings)
                else:
                    connection.execute(sql, bindings)

            return work

        def impatient(connection: Any) -> int:
            connection.answers_within_s = 0.05
            return int(connection.info.backend_pid)

        def is_there(connection: Connection) -> bool:
            return bool(
                connection.execute("SELECT FROM pg_stat_activity WHERE pid = %s", (stopped,)).fetchall()
            )

        await database.rows("CREATE TABLE note AS SELECT 'none' AS text")
        await asyncio.gather(
            *(database.rows("SELECT pg_sleep(0.1)") for _ in range(2))
        )  # another one is idle
        stopped = await run(impatient)
        os.kill(stopped, signal.SIGSTOP)
        try:
            with pytest.raises(StoreUnavailable, match="has not answered"):
                await run(write("first"))
            await run(write("second"))
        finally:
            os.kill(stopped, signal.SIGCONT)
        with Server(server.dsn()).connect() as looking:
            await eventually(lambda: not is_there(looking), "the backend to end")
            assert looking.execute("SELECT text FROM note").fetchall() == [("second",)]
        database.close()
        await session.close()


async def test_only_the_backend_itself_is_ended(kind: str) -> None:
    """Not another one that has its number, as on a server that took over."""
    with server_of_its_own(kind) as server, Server(server.dsn()).connect() as other:
        given_up: Any = Server(server.dsn()).connect()
        given_up.given_up = True
        known = GivenUp()
        pid = other.info.backend_pid
        number = given_up.backend
        given_up.backend = msgspec.structs.replace(number, pid=pid)
        known.note(given_up)
        given_up.backend = number
        with Server(server.dsn()).connect() as ending:
            known.end(ending)
            assert other.execute("SELECT 7").fetchone() == (7,)
            known.note(given_up)
            known.end(ending)
            known.end(ending)
        with pytest.raises(psycopg.OperationalError):
            given_up.execute("SELECT 7")
        given_up.close()


async def test_who_is_patient_waits_for_as_long_as_it_takes(kind: str) -> None:
    with (
        server_of_its_own(kind) as server,
        Server(server.dsn(), answers_within_s=0.2).patient().connect() as connection,
    ):
        assert connection.execute("SELECT 7 FROM pg_sleep(1)").fetchone() == (7,)


def test_a_server_that_is_full_or_not_there_yet_needs_no_other_settings(kind: str) -> None:
    """Whoever starts a node tries again."""
    with server_of_its_own(kind, max_connections="4", superuser_reserved_connections="0") as server:
        held = [psycopg.connect(server.dsn()) for _ in range(4)]
        with pytest.raises(StoreUnavailable, match="too many clients") as raised:
            Server(server.dsn()).connect()
        assert not raised.value.by_settings
        for one in held:
            one.close()


def test_an_owner_that_stops_within_a_transaction_is_ended(dsn: str) -> None:
    """Its rows would stay locked for as long as it sleeps."""
    with Server(dsn).connect() as connection:
        found = {
            name: connection.execute(f"SHOW {name}").fetchall()
            for name in ("idle_in_transaction_session_timeout", "statement_timeout")
        }
    assert found == {"idle_in_transaction_session_timeout": [("10s",)], "statement_timeout": [("30s",)]}
