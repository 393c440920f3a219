"""A channel's requests: what a poster is told of them, what both attempts share, and the deadline of each."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from arke.delivery.channel import RETRY_DELAY_S, TIMEOUT_S, Channel, Delivery, Message, Wire
from arke.delivery.https.ports import Answer
from arke.delivery.secrets import Secrets
from arke.domain.catalog import Destination, OAuth2, Signature
from arke.virtual_time import VirtualClock, VirtualTimeLoop, run_virtual
from reachable import AtOnce, Reachable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from arke.delivery.https.request import OutboundRequest

SIGNED = Destination(
    id=423,
    url="https://dsp.example.com/",
    client_id="1",
    user_dpids=(12345,),
    signatures=(Signature(key="env:ARKE_KEY"),),
)
WITH_TOKEN = Destination(
    id=423,
    url="https://dsp.example.com/",
    client_id="1",
    user_dpids=(12345,),
    oauth2=OAuth2(token_url="https://token.example.com/", credentials="env:ARKE_BASIC"),
)
UNSENT = Answer(reason="connect", cause="connect_refused")


class Network(Reachable):
    """Gives the answers that it is made with, one after the other; tokens are `t1`, `t2`, ..., after `token_s`."""

    def __init__(self, answers: Iterable[Answer | int], token_s: float = 0.0) -> None:
        self._answers = list(answers)
        self._token_s = token_s
        self.requests: list[OutboundRequest] = []
        self.tokens: list[OutboundRequest] = []
        self.timeouts_s: list[float] = []

    async def post(self, request: OutboundRequest, *, timeout_s: float) -> Answer:
        if request.kind == "token":
            self.tokens.append(request)
            await asyncio.sleep(self._token_s)
            body = b'{"access_token":"t%d"}' % len(self.tokens)
            return Answer(status=200, body=body, sent=True)
        self.requests.append(request)
        self.timeouts_s.append(timeout_s)
        answer = self._answers.pop(0)
        return Answer(status=answer, sent=True) if isinstance(answer, int) else answer


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARKE_KEY", "key")
    monkeypatch.setenv("ARKE_BASIC", "credentials")


def deliver(network: Network, destination: Destination) -> tuple[Delivery, float]:
    """Deliver one message; how it ended, and after how many seconds."""
    loop = VirtualTimeLoop()
    message = Message(destination, "m-1", "realtime", b"{}", 1_800_000_000.0)

    async def main() -> tuple[Delivery, float]:
        channel = Channel(destination, Wire(network, Secrets()), VirtualClock(loop, 1_800_000_000.0))
        started = loop.time()
        delivery = await channel.deliver(message, channel.sign(message), AtOnce())
        await channel.close()
        return delivery, loop.time() - started

    return run_virtual(main(), loop)


def test_a_request_says_whose_message_it_is_and_which_attempt() -> None:
    """And both attempts are the same bytes."""
    network = Network([500, 200])
    delivery, after_s = deliver(network, SIGNED)
    assert delivery == Delivery(True, "200", attempts=2)
    assert after_s == pytest.approx(RETRY_DELAY_S, abs=1e-6)
    named = [(one.destination, one.kind, one.message, one.attempt) for one in network.requests]
    assert named == [(423, "realtime", "m-1", 1), (423, "realtime", "m-1", 2)]
    first, second = network.requests
    assert (first.head, first.body) == (second.head, second.body)
    assert "X-Signature" in dict(first.headers())


@pytest.mark.parametrize(
    ("answers", "ended"),
    [
        ([500, 503], Delivery(False, "503", attempts=2)),
        (
            [UNSENT, UNSENT],
            Delivery(False, "connect_refused", attempts=2, sent=False, unanswered=2, unreachable=True),
        ),
        ([500, UNSENT], Delivery(False, "connect_refused", attempts=2, unanswered=1, unreachable=True)),
        ([UNSENT, 500], Delivery(False, "500", attempts=2, unanswered=1)),
        ([500, 400], Delivery(False, "400", attempts=2, refused=True)),
        ([413, 413], Delivery(False, "413", attempts=2, refused=True)),
        ([400, 500], Delivery(False, "500", attempts=2)),
        ([404, 429], Delivery(False, "429", attempts=2)),
    ],
)
def test_there_is_no_third_attempt(answers: list[Answer | int], ended: Delivery) -> None:
    """And it is known whether any of the two may have arrived."""
    network = Network(answers)
    assert deliver(network, SIGNED)[0] == ended
    assert len(network.requests) == 2


def test_a_refused_token_is_replaced_for_the_retry() -> None:
    """Each request for a token says which destination it is for, and is no attempt at a message."""
    network = Network([401, 200])
    assert deliver(network, WITH_TOKEN)[0] == Delivery(True, "200", attempts=2)
    bearers = [dict(request.headers())["Authorization"] for request in network.requests]
    assert bearers == ["Bearer t1", "Bearer t2"]
    assert [(one.destination, one.message, one.attempt) for one in network.tokens] == [(423, "", 1)] * 2


def test_the_deadline_covers_the_token() -> None:
    network = Network([500, 200], token_s=1.0)
    deliver(network, WITH_TOKEN)
    assert network.timeouts_s == pytest.approx([TIMEOUT_S - 1.0, TIMEOUT_S], abs=1e-6)


def test_without_a_token_nothing_is_sent() -> None:
    """Each attempt waits for its own deadline."""
    network = Network([], token_s=60.0)
    delivery, after_s = deliver(network, WITH_TOKEN)
    assert delivery == Delivery(False, "oauth_timeout", attempts=2, sent=False, unanswered=2)
    assert after_s == pytest.approx(2 * TIMEOUT_S + RETRY_DELAY_S, abs=1e-6)
