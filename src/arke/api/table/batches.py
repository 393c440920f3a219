"""Batches: begun, and followed."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from arke.api.bodies import NO_BODY
from arke.api.endpoint import Endpoint, Nothing
from arke.operations.batches import DestinationBatches, RunFacts


class OneDestination(msgspec.Struct, frozen=True):
    """One destination."""

    destination: Annotated[int, Meta(description="The destination's id.", examples=[423])]


class OneBatch(msgspec.Struct, frozen=True):
    """A batch of a destination."""

    number: Annotated[int, Meta(title="the batch", description="The batch's number.")]
    destination: Annotated[int, Meta(description="The destination's id.", examples=[423])]


EVERY: Final = Endpoint(
    method="GET",
    path="/v1/batches",
    scope="read",
    summary="Which batches ran, run and are due.",
    parameters=Nothing,
    body=NO_BODY,
    answer=list[DestinationBatches],
    run=lambda on, _: on.batches.every(),
)
RUN: Final = Endpoint(
    method="POST",
    path="/v1/batches",
    scope="operate",
    summary="Begin a batch of a destination now.",
    parameters=OneDestination,
    body=NO_BODY,
    answer=RunFacts,
    status=202,
    run=lambda on, asked: on.batches.run(asked.given.destination, actor=asked.actor),
)
SHOW: Final = Endpoint(
    method="GET",
    path="/v1/batches/{number}",
    scope="read",
    summary="One run of a destination.",
    parameters=OneBatch,
    body=NO_BODY,
    answer=RunFacts,
    run=lambda on, asked: on.batches.show(asked.given.destination, asked.given.number),
)
RESYNC: Final = Endpoint(
    method="POST",
    path="/v1/resync",
    scope="operate",
    summary="Begin to send a destination the full current state.",
    parameters=OneDestination,
    body=NO_BODY,
    answer=RunFacts,
    status=202,
    run=lambda on, asked: on.batches.resync(asked.given.destination, actor=asked.actor),
)
