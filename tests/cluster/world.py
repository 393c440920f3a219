"""A cluster as an operator runs it: PostgreSQL, perhaps Kafka, nodes as processes, a destination, a sender."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import subprocess
import threading
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar
from unittest.mock import patch

import msgspec

from arke.api.client import Client
from arke.api.reach import engine_socket, over_socket
from arke.cluster_app import cluster_status
from arke.errors import Unavailable
from arke.settings import load_settings
from e2e.catalogs import DPID, IN_MARKET, LENSES, STILL_LOOKING, TRAITS, catalog, destination
from e2e.engine_process import ARKE
from e2e.receiver_thread import ReceiverThread
from patience import PATIENCE_S, wait_until
from servers.pgbouncer import pooled
from servers.postgres import PostgresServer

if TYPE_CHECKING:
    from collections.abc import Callable, Container
    from random import Random

    from servers.kafka import Cluster as Brokers

SHARDS: Final = 16
BODY: Final = 40
USERS: Final = 200
WEIGHTS: Final = (94, 3, 3)
"""How often users say the words of `TRAITS`: a lens adds a segment, and a bag ends one."""

T = TypeVar("T")


class NodeProcess:
    """`arke up --role ROLE`."""

    def __init__(self, folder: Path, config: Path, environ: dict[str, str], role: str) -> None:
        self.role = role
        self.folder = folder
        self.data = folder / "data"
        self._config = config
        self._environ = environ
        self._process: subprocess.Popen[str] | None = None
        self.doors: dict[str, str] = {}

    def start(self) -> Self:
        """Start and wait until it says that it is ready."""
        self.folder.mkdir(exist_ok=True)
        command = [ARKE, "up", "--config", str(self._config), "--data", str(self.data), "--role", self.role]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, env=self._environ
            )
        assert self._process.stdout is not None
        watchdog = threading.Timer(PATIENCE_S, self._process.kill)
        watchdog.start()
        try:
            for line in self._process.stdout:
                if line == "ready\n":
                    return self
                name, _, url = line.strip().partition(" ")
                self.doors[name] = url.strip().removeprefix("http://")
        finally:
            watchdog.cancel()
        self._process.stdout.close()
        raise AssertionError(f"the {self.role} did not start:\n{self.log()}")

    def log(self) -> str:
        return (self.folder / "log").read_text()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def is_named(self, name: str) -> bool:
        """Whether it is the node that the cluster knows by this name."""
        return f"-{self.pid}-" in name

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def ended(self, number: signal.Signals | None = None) -> int:
        """Wait for its end, after a signal if one is given; the exit code."""
        if self._process is None:
            return 0
        if number is not None and self._process.poll() is None:
            self._process.send_signal(number)
        try:
            code = self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise AssertionError(f"the {self.role} does not end:\n{self.log()[-4_000:]}") from None
        if self._process.stdout is not None:
            self._process.stdout.close()
        return code


class World:
    """Everything, until the end of the block. Start nodes with `node`. `more` are further sections of its
    settings.
    """

    def __init__(
        self,
        folder: Path,
        kind: str,
        brokers: Brokers | None = None,
        *,
        pooled: bool = False,
        more: str = "",
    ) -> None:
        """`pooled`: nodes reach PostgreSQL through a pooler in transaction mode."""
        self._more = more
        self._folder = folder
        self._pooled = pooled
        self._stack = ExitStack()
        self.postgres = PostgresServer(kind)
        self.brokers = brokers
        self.receiver = ReceiverThread()
        self.nodes: list[NodeProcess] = []
        self.config = folder / "arke.toml"
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith("ARKE_")}

    def __enter__(self) -> Self:
        with self._stack:
            self._enter()
            self._stack = self._stack.pop_all()
        return self

    def _enter(self) -> None:
        self._stack.callback(self._end)
        self.postgres.start()
        self._stack.enter_context(self.receiver)
        dsn = self.postgres.dsn()
        self.environ["ARKE_PG"] = self._stack.enter_context(pooled(dsn)) if self._pooled else dsn
        kafka = ""
        if self.brokers is not None:
            kafka = f'[kafka]\nprefix = "chain-{os.getpid()}-{self._folder.name}"\n'
            kafka += f'options = {{"bootstrap.servers" = "{self.brokers.bootstrap}"}}\n'
        self.config.write_text(
            '[server]\nintake = "127.0.0.1:0"\nadmin = "127.0.0.1:0"\n[auth]\nintake = "open"\n'
            '[egress]\nallow_cidrs = ["127.0.0.0/8"]\n'
            f'[cluster]\nstore = "env:ARKE_PG"\nshards = {SHARDS}\npeers = "127.0.0.1:0"\n'
            f'prepared_statements = "{"off" if self._pooled else "auto"}"\n'
            f'log = "{"kafka" if self.brokers else "postgresql"}"\n{kafka}{self._more}'
        )
        done = self.arke("cluster", "init", "--config", str(self.config))
        assert done.returncode == 0, done.stderr
        self._stack.callback(self._kill_nodes)

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _kill_nodes(self) -> None:
        for node in self.nodes:
            node.send(signal.SIGCONT)
            node.ended(signal.SIGKILL)

    def _end(self) -> None:
        self.postgres.close()

    def arke(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [ARKE, *arguments], capture_output=True, text=True, env=self.environ, timeout=PATIENCE_S
        )

    def node(self, role: str) -> NodeProcess:
        started = NodeProcess(self._folder / f"{role}-{len(self.nodes)}", self.config, self.environ, role)
        self.nodes.append(started)
        return started.start()

    def apply(self, admin: NodeProcess) -> None:
        """A catalog with one destination, in force on every shard and every node."""
        path = self._folder / "catalog.json"
        path.write_text(catalog([destination(1, self.receiver.url, self.receiver.ca_file)]))
        wait_until(lambda: self.owned() == SHARDS, "all shards to be owned")

        def applied() -> bool:
            """While shards move to workers that have just come, one may be on its way."""
            done = self.arke("apply", str(path), "--data", str(admin.data))
            assert done.returncode in (0, 1), done.stderr
            return done.returncode == 0

        wait_until(applied, "the catalog to be applied")
        wait_until(self._follow, "every node to go by it")

    def _follow(self) -> bool:
        nodes = self.cluster()["nodes"]
        return all(node["catalog"] == 1 for node in nodes)

    def cluster(self) -> dict[str, Any]:
        """What `arke cluster status --json` shows, asked here: a process for each look would take more of the
        machine than the cluster that is waited for.
        """
        with patch.dict(os.environ, self.environ):  # where settings refer to for the DSN
            shown = asyncio.run(cluster_status(load_settings(self.config)))
        found: dict[str, Any] = msgspec.to_builtins(shown)
        return found

    def owners(self) -> dict[int, tuple[str | None, int]]:
        """Of each shard: who owns it, and since which epoch."""
        return {one["shard"]: (one["owner"], one["epoch"]) for one in self.cluster()["shards"]}

    def owned(self) -> int:
        """How many shards somebody owns."""
        return sum(shard["owner"] is not None for shard in self.cluster()["shards"])

    def client(self, node: NodeProcess) -> Client:
        return Client(over_socket(engine_socket(node.data)))


class Sender:
    """Sends events about USERS users until `stop`, each until it is accepted: a repeated one has the same id."""

    def __init__(self, doors: Callable[[], list[str]], random: Random) -> None:
        self._doors = doors
        self._random = random
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)
        self.accepted: Counter[tuple[str, str]] = Counter()
        """How often each user said each word."""
        self.refused = 0
        self._number = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Once all that was begun is accepted."""
        self._stopping.set()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), "an event was never accepted"

    @property
    def events(self) -> int:
        return self.accepted.total()

    def more(self, count: int) -> None:
        """So many more are accepted."""
        wanted = self.events + count
        wait_until(lambda: self.events >= wanted, f"{count} events to be accepted")

    def _run(self) -> None:
        while not self._stopping.is_set():
            events = [self._event() for _ in range(BODY)]
            while events:
                events = self._sent(events)
                if events:
                    self.refused += len(events)
                    self._stopping.wait(0.1)

    def _event(self) -> tuple[str, str, str]:
        """User, word, and the event's id."""
        self._number += 1
        (word,) = self._random.choices([*TRAITS], WEIGHTS)
        return f"p{self._number % USERS}", word, f"e{self._number}"

    def _sent(self, events: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
        """Those that are to be sent again."""
        body = b"".join(
            json.dumps(
                {"ids": [{"dpid": DPID, "id": user}], "signals": {"c_see": [word]}, "event_id": event}
            ).encode()
            + b"\n"
            for user, word, event in events
        )
        host, _, port = self._random.choice(self._doors()).rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=60)
        try:
            connection.request("POST", "/v1/events", body, {"Content-Type": "application/x-ndjson"})
            answer = connection.getresponse()
            said = answer.read()
        except (OSError, http.client.HTTPException):
            return events
        finally:
            connection.close()
        if answer.status != 200:
            return events
        rejected = {one["line"] - 1 for one in json.loads(said)["rejected"]}
        self.accepted.update(event[:2] for place, event in enumerate(events) if place not in rejected)
        return [event for place, event in enumerate(events) if place in rejected]


