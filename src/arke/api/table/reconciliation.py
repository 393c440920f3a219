"""The endpoints about whom destinations know: statements, funnels, the overlap of segments."""

from __future__ import annotations

from typing import Final

from arke.api.endpoint import NO_BODY, Endpoint
from arke.api.parameters import Bucket, OneDestination, SegmentAt, TwoSegments
from arke.operations.reconciliation import Counting, Funnel, Overlap, Samples, Statement

STATEMENT: Final = Endpoint(
    method="GET",
    path="/v1/reconciliation",
    scope="read",
    summary="Every user of a segment in exactly one bucket, by how a destination stands with it.",
    parameters=SegmentAt,
    body=NO_BODY,
    answer=Statement,
    run=lambda on, asked: on.reconciliation.statement(asked.given.segment, asked.given.destination),
)


COUNT: Final = Endpoint(
    method="POST",
    path="/v1/reconciliation",
    scope="operate",
    summary="Begin to count all users of a destination.",
    parameters=OneDestination,
    body=NO_BODY,
    answer=Counting,
    status=202,
    run=lambda on, asked: on.reconciliation.begin(asked.given.destination, actor=asked.actor),
)


SHOW_COUNT: Final = Endpoint(
    method="GET",
    path="/v1/reconciliation/count",
    scope="read",
    summary="How far the newest count of a destination is.",
    parameters=OneDestination,
    body=NO_BODY,
    answer=Counting,
    run=lambda on, asked: on.reconciliation.counting(asked.given.destination),
)


SAMPLES: Final = Endpoint(
    method="GET",
    path="/v1/reconciliation/samples",
    scope="operate",
    summary="Some users of a bucket.",
    parameters=Bucket,
    body=NO_BODY,
    answer=Samples,
    run=lambda on, asked: on.reconciliation.samples(
        asked.given.destination, asked.given.bucket, asked.given.segment, actor=asked.actor
    ),
)


FUNNEL: Final = Endpoint(
    method="GET",
    path="/v1/funnel",
    scope="read",
    summary="A destination's users: qualified, with an id, sent, acknowledged, owed.",
    parameters=OneDestination,
    body=NO_BODY,
    answer=Funnel,
    run=lambda on, asked: on.reconciliation.funnel(asked.given.destination),
)


OVERLAP: Final = Endpoint(
    method="GET",
    path="/v1/overlap",
    scope="read",
    summary="Who is in both of two segments.",
    parameters=TwoSegments,
    body=NO_BODY,
    answer=Overlap,
    run=lambda on, asked: on.reconciliation.overlap(asked.given.one, asked.given.other),
)
