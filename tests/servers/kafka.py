"""Kafka for tests: one or three KRaft brokers on free ports of this machine, from jars of Maven Central.

Needs Java 17 and Maven. Jars, a formatted data folder and an archive of loaded classes (which halves the start) are
kept in the user's cache folder. Brokers end with the tests, also if those crash.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import random
import shutil
import signal
import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from patience import wait_until
from servers.keeper import address
from servers.process import install, missing

if TYPE_CHECKING:
    from collections.abc import Iterator

GIVEN: Final = os.environ.get("ARKE_TEST_KAFKA", "")
"""Names brokers to use instead (`host:port,host:port`): tests that kill brokers are skipped then."""
KAFKA: Final = "4.4.0"
PACKAGES: Final = ("default-jre-headless", "maven")
CLUSTER_ID: Final = "AAAAAAAAAAAAAAAAAAAAAQ"
JAVA_FLAGS: Final = (
    *("-Xms64m", "-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Xlog:disable"),
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)
POM: Final = f"""<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>test</groupId><artifactId>kafka-broker</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{KAFKA}</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
"""
DIE_WITH_PARENT: Final = 1  # PR_SET_PDEATHSIG


def cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "arke-tests"


def free_ports(count: int) -> list[int]:
    """Below those that systems give to outgoing connections: a broker comes back to its own."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)


