"""The engine's own client and channel against a receiver that misbehaves as real partners do."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import msgspec
import pytest

from arke.clock import SystemClock
from arke.delivery.channel import Channel, Message, Wire
from arke.delivery.https.client import HttpsClient
from arke.delivery.https.egress import EgressPolicy
from arke.delivery.https.endpoint import parse_endpoint
from arke.delivery.https.request import HeadTemplate, OutboundRequest
from arke.delivery.secrets import Secrets
from arke.domain.catalog import Destination, OAuth2, Tls
from arke.errors import InvalidInput
from arke.receiver import ReceiverConfig, ReceiverServer
from arke.receiver.probe.messages import ProbeMessages
from arke.receiver.probe.target import ProbeTarget
from patience import PATIENCE_S, eventually
from reachable import AtOnce

if TYPE_CHECKING:
    from arke.delivery.https.ports import Answer

CREDENTIALS = b"client:secret"


class BothAddresses:
    """A name that leads to two addresses of this machine, as a host's two records would."""

    async def resolve(self, host: str, port: int) -> list[tuple[int, str]]:
        return [(2, "127.0.0.1"), (2, "127.0.0.2")]


def body(*partner_ids: str) -> bytes:
    messages = ProbeMessages(ProbeTarget(endpoint=parse_endpoint("https://localhost/")))
    users = [messages.user(partner_id=one) for one in partner_ids]
    return messages.body(users)


def client(**options: float) -> HttpsClient:
    return HttpsClient(EgressPolicy(["127.0.0.0/8"]), BothAddresses(), **options)  # type: ignore[arg-type]


def request(server: ReceiverServer, content: bytes, attempt: int = 1) -> OutboundRequest:
    endpoint = parse_endpoint(f"https://localhost:{server.port}/segments/aam")
    return OutboundRequest(
        destination=1,
        kind="realtime",
        endpoint=endpoint,
        head=HeadTemplate(endpoint).complete(len(content)),
        body=content,
        tls=Tls(ca_file=str(server.ca_file)),
        attempt=attempt,
    )


async def post(poster: HttpsClient, server: ReceiverServer, content: bytes, attempt: int = 1) -> Answer:
    return await poster.post(request(server, content, attempt), timeout_s=PATIENCE_S)