def verify(world: World, admin: NodeProcess, sender: Sender) -> None:
    """In the end every profile is exact, and destinations were last told what the engine believes."""
    client = world.client(admin)
    wait_until(lambda: _settled(client), "all to be told")
    for number in range(USERS):
        user = f"p{number}"
        counts = {TRAITS[word]: sender.accepted[user, word] for word in TRAITS if sender.accepted[user, word]}
        wanted = counts, _expected(counts.keys()), _expected(counts.keys())
        end = time.monotonic() + PATIENCE_S
        while (found := _found(world, client, user)) != wanted:
            assert time.monotonic() < end, f"{user}: {found} where {wanted} was wanted"
            time.sleep(0.1)


def _found(world: World, client: Client, user: str) -> tuple[dict[int, int], set[str], set[str]]:
    """How often each trait is counted, the segments the engine believes in, and those the destination was told."""
    explained = _asked(lambda: client.explain(None, f"{DPID}:{user}"))
    counts = {trait.id: trait.count for trait in explained.traits}
    believed = {str(one.id) for one in explained.segments if one.status == 1}
    return counts, believed, world.receiver.segments_of(user)


def _expected(traits: Container[int]) -> set[str]:
    camera, lens, bag = (TRAITS[word] in traits for word in ("camera", "lens", "bag"))
    segments = {IN_MARKET: camera, LENSES: lens, STILL_LOOKING: camera and not bag}
    return {str(segment) for segment, belongs in segments.items() if belongs}


def _settled(client: Client) -> bool:
    try:
        status = client.status()
    except Unavailable:
        return False
    (row,) = status.destinations
    return not (row.owed or row.backlog or status.queued)


def _asked(question: Callable[[], T]) -> T:
    """Asked again as long as a shard is on its way from one worker to the next."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            return question()
        except Unavailable:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
