"""A client set up for the tests: names that exist only here, and short ways to make requests."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import msgspec
import uvloop

from arke.delivery.https.client import HttpsClient
from arke.delivery.https.egress import EgressPolicy
from arke.delivery.https.endpoint import parse_endpoint
from arke.delivery.https.request import HeadTemplate, OutboundRequest
from integration.delivery.certificates import HOST
from patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from arke.delivery.https.ports import Answer
    from arke.domain.catalog import Tls

LOOPBACK = ("127.0.0.0/8",)
BODY = b'{"User_count":"1"}'


class Names:
    """A resolver with a fixed table. A list answers; an empty entry means no such name."""

    def __init__(self, **table: list[str]) -> None:
        self._table = {HOST: ["127.0.0.1"], **{k.replace("_", "."): v for k, v in table.items()}}
        self.asked: list[str] = []

    async def resolve(self, host: str, port: int) -> list[tuple[int, str]]:
        self.asked.append(host)
        if host == "slow.test":
            await asyncio.Event().wait()
        found = self._table.get(host)
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(int(socket.AF_INET6 if ":" in one else socket.AF_INET), one) for one in found]


class PatientClient(HttpsClient):
    """Its posts have time enough where a test does not say how much: three seconds are soon over."""

    async def post(self, request: OutboundRequest, *, timeout_s: float = PATIENCE_S) -> Answer:
        return await super().post(request, timeout_s=timeout_s)


def client(
    names: Names | None = None, *, allowed: tuple[str, ...] = LOOPBACK, **options: Any
) -> PatientClient:
    return PatientClient(EgressPolicy(allowed), names or Names(), **options)


def message(port: int, tls: Tls, host: str = HOST, body: bytes = BODY) -> OutboundRequest:
    endpoint = parse_endpoint(f"https://{host}:{port}/segments/aam")
    template = HeadTemplate(endpoint, [("Content-Type", "application/json")])
    head = template.complete(len(body))
    return OutboundRequest(destination=1, kind="realtime", endpoint=endpoint, head=head, body=body, tls=tls)


def retry(request: OutboundRequest) -> OutboundRequest:
    """The second attempt at the same message."""
    return msgspec.structs.replace(request, attempt=2)


def run_on(loop: str, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run on the named event loop: `asyncio` or `uvloop`."""
    if loop == "uvloop":
        uvloop.run(main())
    else:
        asyncio.run(main())