def misbehaving(*specifications: str, **options: object) -> ReceiverServer:
    return ReceiverServer(ReceiverConfig(misbehave=specifications, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize(("specification", "status"), [("poison=p3", 400), ("poison=422/p3", 422)])
def test_one_user_poisons_the_message_that_names_him(specification: str, status: int) -> None:
    """All of it is refused, the body says for whom; others, and names that only begin alike, are taken."""

    async def main() -> None:
        async with misbehaving(specification) as server:
            poster = client()
            refused = await post(poster, server, body("p1", "p3", "p2"))
            assert (refused.status, b"p3" in refused.body) == (status, True)
            assert (await post(poster, server, body("p1", "p33", "p2"))).status == 200
            assert server.state.segments_of("p1") == {"14356"}
            assert server.state.segments_of("p3") == set()
            assert server.stats.misbehaved == {"poison": 1}
            await poster.close()

    asyncio.run(main())


def test_a_throttle_answers_429_with_the_time_to_wait() -> None:
    async def main() -> None:
        async with misbehaving("throttle=2/h") as server:
            poster = client()
            answers = [await post(poster, server, body("p1")) for _ in range(3)]
            assert [answer.status for answer in answers] == [200, 200, 429]
            assert answers[2].retry_after_s is not None
            assert 3_000 < answers[2].retry_after_s <= 3_600
            assert server.stats.accepted == 2
            await poster.close()

    asyncio.run(main())


def test_a_sloppy_200_is_stored_and_counts() -> None:
    """Each way in turn; the connection is given up every time."""

    async def main() -> None:
        async with misbehaving("sloppy:7") as server:
            poster = client()
            answers = [await post(poster, server, body("p1")) for _ in range(8)]
            assert [answer.status for answer in answers] == [200] * 8
            assert [answer.sloppy for answer in answers] == [True] * 7 + [False]
            assert not any(answer.reused for answer in answers)
            assert server.stats.accepted == 8
            await poster.close()

    asyncio.run(main())


def test_faults_compose() -> None:
    """The first that applies strikes; a throttle that lets a message in leaves it to the next."""

    async def main() -> None:
        async with misbehaving("poison=p3", "throttle=2/h", "sloppy") as server:
            poster = client()
            answers = [await post(poster, server, body(one)) for one in ("p3", "p1", "p2", "p1", "p3")]
            assert [answer.status for answer in answers] == [400, 200, 200, 429, 400]
            assert [answer.sloppy for answer in answers] == [False, True, True, False, False]
            await poster.close()

    asyncio.run(main())


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_goes_stale_before_its_time(
    status: int, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message is refused with the old one, and taken with the new one that the second attempt brings."""
    monkeypatch.setenv("ARKE_SECRET_CLIENT", CREDENTIALS.decode())

    async def main() -> None:
        async with misbehaving(f"stale-token={status}/100ms", token_credentials=CREDENTIALS) as server:
            poster = client()
            destination = Destination(
                id=1,
                url=f"https://localhost:{server.port}/segments/aam",
                client_id="1",
                oauth2=OAuth2(
                    token_url=f"https://localhost:{server.port}/oauth2/token",
                    credentials="env:ARKE_SECRET_CLIENT",
                ),
                tls=Tls(ca_file=str(server.ca_file)),
            )
            channel = Channel(destination, Wire(poster, Secrets(), timeout_s=PATIENCE_S), SystemClock())
            message = Message(destination, "m1", "realtime", body("p1"), time.time())
            assert (await channel.deliver(message, [], AtOnce())).attempts == 1
            await asyncio.sleep(0.15)
            late = await channel.deliver(message, [], AtOnce())
            assert (late.acknowledged, late.attempts) == (True, 2)
            assert server.stats.tokens_issued == 2
            assert server.stats.misbehaved == {"stale-token": 1}
            assert [record.status for record in server.requests if record.fault] == [status]
            await channel.close()
            await poster.close()

    asyncio.run(main())


def test_tokens_cannot_go_stale_where_there_are_none() -> None:
    async def main() -> None:
        with pytest.raises(InvalidInput, match="--token-client"):
            await misbehaving("stale-token").start()

    asyncio.run(main())


def test_a_name_that_moves_is_followed_within_a_connection_s_life() -> None:
    """The old connection goes on as it does in the world; the next one finds the new address."""

    async def main() -> None:
        async with misbehaving() as server:
            poster = client(connection_life_s=0.5)
            assert (await post(poster, server, body("p1"))).peer == "127.0.0.1"
            server.misbehave(["move-dns=127.0.0.2"])
            async with asyncio.timeout(PATIENCE_S):
                while (answer := await post(poster, server, body("p1"))).peer == "127.0.0.1":
                    assert answer.status == 200
                    await asyncio.sleep(0.02)
            assert (answer.status, answer.peer) == (200, "127.0.0.2")
            assert server.stats.addresses == {"127.0.0.1": 1, "127.0.0.2": 1}
            server.misbehave([])
            assert (await post(poster, server, body("p1"), attempt=2)).peer == "127.0.0.1"
            await poster.close()

    asyncio.run(main())


def test_a_move_may_come_later_and_says_if_it_cannot() -> None:
    async def main() -> None:
        async with misbehaving("move-dns=127.0.0.2/100ms", control=True) as server:
            await eventually(lambda: "move-dns" in server.stats.misbehaved, "the move")
            poster = client()
            answer = await post(poster, server, body("p1"))
            assert (answer.status, answer.peer) == (200, "127.0.0.2")
            with pytest.raises(Exception, match="cannot listen on 203"):
                server.misbehave(["move-dns=203.0.113.7"])
            await poster.close()
            report = msgspec.to_builtins(server.stats)
            assert report["addresses"] == {"127.0.0.2": 1}

    asyncio.run(main())
