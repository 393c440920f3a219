"""Picks three of the messages that arrived: one user, several users, and a user who left a segment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from arke.demo.destinations import Received
    from arke.receiver import Message

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
