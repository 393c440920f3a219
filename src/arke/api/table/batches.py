"""The endpoints about batch runs."""

from __future__ import annotations

from typing import Final

from arke.api.endpoint import NO_BODY, Endpoint, Listing
from arke.api.parameters import OneBatch, OneDestination, Resync, SearchedBatches
from arke.errors import BatchRunning, NotFound
from arke.operations.jobs import DestinationBatches, RunFacts

LIST_BATCHES: Final = Listing(
    method="GET",
    path="/v1/batches",
    scope="read",
    summary="Which batches ran, run and are due.",
    parameters=SearchedBatches,
    body=NO_BODY,
    answer=DestinationBatches,
    run=lambda on, asked: on.batches.page(asked.given.search, asked.given.cursor, asked.given.limit),
)


RUN_BATCH: Final = Endpoint(
    method="POST",
    path="/v1/batches",
    scope="operate",
    summary="Begin a batch of a destination now.",
    parameters=OneDestination,
    body=NO_BODY,
    answer=RunFacts,
    status=202,
    raises=(BatchRunning,),
    run=lambda on, asked: on.batches.run(asked.given.destination, actor=asked.actor),
)


SHOW_BATCH: Final = Endpoint(
    method="GET",
    path="/v1/batches/{number}",
    scope="read",
    summary="One run of a destination.",
    parameters=OneBatch,
    body=NO_BODY,
    answer=RunFacts,
    raises=(NotFound,),
    run=lambda on, asked: on.batches.show(asked.given.destination, asked.given.number),
)


RESYNC: Final = Endpoint(
    method="POST",
    path="/v1/resync",
    scope="operate",
    summary="Begin to send a destination the full current state.",
    parameters=Resync,
    body=NO_BODY,
    answer=RunFacts,
    status=202,
    raises=(BatchRunning,),
    run=lambda on, asked: on.batches.resync(
        asked.given.destination, restate=asked.given.restate, actor=asked.actor
    ),
)
