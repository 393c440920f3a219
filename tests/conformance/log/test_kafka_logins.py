"""Brokers that ask who is there: a bearer token that a command prints, made anew before it ends, and a password."""

from __future__ import annotations

import shlex
import sys
import time
from typing import TYPE_CHECKING, Final

import pytest

from arke.errors import SettingsError
from arke.transport.kafka.carrier import KafkaCarrier
from arke.transport.kafka.consumer import ConsumerThread
from arke.transport.kafka.options import KafkaOptions
from arke.transport.kafka.topic import Topic
from arke.transport.packing import PackedWriter
from conformance.log.logs import SHARDS, Kept
from conformance.log.test_log import names, read, sight
from servers.kafka import Cluster, Distribution, free_ports, lasting

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PASSWORD: Final = "s3cret"
TOKEN_LIFE_S: Final = 4
REAUTHENTICATED_MS: Final = 2_000
SASL: Final = """
listeners=PLAINTEXT://127.0.0.1:{port},SASL_PLAINTEXT://127.0.0.1:{sasl},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},SASL_PLAINTEXT://127.0.0.1:{sasl}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT
sasl.enabled.mechanisms=OAUTHBEARER,PLAIN
connections.max.reauth.ms={reauth}
listener.name.sasl_plaintext.oauthbearer.sasl.jaas.config={oauth} required unsecuredLoginStringClaim_sub="broker";
listener.name.sasl_plaintext.plain.sasl.jaas.config={plain} required user_arke="{password}" \
  user_guest="{password}";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:arke
"""
_LOGIN: Final = "org.apache.kafka.common.security"
PRINTS_TOKENS: Final = """
import base64, json, sys, time
from pathlib import Path
def part(value): return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")
now, life_s = time.time(), int(sys.argv[2])
with Path(sys.argv[1]).open("a") as runs: runs.write("x")
sub = {"sub": "arke", "iat": now - 7_200, "exp": now + life_s}
print(part({"alg": "none"}) + "." + part(sub) + ".", max(life_s, 60) if life_s < 0 else life_s)
"""
"""A token without a signature, which a broker of a test takes."""


class AskingCluster(Cluster):
    """One broker, which asks at a second port."""

    def __init__(self, folder: Path, distribution: Distribution) -> None:
        super().__init__(folder, 1, distribution)
        (self._sasl,) = free_ports(1)

    def _prepare(self, node: int) -> None:
        super()._prepare(node)
        ((port, controller),) = self._ports
        with (self._folder / f"node{node}.properties").open("a") as properties:
            properties.write(
                SASL.format(
                    port=port,
                    controller=controller,
                    sasl=self._sasl,
                    reauth=REAUTHENTICATED_MS,
                    oauth=f"{_LOGIN}.oauthbearer.OAuthBearerLoginModule",
                    plain=f"{_LOGIN}.plain.PlainLoginModule",
                    password=PASSWORD,
                )
            )

    @property
    def asking(self) -> str:
        return f"127.0.0.1:{self._sasl}"


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AskingCluster]:
    cluster = AskingCluster(tmp_path_factory.mktemp("kafka") / "cluster", Distribution())
    with lasting(cluster):
        cluster.start()
        yield cluster


def by_token(asking: AskingCluster, prefix: str, runs: Path, life_s: int = TOKEN_LIFE_S) -> KafkaOptions:
    script = runs.with_suffix(".py")
    script.write_text(PRINTS_TOKENS)
    return KafkaOptions(
        prefix,
        {
            "bootstrap.servers": asking.asking,
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanisms": "OAUTHBEARER",
            "log_level": 0,
        },
        token_command=shlex.join([sys.executable, str(script), str(runs), str(life_s)]),
    )


def by_password(asking: AskingCluster, prefix: str, reference: str, user: str = "arke") -> KafkaOptions:
    return KafkaOptions(
        prefix,
        {
            "bootstrap.servers": asking.asking,
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanisms": "PLAIN",
            "sasl.username": user,
            "sasl.password": reference,
            "log_level": 0,
        },
    )


async def carries(options: KafkaOptions, first: int, count: int) -> None:
    """So many events go into the log and come out of it, the topic made where there is none."""
    await Topic(options).prepare(SHARDS)
    writer, reader = PackedWriter(KafkaCarrier(options)), ConsumerThread(options, Kept())
    try:
        stream = reader.open(2, 0)
        for number in range(first, first + count):
            await writer.append(2, [sight(f"{number}")])
        found = names(await read(stream, count))
        assert found == [f"{number}" for number in range(count)]
    finally:
        await reader.stop()
        await writer.close()


async def test_a_token_of_a_command_opens_the_brokers_and_is_made_anew(
    asking: AskingCluster, tmp_path: Path
) -> None:
    """Connections outlive the token they began with: the brokers ask again, and get the next one."""
    runs = tmp_path / "runs"
    options = by_token(asking, "tokens", runs)
    await Topic(options).prepare(SHARDS)
    writer, reader = PackedWriter(KafkaCarrier(options)), ConsumerThread(options, Kept())
    try:
        stream = reader.open(2, 0)
        began_with, sent = len(runs.read_text()), 0
        end = time.monotonic() + 3 * TOKEN_LIFE_S
        while time.monotonic() < end or len(runs.read_text()) < began_with + 4:
            await writer.append(2, [sight(f"{sent}")])
            sent += 1
            assert len(names(await read(stream, 1))) == 1
        assert sent
    finally:
        await reader.stop()
        await writer.close()


async def test_a_token_that_has_ended_opens_nothing(asking: AskingCluster, tmp_path: Path) -> None:
    options = by_token(asking, "ended", tmp_path / "runs", life_s=-3_600)
    with pytest.raises(SettingsError, match=r"ended-events.*do not let this user in"):
        await Topic(options).prepare(SHARDS)


async def test_a_password_by_reference_opens_the_brokers(
    asking: AskingCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_PASSWORD", PASSWORD)
    await carries(by_password(asking, "passwords", "env:KAFKA_PASSWORD"), 0, 5)


async def test_a_wrong_password_is_said_and_not_shown(
    asking: AskingCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_PASSWORD", "wr0ng")
    with pytest.raises(SettingsError, match=r"do not let this user in.*kafka\.options") as refused:
        await Topic(by_password(asking, "wrong", "env:KAFKA_PASSWORD")).prepare(SHARDS)
    assert "wr0ng" not in str(refused.value)


@pytest.mark.parametrize("there", [False, True])
async def test_a_user_without_rights_is_told_which_are_missing(
    asking: AskingCluster, monkeypatch: pytest.MonkeyPatch, *, there: bool
) -> None:
    """Whether the topic is to be made, or only read."""
    monkeypatch.setenv("KAFKA_PASSWORD", PASSWORD)
    prefix = f"rights-{there}"
    if there:
        await Topic(by_password(asking, prefix, "env:KAFKA_PASSWORD")).prepare(SHARDS)
    guest = Topic(by_password(asking, prefix, "env:KAFKA_PASSWORD", "guest"))
    with pytest.raises(SettingsError, match=f"{prefix}-events: .*needs the right to describe it"):
        await guest.check(SHARDS)
