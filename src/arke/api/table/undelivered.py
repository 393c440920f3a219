"""The endpoints about what destinations are owed."""

from __future__ import annotations

from typing import Final

from arke.api.endpoint import NO_BODY, Endpoint, Stream
from arke.api.parameters import AnyDestination
from arke.operations.jobs import OwedDevice, Refused, ReplayReport

UNDELIVERED: Final = Stream(
    method="GET",
    path="/v1/undelivered",
    scope="operate",
    summary="What destinations are owed.",
    parameters=AnyDestination,
    body=NO_BODY,
    answer=OwedDevice,
    run=lambda on, asked: on.undelivered.each(asked.given.destination, actor=asked.actor),
)


REFUSALS: Final = Endpoint(
    method="GET",
    path="/v1/undelivered/refusals",
    scope="operate",
    summary="What destinations said of the messages that they refused last.",
    parameters=AnyDestination,
    body=NO_BODY,
    answer=list[Refused],
    run=lambda on, asked: on.undelivered.refusals(asked.given.destination, actor=asked.actor),
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
