"""The endpoints about segments."""

from __future__ import annotations

from typing import Final

from arke.api.endpoint import NO_BODY, Endpoint, Listing
from arke.api.parameters import OneSegment, Searched
from arke.errors import NotFound
from arke.operations.segments import SegmentDetail, SegmentEntry

LIST_SEGMENTS: Final = Listing(
    method="GET",
    path="/v1/segments",
    scope="read",
    summary="The segments in force, by id.",
    parameters=Searched,
    body=NO_BODY,
    answer=SegmentEntry,
    run=lambda on, asked: on.segments.page(asked.given.search, asked.given.cursor, asked.given.limit),
)


SHOW_SEGMENT: Final = Endpoint(
    method="GET",
    path="/v1/segments/{id}",
    scope="read",
    summary="One segment: its rule with the names of its traits, and who takes it.",
    parameters=OneSegment,
    body=NO_BODY,
    answer=SegmentDetail,
    raises=(NotFound,),
    run=lambda on, asked: on.segments.show(asked.given.id),
)
