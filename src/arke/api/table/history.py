"""The endpoint of figures over time."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

from arke.api.endpoint import NO_BODY, Asked, Endpoint
from arke.api.parameters import Span
from arke.domain.digits import whole_number
from arke.errors import InvalidInput
from arke.operations.history import History

if TYPE_CHECKING:
    from arke.operations.subjects import Operations


async def _read(on: Operations, asked: Asked[Span, None]) -> History:
    given = asked.given
    return await on.history.read(
        destination=given.destination,
        segment=given.segment,
        series=[name for name in (given.series or "").split(",") if name],
        since=_moment("since", given.since),
        until=_moment("until", given.until),
        step_s=given.step,
    )


def _moment(name: str, text: str | None) -> int | None:
    """Epoch seconds, as they are or as RFC 3339. Raises InvalidInput."""
    if text is None:
        return None
    if (number := whole_number(text)) is not None:
        return number
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return int(moment.timestamp())
    except (ValueError, OverflowError):
        pass
    raise InvalidInput(f"{name} is a time: 2026-01-31T08:00:00Z, or seconds since 1970")


READ_HISTORY: Final = Endpoint(
    method="GET",
    path="/v1/history",
    scope="metrics",
    summary="Figures over time: of everything, of a destination, or of a segment.",
    parameters=Span,
    body=NO_BODY,
    answer=History,
    run=_read,
)
