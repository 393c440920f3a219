"""The simulated network: answers as scripted, records every request to a destination."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

import msgspec

from arke.delivery.https.ports import Answer
from arke.delivery.https.request import TOKEN
from arke.delivery.observer import FiguresObserver

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.clock import Clock
    from arke.delivery.channel import Delivery
    from arke.delivery.https.endpoint import Endpoint
    from arke.delivery.https.request import OutboundRequest
    from arke.domain.catalog import Tls

_TOKEN = b'{"token_type":"Bearer","access_token":"simulated"}'


class Sent(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the output. `method` is there where it is not POST."""

    at: str
    destination: int
    kind: str
    attempt: int
    status: int
    headers: dict[str, str | list[str]]
    body: str
    method: str | None = None


class Witness(Protocol):
    """Learns what happens on the network."""

    def sent(self, request: Sent) -> None:
        """A request was made to a destination."""
        ...

    def complain(self, text: str) -> None:
        """Something that a person should look at."""
        ...


class SimulatedNetwork:
    """A `Poster` whose destinations answer 200 unless told otherwise, and whose token servers give out tokens."""

    def __init__(self, clock: Clock, witness: Witness) -> None:
        self._clock = clock
        self._witness = witness
        self._answers: dict[int, deque[tuple[int, int | None]]] = {}

    def respond(self, destination: int, status: int, times: int, retry_after: int | None = None) -> None:
        """Queue `times` answers. `retry_after`: in how many seconds the destination wants the next request."""
        self._answers.setdefault(destination, deque()).extend([(status, retry_after)] * times)

    async def post(
        self,
        request: OutboundRequest,
        *,
        timeout_s: float,  # noqa: ARG002 - part of the port
    ) -> Answer:
        if request.kind == TOKEN:
            return Answer(status=200, body=_TOKEN, sent=True)
        answers = self._answers.get(request.destination)
        status, retry_after = answers.popleft() if answers else (200, None)
        self._witness.sent(
            Sent(
                at=rfc3339(self._clock.now()),
                destination=request.destination,
                kind=request.kind,
                attempt=request.attempt,
                status=status,
                headers=_headers(request),
                body=request.body.decode(),
                method=request.method if request.method != "POST" else None,
            )
        )
        wait_s = None if retry_after is None else float(retry_after)
        return Answer(status=status, sent=True, retry_after_s=wait_s)

    async def connect(
        self,
        destination: int,
        endpoint: Endpoint,
        tls: Tls,
        *,
        timeout_s: float,
    ) -> None:
        """Everybody can be reached: what is scripted are answers."""

    async def close(self) -> None:
        """Nothing is open."""


class UnsentObserver(FiguresObserver):
    """Figures, and a complaint about each message that could not be sent at all."""

    def __init__(self, witness: Witness) -> None:
        super().__init__()
        self._witness = witness

    def delivered(
        self, destination_id: int, kind: str, delivery: Delivery, latencies_s: Sequence[float]
    ) -> None:
        super().delivered(destination_id, kind, delivery, latencies_s)
        if delivery.attempts == 0:
            self._witness.complain(f"destination {destination_id}: nothing was sent: {delivery.answer}")


def _headers(request: OutboundRequest) -> dict[str, str | list[str]]:
    """Header fields as sent, credentials left out; a name that is sent twice has a list."""
    found: dict[str, str | list[str]] = {}
    for name, value in request.headers():
        shown = "(hidden)" if name.lower() in request.hidden else value
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
