"""Picks three of the messages that arrived: one user, several users, and a user who left a segment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from arke.demo.destinations import Received
    from arke.receiver import Message

KINDS: Final = ("one user", "several users", "a user who left a segment (Status 0)")
_ENOUGH_USERS: Final = 3
_SECRET_HEADERS: Final = frozenset({"authorization", "proxy-authorization"})


class Sample(msgspec.Struct, frozen=True):
    """A message as it came: exact body, headers (credentials left out), and what it shows."""

    shows: str
    destination: str
    target: str
    headers: list[tuple[str, str]]
    body: str


class Samples:
    """Keeps the best message of each kind, and the newest others to fill in."""

    def __init__(self) -> None:
        self._best: dict[str, tuple[int, Received]] = {}
        self._others: list[Received] = []

    def offer(self, received: Received) -> None:
        shows, rank = _kind(received.message)
        known = self._best.get(shows)
        if known is None or rank > known[0]:
            self._best[shows] = (rank, received)
        elif len(self._others) < len(KINDS):
            self._others.append(received)

    def chosen(self) -> list[Sample]:
        """Three samples, fewer only if fewer messages arrived."""
        found = [_sample(kind, self._best[kind][1]) for kind in KINDS if kind in self._best]
        missing = len(KINDS) - len(found)
        return found + [_sample(_kind(other.message)[0], other) for other in self._others[:missing]]

    @property
    def example_uuid(self) -> str | None:
        """The device of the sample with the most to tell: the last of the three."""
        known = [kind for kind in KINDS if kind in self._best]
        return self._best[known[-1]][1].message.users[0].aam_uuid if known else None


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
