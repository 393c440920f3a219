"""Servers that contenders need: PostgreSQL, Redis, RabbitMQ, each in a folder of its own, on 127.0.0.1."""

from __future__ import annotations

import os
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from arke.demo.processes import free_port
from arke.errors import InvalidInput
from peers.contender import find, listens, program

if TYPE_CHECKING:
    from collections.abc import Iterator

REDIS: Final = ("PEERS_REDIS", "redis-server")
RABBITMQ: Final = ("PEERS_RABBITMQ", "/usr/lib/rabbitmq/bin/rabbitmq-server", "rabbitmq-server")
"""Debian's on PATH starts it as another user, who may not enter a temporary directory of root's."""


EPMD: Final = ("PEERS_EPMD", "epmd")
"""Erlang's register of names. RabbitMQ would start one that outlives it."""


class Server(msgspec.Struct, frozen=True):
    """A server that runs: where, and as which process."""

    port: int
    pid: int


def missing_servers(*, rabbitmq: bool) -> list[str]:
    """Those of PostgreSQL, Redis and RabbitMQ that are not here."""
    lacks = []
    if find_spec("psycopg") is None:  # of arke[cluster]; `arke.demo.postgres` needs it
        lacks.append("psycopg is not installed")
    else:
        from arke.demo.postgres import find_programs

        try:
            find_programs()
        except InvalidInput as error:
            lacks.append(str(error))
    wanted = [REDIS, RABBITMQ, EPMD] if rabbitmq else [REDIS]
    lacks += [f"no {' or '.join(names)} is here" for variable, *names in wanted if not find(variable, *names)]
    return lacks


@contextmanager
def postgres() -> Iterator[Server]:
    """As it is shipped: fsync and synchronous_commit on. One user, `arke`, in the database `postgres`."""
    from arke.demo.postgres import PostgresServer, find_programs

    server = PostgresServer(find_programs(), {"max_connections": "200"})
    try:
        server.make()
        server.start()
        assert server.process is not None
        yield Server(server.port, server.process.pid)
    finally:
        server.close()


@contextmanager
def redis(directory: Path) -> Iterator[Server]:
    """With a snapshot every 20 s, as the peers' own examples have it."""
    port = free_port()
    command = [
        find(*REDIS),
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--dir",
        str(directory),
        "--save",
        "20 1",
    ]
    with program(directory, "redis", command, os.environ) as server:
        server.until(lambda: listens(port))
        yield Server(port, server.pid)


@contextmanager
def rabbitmq(directory: Path) -> Iterator[Server]:
    """As it is shipped: guest's account, and queues as whoever makes them wants them."""
    port, between, names = free_port(), free_port(), free_port()
    folder = directory / "rabbitmq"
    folder.mkdir()
    (folder / "enabled_plugins").write_text("[].\n")
    environ = os.environ | {
        "HOME": str(folder),
        "RABBITMQ_NODENAME": f"peers-{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(between),
        "RABBITMQ_MNESIA_BASE": str(folder),
        "RABBITMQ_LOG_BASE": str(folder),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(names),
    }
    with (
        program(folder, "names", [find(*EPMD)], environ) as registry,
        program(folder, "rabbitmq", [find(*RABBITMQ)], environ) as server,
    ):
        registry.until(lambda: listens(names))
        server.until(lambda: listens(port))
        yield Server(port, server.pid)
