"""The simulated network: answers as scripted, records every request to a destination."""

from __future__ import annotations

from collections import deque
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from arke.delivery.courier import HttpsCourier, Parcel
from arke.delivery.https.ports import Answer
from arke.delivery.sender import Outbound, Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from arke.clock import Clock
    from arke.delivery.https.request import OutboundRequest
    from arke.delivery.secrets import Secrets

HIDDEN_HEADERS = frozenset({"authorization"})
_TOKEN = b'{"token_type":"Bearer","access_token":"simulated"}'


class Sent(msgspec.Struct, frozen=True):
    """One line of the output."""

    at: str
    destination: int
    kind: str
    attempt: int
    status: int
    headers: dict[str, str | list[str]]
    body: str


class SimulatedNetwork:
    """A `Poster` whose destinations answer 200 unless told otherwise."""

    def __init__(self, clock: Clock, record: Callable[[Sent], None]) -> None:
        self._clock = clock
        self._record = record
        self._answers: dict[int, deque[int]] = {}
        self._current: ContextVar[tuple[Outbound, int] | None] = ContextVar("current", default=None)

    def respond(self, destination: int, status: int, times: int) -> None:
        """Queue `times` answers."""
        self._answers.setdefault(destination, deque()).extend([status] * times)

    def carrying(self, outbound: Outbound, attempt: int) -> None:
        """The post that follows in this task is this attempt."""
        self._current.set((outbound, attempt))

    async def post(
        self,
        request: OutboundRequest,
        *,
        timeout_s: float,  # noqa: ARG002 - part of the port
        fresh: bool = False,  # noqa: ARG002 - part of the port
    ) -> Answer:
        current = self._current.get()
        if current is None or current[0].body != request.body:
            return Answer(status=200, body=_TOKEN, sent=True)
        outbound, attempt = current
        answers = self._answers.get(outbound.destination.id)
        status = answers.popleft() if answers else 200
        self._record(
            Sent(
                at=rfc3339(self._clock.now()),
                destination=outbound.destination.id,
                kind=outbound.kind,
                attempt=attempt,
                status=status,
                headers=_headers(request),
                body=request.body.decode(),
            )
        )
        return Answer(status=status, sent=True)


class SimulatedCourier(HttpsCourier):
    """The real courier over the simulated network. `complain` hears of messages that could not be sent."""

    def __init__(
        self, network: SimulatedNetwork, secrets: Secrets, clock: Clock, complain: Callable[[str], Any]
    ) -> None:
        super().__init__(network, secrets, clock)
        self._network = network
        self._complain = complain

    def prepare(self, outbound: Outbound) -> Parcel | Reply:
        parcel = super().prepare(outbound)
        if isinstance(parcel, Reply):
            self._complain(f"destination {outbound.destination.id}: nothing was sent: {parcel.answer}")
        return parcel

    async def carry(self, parcel: Parcel, attempt: int) -> Reply:
        self._network.carrying(parcel.outbound, attempt)
        return await super().carry(parcel, attempt)


def _headers(request: OutboundRequest) -> dict[str, str | list[str]]:
    """Header fields as sent, credentials left out; a name that is sent twice has a list."""
    found: dict[str, str | list[str]] = {}
    for name, value in request.headers():
        shown = "(hidden)" if name.lower() in HIDDEN_HEADERS else value
        before = found.get(name)
        if before is None:
            found[name] = shown
        else:
            found[name] = [*(before if isinstance(before, list) else [before]), shown]
    return found


def rfc3339(moment: float) -> str:
    """`2026-01-01T00:00:00.100Z`; milliseconds."""
    text = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
