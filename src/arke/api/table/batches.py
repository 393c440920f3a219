"""The endpoints about batch runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from arke.api.endpoint import NO_BODY, Asked, Endpoint, Listing
from arke.api.parameters import OneBatch, OneDestination, PagedWide, Resync
from arke.errors import BatchRunning, NotFound
from arke.operations.jobs import DestinationBatches, RunFacts
from arke.operations.paging import page_of

if TYPE_CHECKING:
    from arke.operations.paging import Page
    from arke.operations.subjects import Operations


async def _batches(on: Operations, asked: Asked[PagedWide, None]) -> Page[DestinationBatches]:
    found = await on.batches.every()
    return page_of(found, lambda one: str(one.destination), asked.given.cursor, asked.given.limit)


LIST_BATCHES: Final = Listing(
    method="GET",
    path="/v1/batches",
    scope="read",
    summary="Which batches ran, run and are due.",
    parameters=PagedWide,
    body=NO_BODY,
    answer=DestinationBatches,
    run=_batches,
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
