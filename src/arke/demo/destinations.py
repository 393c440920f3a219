"""The demo's three destinations: real HTTPS servers with CAs, keys and credentials made on the fly.

Aurora verifies an HMAC-SHA1 signature, Borealis an HMAC-SHA256 one and answers 500 to every third message
until it is told to behave, Corona wants OAuth 2.0 bearer tokens.
"""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
from typing import TYPE_CHECKING, Final

import msgspec

from arke.demo.catalog import AURORA, BOREALIS, CORONA
from arke.receiver import ReceiverConfig, ReceiverServer, SigningKey

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import TracebackType

    from arke.receiver import Message
    from arke.receiver.http import Request

FAULT: Final = "status=500:p0.33"
TOKEN_LIFETIME_S: Final = 10.0
"""Short, so that tokens are seen to be renewed."""


class Received(msgspec.Struct, frozen=True):
    """A message that a destination verified, read and stored."""

    destination: str
    message: Message
    request: Request


class Destinations:
    """The three servers, by their id in the catalog. They listen inside `async with`."""

    def __init__(
        self, folder: Path, *, seed: int, keep_requests: bool, on_received: Callable[[Received], None]
    ) -> None:
        aurora = _secret(folder / "aurora" / "key", secrets.token_urlsafe(32))
        borealis = _secret(folder / "borealis" / "key", secrets.token_urlsafe(32))
        client = base64.b64encode(f"arke-demo:{secrets.token_urlsafe(24)}".encode()).decode()
        corona = _secret(folder / "corona" / "client", client)
        self._on_received = on_received
        self.names = {AURORA: "aurora", BOREALIS: "borealis", CORONA: "corona"}
        paths = {AURORA: "/segments/aam", BOREALIS: "/v2/audiences", CORONA: "/inbound"}
        demands: dict[int, ReceiverConfig] = {
            AURORA: ReceiverConfig(keys=(SigningKey(secret=aurora),)),
            BOREALIS: ReceiverConfig(
                keys=(SigningKey(secret=borealis, header="X-Borealis-Signature", algorithm="sha256"),),
                misbehave=(FAULT,),
                seed=seed,
            ),
            CORONA: ReceiverConfig(token_credentials=corona, token_lifetime_s=TOKEN_LIFETIME_S),
        }
        self.servers = {
            number: self._server(
                number, config, folder / self.names[number], paths[number], keep_requests=keep_requests
            )
            for number, config in demands.items()
        }

    def _server(
        self, number: int, config: ReceiverConfig, folder: Path, path: str, *, keep_requests: bool
    ) -> ReceiverServer:
        config = msgspec.structs.replace(
            config, directory=folder, path=path, out=folder / "requests.ndjson" if keep_requests else None
        )
        name = self.names[number]
        return ReceiverServer(
            config, on_message=lambda message, request: self._on_received(Received(name, message, request))
        )

    async def __aenter__(self) -> Destinations:
        started = []
        try:
            for server in self.servers.values():
                await server.start()
                started.append(server)
        except BaseException:
            await asyncio.gather(*(server.stop() for server in started))
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(*(server.stop() for server in self.servers.values()))

    @property
    def addresses(self) -> Mapping[str, str]:
        """`https://host:port` by name, as the catalog's placeholders want them."""
        return {self.names[number]: server.base_url for number, server in self.servers.items()}

    def behave(self) -> None:
        """From now on every destination answers as it should."""
        for server in self.servers.values():
            server.misbehave([])


def _secret(path: Path, value: str) -> bytes:
    """Write a secret that only this user can read, for the catalog's reference to it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(value)
    return value.encode()
