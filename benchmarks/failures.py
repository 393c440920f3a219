"""What each failure of a cluster costs in seconds: `PYTHONPATH=src:tests python benchmarks/failures.py [--kafka]`.

Starts PostgreSQL with a standby (and three brokers), two intakes, two admins and three workers on this machine,
and sends one event about somebody new every 50 ms to each intake. Of each kind of failure it prints when others
took the shards, how long an intake took nothing, the slowest answer, and how late the last person was told.
"""

from __future__ import annotations

import argparse
import signal
import socket
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from arke.receiver import ReceiverConfig
from cluster.world import NodeProcess, World
from cluster_scene import Scene
from e2e.receiver_thread import ReceiverThread
from servers.kafka import kafka_cluster
from servers.postgres import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from servers.postgres import PostgresServer

REBALANCED_S = 5.0


class Cuttable:
    """A way to a server that can be cut: what is sent waits, and nobody is told."""

    def __init__(self, port: int) -> None:
        self._target = port
        self.whole = threading.Event()
        self.whole.set()
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._door.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            came, _ = self._door.accept()
            threading.Thread(target=self._join, args=(came,), daemon=True).start()

    def _join(self, came: socket.socket) -> None:
        self.whole.wait()
        try:
            beyond = socket.create_connection(("127.0.0.1", self._target))
        except OSError:
            came.close()
            return
        for one, other in ((came, beyond), (beyond, came)):
            threading.Thread(target=self._pass_on, args=(one, other), daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        try:
            while data := one.recv(65_536):
                self.whole.wait()
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)
        except OSError:
            return


class Failures:
    """One after the other; each leaves the cluster as whole as it was."""

    def __init__(self, scene: Scene, standby: PostgresServer) -> None:
        self._scene = scene
        self._world = scene.world
        self._standby = standby

    def all(self) -> None:
        self._scene.show("nothing", lambda: None, 8)
        self.workers()
        self.intake()
        self.leader()
        self.postgres()
        if self._world.brokers is not None:
            self.broker()
        self.fail_over()

    def workers(self) -> None:
        scene, workers = self._scene, self._scene.workers
        scene.show("a worker is killed", lambda: workers[0].send(signal.SIGKILL), 16)
        workers[0] = self._world.node("worker")
        time.sleep(REBALANCED_S)

        def stop_and_wake() -> None:
            workers[0].send(signal.SIGSTOP)
            time.sleep(20)
            workers[0].send(signal.SIGCONT)

        scene.show("a worker is stopped, and woken after 20 s", stop_and_wake, 10)
        time.sleep(REBALANCED_S)
        scene.show("a worker is told to stop", lambda: print(f"   {_ended(workers[1])}"), 8)
        scene.show("a worker is added", lambda: workers.insert(1, self._world.node("worker")), 10)
        way = Cuttable(self._world.postgres.port)
        cut_off = NodeProcess(
            workers[2].folder.with_name("cut-off"),
            self._world.config,
            self._world.environ | {"ARKE_PG": self._world.postgres.dsn(port=str(way.port))},
            "worker",
        )
        self._world.nodes.append(cut_off)
        cut_off.start()
        time.sleep(REBALANCED_S)

        def cut() -> None:
            way.whole.clear()
            time.sleep(25)
            way.whole.set()

        scene.show("a worker is cut off from PostgreSQL for 25 s", cut, 12)
        cut_off.ended(signal.SIGTERM)
        time.sleep(REBALANCED_S)

    def intake(self) -> None:
        self._scene.show("an intake is killed", lambda: self._scene.intakes[0].send(signal.SIGKILL), 6)
        self._scene.intakes[0] = self._world.node("intake")

    def leader(self) -> None:
        leader = self._scene.leader()
        at = time.time()
        leader.send(signal.SIGKILL)
        while f"-{leader.pid}-" in (self._world.cluster()["leader"] or f"-{leader.pid}-"):
            time.sleep(0.1)
        print(f"## the leader is killed: another leads after {time.time() - at:.1f} s\n", flush=True)
        self._scene.admins[self._scene.admins.index(leader)] = self._world.node("admin")

    def postgres(self) -> None:
        server = self._world.postgres

        def away(s: float) -> Callable[[], None]:
            def damage() -> None:
                at = time.time()
                server.kill()
                time.sleep(s)
                server.start()
                print(f"   PostgreSQL is back after {time.time() - at:.1f} s")

            return damage

        self._scene.show("PostgreSQL is killed", away(0), 15)
        self._scene.show("PostgreSQL is away for 15 s", away(15), 20)

    def broker(self) -> None:
        brokers = self._world.brokers
        assert brokers is not None
        self._scene.show("a broker is killed", lambda: brokers.kill(1), 25)
        brokers.restart(1)
        brokers.wait_ready()

        def all_away() -> None:
            for node in brokers.nodes:
                brokers.kill(node)
            time.sleep(30)
            for node in brokers.nodes:
                brokers.restart(node)
            brokers.wait_ready()

        self._scene.show("all brokers are away for 30 s", all_away, 30)

    def fail_over(self) -> None:
        """The last: the primary does not come back."""

        def promote() -> None:
            self._world.postgres.kill()
            self._standby.promote()

        self._scene.show("PostgreSQL fails over to a synchronous standby", promote, 15)


def _ended(node: NodeProcess) -> str:
    at = time.time()
    code = node.ended(signal.SIGTERM)
    return f"ended with {code} after {time.time() - at:.1f} s"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--kafka", action="store_true")
    options.add_argument("--only", choices=["workers", "intake", "leader", "postgres", "broker", "fail_over"])
    given = options.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        brokers = stack.enter_context(kafka_cluster(folder / "kafka", nodes=3)) if given.kafka else None
        (folder / "world").mkdir()
        world = World(folder / "world", KINDS[0], brokers)
        world.receiver = ReceiverThread(ReceiverConfig(kept_requests=1_000_000))
        stack.enter_context(world)
        standby = world.postgres.standby()
        stack.callback(standby.close)
        world.postgres.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        world.postgres.execute("SELECT pg_reload_conf()")
        world.environ["ARKE_PG"] = world.postgres.dsn(
            host="127.0.0.1,127.0.0.1",
            port=f"{world.postgres.port},{standby.port}",
            target_session_attrs="read-write",
        )
        failures = Failures(Scene(world), standby)
        (getattr(failures, given.only) if given.only else failures.all)()


if __name__ == "__main__":
    main()
