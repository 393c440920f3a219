"""The endpoints about destinations."""

from __future__ import annotations

from typing import Final

from arke.api.endpoint import NO_BODY, Endpoint, JsonBody, Listing
from arke.api.parameters import DestinationInPath, DestinationMappings, SearchedDestinations
from arke.api.table.catalog import MAX_CATALOG_BYTES
from arke.errors import CatalogError, NotFound
from arke.operations.destinations import DestinationDetail, DestinationEntry
from arke.operations.outgoing import Preview, PreviewAsk, TrialAsk, TrialReport
from arke.operations.segments import SegmentMapping

MAX_TRIAL_BYTES = 1024

LIST_DESTINATIONS: Final = Listing(
    method="GET",
    path="/v1/destinations",
    scope="read",
    summary="The destinations in force, by id, with their figures.",
    parameters=SearchedDestinations,
    body=NO_BODY,
    answer=DestinationEntry,
    run=lambda on, asked: on.destinations.page(asked.given.search, asked.given.cursor, asked.given.limit),
)


SHOW_DESTINATION: Final = Endpoint(
    method="GET",
    path="/v1/destinations/{id}",
    scope="read",
    summary="One destination: its configuration, secrets as references, and its figures.",
    parameters=DestinationInPath,
    body=NO_BODY,
    answer=DestinationDetail,
    raises=(NotFound,),
    run=lambda on, asked: on.destinations.show(asked.given.id),
)


LIST_MAPPINGS: Final = Listing(
    method="GET",
    path="/v1/destinations/{id}/segments",
    scope="read",
    summary="The segments that a destination takes, in the order of the catalog.",
    parameters=DestinationMappings,
    body=NO_BODY,
    answer=SegmentMapping,
    raises=(NotFound,),
    run=lambda on, asked: on.destinations.mappings(asked.given.id, asked.given.cursor, asked.given.limit),
)


PREVIEW: Final = Endpoint(
    method="POST",
    path="/v1/destinations/{id}/preview",
    scope="operate",
    summary="The messages that a destination would get about somebody now. Nothing is sent.",
    parameters=DestinationInPath,
    body=JsonBody("preview", MAX_CATALOG_BYTES, kind=PreviewAsk),
    answer=Preview,
    raises=(NotFound, CatalogError),
    run=lambda on, asked: on.previews.preview(
        asked.given.id, asked.body, actor=asked.actor, from_afar=asked.from_afar
    ),
)


SEND_TEST: Final = Endpoint(
    method="POST",
    path="/v1/destinations/{id}/test",
    scope="operate",
    summary="Send a destination one message about somebody made up, and show both sides of it.",
    parameters=DestinationInPath,
    body=JsonBody("test", MAX_TRIAL_BYTES, kind=TrialAsk),
    answer=TrialReport,
    raises=(NotFound,),
    run=lambda on, asked: on.trials.send(asked.given.id, asked.body, actor=asked.actor),
)
