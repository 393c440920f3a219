"""What destinations are owed."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from arke.api.bodies import NO_BODY
from arke.api.endpoint import Endpoint, Stream
from arke.operations.undelivered import OwedDevice, ReplayReport


class AnyDestination(msgspec.Struct, frozen=True):
    """One destination, or all."""

    destination: Annotated[int | None, Meta(description="Only this destination.", examples=[423])] = None


EACH: Final = Stream(
    method="GET",
    path="/v1/undelivered",
    scope="operate",
    summary="What destinations are owed.",
    parameters=AnyDestination,
    body=NO_BODY,
    answer=OwedDevice,
    run=lambda on, asked: on.undelivered.each(asked.given.destination, actor=asked.actor),
)
REPLAY: Final = Endpoint(
    method="POST",
    path="/v1/undelivered/replay",
    scope="operate",
    summary="Send what is owed, as current state.",
    parameters=AnyDestination,
    body=NO_BODY,
    answer=ReplayReport,
    run=lambda on, asked: on.undelivered.replay(asked.given.destination, actor=asked.actor),
)