class Distribution:
    """Jars of a version, and what is made once for all starts."""

    def __init__(self) -> None:
        self.folder = cache_folder() / f"kafka-{KAFKA}"
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._download()
            self.jars = sorted((self.folder / "lib").glob("*.jar"))
            self.archive = self.folder / f"classes-{self._key()}.jsa"
            self._format()
            if not self.archive.exists():
                self._archive_classes()

    def _download(self) -> None:
        done = self.folder / "downloaded"
        if done.exists():
            return
        if not (shutil.which("mvn") and shutil.which("java")):
            install(*PACKAGES)
        if not (shutil.which("mvn") and shutil.which("java")):
            missing("Java and Maven for Kafka")
        (self.folder / "pom.xml").write_text(POM)
        command = ["mvn", "-q", "-B", "-f", str(self.folder / "pom.xml"), "dependency:copy-dependencies"]
        # Java finds a home in the list of users, which may be one that is not there.
        local = self.folder / "repository"
        folders = [f"-DoutputDirectory={self.folder / 'lib'}", f"-Dmaven.repo.local={local}"]
        got = subprocess.run([*command, "-DincludeScope=runtime", *folders], capture_output=True, text=True)
        if got.returncode:
            missing(f"Kafka (Maven: {got.stdout[-300:].strip()})")
        shutil.rmtree(local)
        done.touch()

    def _key(self) -> str:
        java = subprocess.run(["java", "-version"], capture_output=True, text=True, check=True).stderr
        return hashlib.sha256("\n".join([java, *map(str, self.jars), *JAVA_FLAGS]).encode()).hexdigest()[:16]

    def java(self, *more: str) -> list[str]:
        return ["java", "-cp", ":".join(map(str, self.jars)), *JAVA_FLAGS, *more]

    def _format(self) -> None:
        self.formatted = self.folder / "formatted"
        if self.formatted.exists():
            return
        scratch = self.folder / "formatting"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        properties = scratch / "server.properties"
        properties.write_text(server_properties(1, [(1, 2)], scratch / "data"))
        tool = self.java("kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(properties))
        subprocess.run(tool, check=True, capture_output=True)
        (scratch / "data").rename(self.formatted)

    def _archive_classes(self) -> None:
        scratch = self.folder / "archiving"
        shutil.rmtree(scratch, ignore_errors=True)
        with lasting(Cluster(scratch, 1, self, f"-XX:ArchiveClassesAtExit={self.archive}.new")) as cluster:
            cluster.start()
            cluster.stop(signal.SIGTERM)
        Path(f"{self.archive}.new").rename(self.archive)
        shutil.rmtree(scratch)


def server_properties(node: int, ports: list[tuple[int, int]], data: Path) -> str:
    """Of node 1, 2 or 3; `ports` are the broker's and the controller's of each."""
    port, controller = ports[node - 1]
    copies, enough = len(ports), 2 if len(ports) > 1 else 1
    voters = ",".join(f"{number}@127.0.0.1:{its}" for number, (_, its) in enumerate(ports, 1))
    return f"""process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
default.replication.factor={copies}
min.insync.replicas={enough}
offsets.topic.replication.factor={copies}
offsets.topic.num.partitions=4
transaction.state.log.replication.factor={copies}
transaction.state.log.min.isr={enough}
share.coordinator.state.topic.replication.factor={copies}
share.coordinator.state.topic.min.isr={enough}
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=750
log.segment.bytes=67108864
log.cleaner.dedupe.buffer.size=8388608
log.cleaner.threads=1
num.network.threads=2
num.io.threads=2
"""


class Cluster:
    """Brokers 1 to `nodes` on data of their own."""

    def __init__(self, folder: Path, nodes: int, distribution: Distribution, *flags: str) -> None:
        self.nodes = range(1, nodes + 1)
        self._folder = folder
        self._distribution = distribution
        self._flags = flags or (f"-XX:SharedArchiveFile={distribution.archive}",)
        ports = free_ports(2 * nodes)
        self._ports = list(zip(ports[::2], ports[1::2], strict=True))
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def bootstrap(self) -> str:
        return ",".join(f"127.0.0.1:{port}" for port, _ in self._ports)

    def start(self) -> None:
        """All of them; returns once they know each other and their controller."""
        for node in self.nodes:
            self._prepare(node)
            self._spawn(node)
        self.wait_ready()

    def _prepare(self, node: int) -> None:
        data = self._folder / f"node{node}"
        shutil.copytree(self._distribution.formatted, data)
        meta = (data / "meta.properties").read_text().splitlines()
        kept = [line for line in meta if not line.startswith(("node.id=", "directory.id="))]
        own = [f"node.id={node}", f"directory.id={'B' * 20}{node}A"]
        (data / "meta.properties").write_text("\n".join([*kept, *own]) + "\n")
        (self._folder / f"node{node}.properties").write_text(server_properties(node, self._ports, data))

    def _spawn(self, node: int) -> None:
        properties = self._folder / f"node{node}.properties"
        with (self._folder / f"node{node}.log").open("ab") as output:
            self._processes[node] = subprocess.Popen(
                self._distribution.java(*self._flags, "kafka.Kafka", str(properties)),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - before any thread of a test
            )

    def wait_ready(self) -> None:
        quick: dict[str, Any] = {"reconnect.backoff.ms": 50, "reconnect.backoff.max.ms": 200, "log_level": 0}
        admin = AdminClient({"bootstrap.servers": self.bootstrap, **quick})

        def ready() -> bool:
            """Each answers, and is known to the others: one that died may be for a while."""
            admin.poll(0)
            dead = [node for node, process in self._processes.items() if process.poll() is not None]
            assert not dead, (self._folder / f"node{dead[0]}.log").read_text()[-2000:]
            if not all(_listens(self._ports[node - 1][0]) for node in self._processes):
                return False
            try:
                found = admin.describe_cluster(request_timeout=1).result()
            except KafkaException:
                return False
            return len(found.nodes) == len(self._processes) and found.controller is not None

        wait_until(ready, "the brokers of Kafka")

    def kill(self, node: int) -> None:
        """As a machine that goes away."""
        process = self._processes.pop(node)
        process.kill()
        process.wait()

    def restart(self, node: int) -> None:
        """On the data that it had; `wait_ready` follows. A broker ends with the thread that starts it."""
        self._spawn(node)

    def stop(self, how: int = signal.SIGKILL) -> None:
        for process in self._processes.values():
            process.send_signal(how)
        for process in self._processes.values():
            process.wait()
        self._processes.clear()


@contextmanager
def lasting(cluster: Cluster) -> Iterator[Cluster]:
    cluster._folder.mkdir(parents=True)
    try:
        yield cluster
    finally:
        cluster.stop()


@contextmanager
def kafka_cluster(folder: Path, nodes: int = 3) -> Iterator[Cluster]:
    """A cluster of the test's own, which it may kill; skips the test where there is none to be had."""
    if GIVEN:
        pytest.skip("the brokers that were given are not to be killed")
    with lasting(Cluster(folder, nodes, Distribution())) as cluster:
        cluster.start()
        yield cluster


@contextmanager
def running(nodes: str, folder: Path) -> Iterator[str]:
    """The address of brokers that their keeper runs."""
    with kafka_cluster(folder, int(nodes)) as cluster:
        yield cluster.bootstrap


def shared() -> str:
    """The address of the brokers that all tests share."""
    if GIVEN:
        return GIVEN
    Distribution()
    return address("kafka", "3")
