"""What cannot be right is said by `arke cluster init` and by `arke up`: where, why, and what to do."""

from __future__ import annotations

import contextlib
import io
import socket
import struct
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec
import pytest
import trustme

from arke.cli import main
from patience import PATIENCE_S
from servers.postgres import KINDS, PostgresServer, server_of_its_own
from servers.process import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

WRONG, TRY_AGAIN = 2, 1
"""Exit codes: something has to be changed; the server does not answer."""
SECRET = "s3cr3t-word"
NO_BROKERS = '[kafka]\noptions = {"bootstrap.servers" = "127.0.0.1:1"}'


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """One with TLS where there is one, with roles that lack something."""
    with server_of_its_own(KINDS[0]) as server:
        rules = server.data / "pg_hba.conf"
        rules.write_text("host all locked 127.0.0.1/32 scram-sha-256\n" + rules.read_text())
        for statement in (
            "SELECT pg_reload_conf()",
            "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
            f"CREATE ROLE locked LOGIN PASSWORD '{SECRET}'",
            "CREATE ROLE guest LOGIN",
            "CREATE ROLE reader LOGIN",
            "CREATE ROLE frozen LOGIN",
            "ALTER ROLE frozen SET default_transaction_read_only = on",
            "CREATE SCHEMA founded",
            "CREATE SCHEMA fresh",
            "CREATE SCHEMA newer",
            "GRANT USAGE ON SCHEMA founded TO reader",
            "GRANT ALL ON SCHEMA fresh TO frozen",
        ):
            server.execute(statement)
        yield server


class Case(msgspec.Struct, frozen=True):
    """What is wrong, and what is said of it. `founds`: only whoever makes a cluster needs it."""

    dsn: Callable[[PostgresServer], str]
    said: str
    code: int = WRONG
    founds: bool = False


def within(schema: str, **more: str) -> Callable[[PostgresServer], str]:
    return lambda server: server.dsn(options=f"-c search_path={schema}", **more)


CASES = {
    "nobody listens": Case(lambda _: f"host=127.0.0.1 port={free_port()} user=arke", "refused", TRY_AGAIN),
    "no such host": Case(lambda _: "host=nowhere.invalid user=arke", "nowhere.invalid", TRY_AGAIN),
    "wrong password": Case(within("fresh", user="locked", password="no"), "password authentication failed"),
    "no password": Case(within("fresh", user="locked"), "no password supplied"),
    "no such role": Case(within("fresh", user="nobody"), 'role "nobody" does not exist'),
    "no such database": Case(within("fresh", dbname="nowhere"), 'database "nowhere" does not exist'),
    "no such schema": Case(within("nowhere"), "the role needs a schema of its own, first in", founds=True),
    "no right to create": Case(
        lambda server: server.dsn(user="guest"), "the role may not create tables there", founds=True
    ),
    "may only read": Case(within("founded", user="reader"), "the role may not write to"),
    "read-only role": Case(within("fresh", user="frozen"), "default_transaction_read_only is on"),
    "read-only DSN": Case(
        lambda server: server.dsn(options="-c search_path=fresh -c default_transaction_read_only=on"),
        "default_transaction_read_only is on",
    ),
    "a newer version's": Case(within("newer"), "written by a newer Arke (schema 999", TRY_AGAIN),
    "no DSN": Case(
        lambda _: f"{SECRET} at the server", "the DSN of PostgreSQL is none: postgresql://user@host"
    ),
    "an unknown option": Case(lambda _: f"host=db word={SECRET}", "the DSN of PostgreSQL is none"),
    "empty": Case(lambda _: "", "env:PG_OF_TEST"),
}

NOT_FOUNDED = Case(within("fresh"), "there is no cluster in it: run `arke cluster init`", TRY_AGAIN)


