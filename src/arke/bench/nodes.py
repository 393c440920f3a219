"""A cluster for a bench: nodes of each role as processes of this machine, over servers that the environment names.

`ARKE_BENCH_POSTGRES` is a DSN whose role may make a schema; `ARKE_BENCH_KAFKA`, where there is one, are the brokers
that carry the log (`host:port,host:port`). The cluster has a schema and a topic of its own, which go again.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from arke.bench.end_to_end import START_S, Up, ended, stream
from arke.bench.processes import listener, tree_cpu_s
from arke.bench.sinks import BenchFailed
from arke.storage.postgres.connection import Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from arke.domain.catalog import Catalog

POSTGRES: Final = "ARKE_BENCH_POSTGRES"
KAFKA: Final = "ARKE_BENCH_KAFKA"
STORE: Final = "ARKE_BENCH_STORE"
"""How the nodes' configuration names the DSN of their schema."""
ROLES: Final = ("admin", "intake", "worker")
OWNED_WITHIN_S: Final = 60.0
CONFIG: Final = """
[server]
intake = "127.0.0.1:0"
admin = "127.0.0.1:0"
[auth]
intake = "open"
[egress]
allow_cidrs = ["127.0.0.0/8"]
[cluster]
store = "env:{store}"
shards = {shards}
peers = "127.0.0.1:0"
log = "{log}"
"""
KAFKA_CONFIG: Final = """[kafka]
prefix = "{prefix}"
options = {{"bootstrap.servers" = "{brokers}"}}
"""


class Nodes:
    """One node of each role. CPU is by process: the nodes, and the servers, as far as they are this machine's."""

    def __init__(self, pids: dict[str, list[int]], admin: Up, intake_port: int, store: Server) -> None:
        self._pids = pids
        self.admin = admin
        self.intake_port = intake_port
        self._store = store

    def cpu_s(self) -> dict[str, float]:
        return {name: sum(tree_cpu_s(pid) for pid in pids) for name, pids in self._pids.items()}

    def apply(self, catalog: Catalog, directory: Path) -> None:
        """In force on every shard and every node."""
        self.admin.apply(catalog, directory)
        version = self.admin.client.status().catalog_version
        self._eventually(
            "every node to go by the catalog", "SELECT bool_and(catalog = %s) FROM node", version
        )

    def wait_until_owned(self) -> None:
        self._eventually("every shard to be owned", "SELECT bool_and(owner IS NOT NULL) FROM shard")

    def _eventually(self, what: str, question: str, *parameters: int) -> None:
        deadline = time.monotonic() + OWNED_WITHIN_S
        with self._store.connect() as connection:
            while connection.execute(question, parameters).fetchone() != (True,):
                if time.monotonic() > deadline:
                    raise BenchFailed(f"waited {OWNED_WITHIN_S:.0f} s for {what}")
                time.sleep(0.2)


def log_name() -> str:
    """What carries the log of the cluster."""
    return "kafka" if os.environ.get(KAFKA) else "postgresql"


@contextmanager
def running_nodes(directory: Path, shards: int) -> Iterator[Nodes]:
    """Until the end of the block."""
    dsn, brokers = os.environ[POSTGRES], os.environ.get(KAFKA, "")
    with schema_of_its_own(dsn) as (name, store), ExitStack() as stack:
        config = directory / "arke.toml"
        text = CONFIG.format(store=STORE, shards=shards, log=log_name())
        config.write_text(text + (KAFKA_CONFIG.format(prefix=name, brokers=brokers) if brokers else ""))
        environment = os.environ | {STORE: store}
        _run(config, environment, "cluster", "init")
        if brokers:
            stack.callback(_delete_topic, brokers, f"{name}-events")
        started = {
            role: stack.enter_context(_node(directory / role, config, environment, role)) for role in ROLES
        }
        pids = {role: [node.pid] for role, node in started.items()}
        pids |= {
            "PostgreSQL": _listeners([str(conninfo_to_dict(dsn).get("port", 5432))]),
            "Kafka": _listeners([one.rpartition(":")[2] for one in brokers.split(",") if one]),
        }
        nodes = Nodes(
            {name: found for name, found in pids.items() if found},
            started["admin"],
            started["intake"].intake_port,
            Server(store),
        )
        nodes.wait_until_owned()
        yield nodes


@contextmanager
def schema_of_its_own(dsn: str) -> Iterator[tuple[str, str]]:
    """The name of a schema on that server, and the DSN of who works in it. It goes with the block."""
    name = f"arke_bench_{secrets.token_hex(4)}"
    with Server(dsn).connect() as connection:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
    try:
        yield name, make_conninfo(dsn, options=f"-c search_path={name}")
    finally:
        with Server(dsn).connect() as connection:
            connection.execute("SET client_min_messages = warning")
            connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))


def _delete_topic(brokers: str, name: str) -> None:
    from confluent_kafka.admin import AdminClient

    admin = AdminClient({"bootstrap.servers": brokers})
    for done in admin.delete_topics([name]).values():
        done.result()


def _listeners(ports: list[str]) -> list[int]:
    return [pid for port in ports if (pid := listener(int(port))) is not None]


def _run(config: Path, environment: dict[str, str], *command: str) -> None:
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "arke", *command, "--config", str(config)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if done.returncode:
        raise BenchFailed(f"`arke {' '.join(command)}`: {done.stderr.strip()[-400:]}")


@contextmanager
def _node(directory: Path, config: Path, environment: dict[str, str], role: str) -> Iterator[Up]:
    directory.mkdir()
    data = directory / "data"
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own command
            [
                *(sys.executable, "-m", "arke", "up", "--config", str(config)),
                *("--data", str(data), "--role", role),
            ],
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
        )
    with ended(process):
        port = 0
        watchdog = threading.Timer(START_S, process.kill)
        watchdog.start()
        try:
            for line in stream(process.stdout):
                if line.startswith(b"intake"):
                    port = int(line.rsplit(b":", 1)[1])
                if line.strip() == b"ready":
                    break
            else:
                said = (directory / "log").read_text(errors="replace").strip()
                raise BenchFailed(f"the {role} ended before it was ready: {said[-400:]}")
        finally:
            watchdog.cancel()
        yield Up(data, port, process.pid)
