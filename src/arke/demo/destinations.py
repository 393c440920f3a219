"""The demo's three destinations: real HTTPS servers with CAs, keys and credentials made on the fly.

Aurora verifies an HMAC-SHA1 signature, Borealis an HMAC-SHA256 one and answers 500 to every third message
until it is told to behave, Corona wants OAuth 2.0 bearer tokens."""

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


KINDS: Final = ("one user", "several users", "a user who left a segment (Status 0)")
_ENOUGH_USERS: Final = 3
_KEPT: Final = 16
"""Messages of a kind: of a user who opted out since, nothing is known any more that could be explained."""
_SECRET_HEADERS: Final = frozenset({"authorization", "proxy-authorization"})


class Sample(msgspec.Struct, frozen=True):
    """A message as it came: exact body, headers (credentials left out), and what it shows."""

    shows: str
    destination: str
    target: str
    headers: list[tuple[str, str]]
    body: str


class Samples:
    """Keeps the best messages of each kind."""

    def __init__(self) -> None:
        self._best: dict[str, list[tuple[int, Received]]] = {}

    def offer(self, received: Received) -> None:
        shows, rank = _kind(received.message)
        best = self._best.setdefault(shows, [])
        best.append((rank, received))
        best.sort(key=lambda ranked: ranked[0], reverse=True)  # stable: of equals, the first that came
        del best[_KEPT:]

    def chosen(self) -> list[Sample]:
        """Three samples, one of each kind if there is one; fewer only if fewer messages arrived."""
        kinds = [kind for kind in KINDS if kind in self._best]
        first = [(kind, self._best[kind][0][1]) for kind in kinds]
        others = [(kind, received) for kind in kinds for _, received in self._best[kind][1:]]
        before = (first[:-1] + others)[: len(KINDS) - 1]
        return [_sample(kind, received) for kind, received in before + first[-1:]]

    def examples(self) -> list[str]:
        """The devices that the last of the samples may be about, the best first."""
        return [received.message.users[0].aam_uuid for _, received in self._last()]

    def show(self, uuid: str) -> None:
        """Let the last of the samples be the one about this device."""
        self._last().sort(key=lambda ranked: ranked[1].message.users[0].aam_uuid != uuid)

    def _last(self) -> list[tuple[int, Received]]:
        return next((self._best[kind] for kind in reversed(KINDS) if kind in self._best), [])


def _kind(message: Message) -> tuple[str, int]:
    """What a message shows, and how well: small ones are easier to read."""
    users = len(message.users)
    if any(not active for _, _, active in message.entries()):
        mixed = any(active for _, _, active in message.entries())
        return KINDS[2], (3 if mixed else 2) if users == 1 else -users
    if users == 1:
        return KINDS[0], sum(1 for _ in message.entries())
    return KINDS[1], -abs(users - _ENOUGH_USERS)


def _sample(shows: str, received: Received) -> Sample:
    request = received.request
    return Sample(
        shows=shows,
        destination=received.destination,
        target=request.target,
        headers=[
            (name, "(left out)" if name.lower() in _SECRET_HEADERS else value)
            for name, value in request.headers
        ],
        body=request.body.decode(),
    )