class Commands:
    """Both commands in a folder with settings."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def settings(self, *lines: str) -> None:
        text = "\n".join(
            [
                '[server]\nintake = "127.0.0.1:0"\nadmin = "127.0.0.1:0"',
                '[cluster]\nstore = "env:PG_OF_TEST"\nshards = 16\npeers = "127.0.0.1:0"',
                *lines,
            ]
        )
        (self.folder / "arke.toml").write_text(text)

    def run(self, command: str, **variables: str) -> tuple[int, str]:
        """Exit code, and what is said."""
        words = {"init": ["cluster", "init"], "up": ["up", "--data", str(self.folder / "data")]}[command]
        said = io.StringIO()
        with pytest.MonkeyPatch.context() as patched, contextlib.redirect_stderr(said):
            patched.chdir(self.folder)
            patched.setattr(sys, "argv", ["arke", *words])
            for name, value in variables.items():
                patched.setenv(name, value)
            with pytest.raises(SystemExit) as ended:
                main()
        complaints = [line for line in said.getvalue().splitlines() if line.startswith("arke: ")]
        return int(str(ended.value.code)), "\n".join(complaints)


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    found = Commands(tmp_path)
    found.settings()
    return found


@pytest.fixture(scope="module")
def founded(server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> PostgresServer:
    """The server with a cluster in one schema, and one of a later Arke in another."""
    commands = Commands(tmp_path_factory.mktemp("founded"))
    commands.settings()
    for schema in ("founded", "newer"):
        assert commands.run("init", PG_OF_TEST=within(schema)(server))[0] == 0
    server.execute("GRANT SELECT ON ALL TABLES IN SCHEMA founded TO reader")
    server.execute("UPDATE newer.schema_version SET version = 999")
    return server


def relations(server: PostgresServer) -> set[tuple[object, ...]]:
    return {*server.execute("SELECT relnamespace::regnamespace::text, relname::text FROM pg_class")}


@pytest.mark.parametrize("command", ["init", "up"])
@pytest.mark.parametrize("name", CASES)
def test_a_store_that_cannot_be_used(
    commands: Commands, founded: PostgresServer, command: str, name: str
) -> None:
    case, before = CASES[name], relations(founded)
    code, said = commands.run(command, PG_OF_TEST=case.dsn(founded))
    assert said.startswith("arke: cluster.store: "), said
    if case.founds and command == "up":
        case = NOT_FOUNDED
    assert case.said in said
    assert code == case.code, said
    assert SECRET not in said
    assert relations(founded) == before


@pytest.mark.parametrize("command", ["init", "up"])
def test_a_further_server_that_is_meant_for_something_else(
    commands: Commands, founded: PostgresServer, command: str
) -> None:
    """The same one twice; and what the map has must be named."""
    commands.settings('servers = {b = "env:PG_B"}')
    both = {"PG_OF_TEST": within("founded")(founded), "PG_B": within("founded")(founded)}
    if command == "init":
        code, said = commands.run(command, **both)
        assert (code, "cluster.servers: b: " in said) == (WRONG, True)
        assert "it is cluster.store of this cluster and not cluster.servers: b" in said
    founded.execute("UPDATE founded.shard_map SET server = 'gone' WHERE shard = 3")
    try:
        code, said = commands.run(command, **both)
    finally:
        founded.execute("UPDATE founded.shard_map SET server = 'store' WHERE shard = 3")
    assert code == WRONG
    assert "cluster.servers: gone: it has 1 shard (3), and the settings do not name this server" in said


def test_nothing_is_made_where_a_further_server_is_wrong(commands: Commands, server: PostgresServer) -> None:
    before = relations(server)
    commands.settings('servers = {b = "env:PG_B"}')
    there, away = within("fresh")(server), f"host=127.0.0.1 port={free_port()} user=arke"
    code, said = commands.run("init", PG_OF_TEST=there, PG_B=away)
    assert (code, "cluster.servers: b: PostgreSQL 127.0.0.1/" in said) == (TRY_AGAIN, True)
    assert relations(server) == before


@pytest.mark.parametrize("command", ["init", "up"])
@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["shards = 32"], "this cluster has 16 shards"),
        (
            ['log = "kafka"', '[kafka]\noptions = {"bootstrap.servers" = "127.0.0.1:1"}'],
            "cluster.log: this cluster",
        ),
        (
            ['servers = {store = "env:PG_B"}'],
            "cluster.servers: store is the name of the server of cluster.store",
        ),
    ],
    ids=["shards", "log", "name"],
)
def test_settings_of_another_cluster(
    commands: Commands, founded: PostgresServer, command: str, lines: list[str], said: str
) -> None:
    commands.settings(*lines)
    text = (commands.folder / "arke.toml").read_text()
    if lines[0].startswith("shards"):
        (commands.folder / "arke.toml").write_text(text.replace("shards = 16\n", ""))
    code, complaint = commands.run(command, PG_OF_TEST=within("founded")(founded))
    assert (code, said in complaint) == (WRONG, True), complaint


def test_a_node_before_the_cluster_is_made(commands: Commands, server: PostgresServer) -> None:
    code, said = commands.run("up", PG_OF_TEST=within("fresh")(server))
    assert (code, "there is no cluster in it: run `arke cluster init`" in said) == (TRY_AGAIN, True)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('secret = "env:PG_OF_TEST"', "cluster.advertise: cluster.peers is every address of this machine"),
        (
            'secret = "env:PG_OF_TEST"\nadvertise = "worker-3"',
            "cluster.advertise: 'worker-3' is not host:port",
        ),
        ("", "cluster.peers: 0.0.0.0:0 is open to others"),
        ('ca_file = "ca.pem"', "cluster.ca_file: ca_file, cert_file and key_file belong together"),
        (
            'ca_file = "ca.pem"\ncert_file = "ca.pem"\nkey_file = "gone.pem"',
            "cluster.key_file: gone.pem: No such file",
        ),
        (
            'ca_file = "ca.pem"\ncert_file = "empty.pem"\nkey_file = "empty.pem"',
            "cluster.cert_file: the file is empty",
        ),
        (
            'ca_file = "ca.pem"\ncert_file = "ca.pem"\nkey_file = "ca.pem"',
            "cluster.key_file: there is no private key in the file",
        ),
    ],
    ids=["anywhere", "no port", "open", "alone", "gone", "empty", "no key"],
)
def test_what_nodes_show_each_other(
    commands: Commands, founded: PostgresServer, lines: str, said: str
) -> None:
    trustme.CA().cert_pem.write_to_path(str(commands.folder / "ca.pem"))
    (commands.folder / "empty.pem").touch()
    commands.settings(*lines.splitlines())
    settings = commands.folder / "arke.toml"
    settings.write_text(settings.read_text().replace('peers = "127.0.0.1:0"', 'peers = "0.0.0.0:0"'))
    code, complaint = commands.run("up", PG_OF_TEST=within("founded")(founded))
    assert (code, said in complaint) == (WRONG, True), complaint


def test_the_data_of_an_engine_without_a_cluster(commands: Commands, founded: PostgresServer) -> None:
    """It would not be used, and nobody would notice."""
    data = commands.folder / "data"
    data.mkdir(mode=0o700)
    (data / "directory.db").touch(mode=0o600)
    code, said = commands.run("up", PG_OF_TEST=within("founded")(founded))
    assert code == WRONG
    assert f"`arke cluster import --data {data}` moves it in" in said


# --- servers that are not what they should be -------------------------------------------------------------------


@pytest.mark.parametrize("command", ["init", "up"])
def test_a_hot_standby(commands: Commands, server: PostgresServer, command: str) -> None:
    standby = server.standby()
    try:
        code, said = commands.run(command, PG_OF_TEST=within("fresh")(standby))
    finally:
        standby.close()
    assert code == WRONG
    assert "it is a standby and takes no writes: name the primary" in said


@pytest.mark.parametrize("command", ["init", "up"])
def test_tls_of_another_authority(commands: Commands, server: PostgresServer, command: str) -> None:
    if KINDS[0] != "15":
        pytest.skip("this server has no TLS")
    authority = commands.folder / "ca.pem"
    trustme.CA().cert_pem.write_to_path(authority)
    dsn = server.dsn(host="localhost", sslmode="verify-full", sslrootcert=str(authority))
    code, said = commands.run(command, PG_OF_TEST=dsn)
    assert (code, "certificate verify failed" in said) == (WRONG, True), said


@pytest.mark.parametrize("command", ["init", "up"])
def test_a_server_that_is_too_old(commands: Commands, command: str) -> None:
    with speaking(_as_version("13.9")) as port:
        code, said = commands.run(command, PG_OF_TEST=f"host=127.0.0.1 port={port} user=arke sslmode=disable")
    assert (code, "PostgreSQL 13 is too old: 15 or newer is needed" in said) == (WRONG, True), said


@pytest.mark.parametrize("command", ["init", "up"])
def test_a_server_that_says_nothing(commands: Commands, command: str) -> None:
    with speaking(lambda _: threading.Event().wait(PATIENCE_S)) as port:
        began_at = time.monotonic()
        dsn = f"host=127.0.0.1 port={port} user=arke sslmode=disable connect_timeout=2"
        code, said = commands.run(command, PG_OF_TEST=dsn)
    assert (code, "timeout" in said) == (TRY_AGAIN, True), said
    assert time.monotonic() - began_at < PATIENCE_S / 2


def _as_version(version: str) -> Callable[[socket.socket], None]:
    """The start of the protocol, up to where a client may ask."""

    def message(kind: bytes, body: bytes) -> bytes:
        return kind + struct.pack("!i", len(body) + 4) + body

    def serve(client: socket.socket) -> None:
        (length,) = struct.unpack("!i", client.recv(4, socket.MSG_WAITALL))
        client.recv(length - 4, socket.MSG_WAITALL)
        parameters = {"server_version": version, "client_encoding": "UTF8", "integer_datetimes": "on"}
        client.sendall(
            message(b"R", struct.pack("!i", 0))
            + b"".join(message(b"S", f"{name}\0{value}\0".encode()) for name, value in parameters.items())
            + message(b"K", struct.pack("!ii", 1, 1))
            + message(b"Z", b"I")
        )
        while client.recv(4096):
            pass

    return serve


@contextmanager
def speaking(serve: Callable[[socket.socket], object]) -> Iterator[int]:
    """A port where each who comes is served so."""

    def one(client: socket.socket) -> None:
        with client:
            serve(client)

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=one, args=(client,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
