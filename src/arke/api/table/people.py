"""The endpoints that look at people: one device, and what passes."""

from __future__ import annotations

from typing import Final

from arke.api.endpoint import NO_BODY, Endpoint, Stream
from arke.api.parameters import Device, HowLong
from arke.operations.explain import Explanation
from arke.operations.live import LiveEntry

EXPLAIN: Final = Endpoint(
    method="GET",
    path="/v1/explain",
    scope="operate",
    summary="Why a device is in each segment or not, and what each destination was told.",
    parameters=Device,
    body=NO_BODY,
    answer=Explanation,
    run=lambda on, asked: on.people.explain(asked.given.uuid, asked.given.id, actor=asked.actor),
)
LIVE: Final = Stream(
    method="GET",
    path="/v1/live",
    scope="operate",
    summary="A sample of the events, changes and messages that pass, as they pass.",
    parameters=HowLong,
    body=NO_BODY,
    answer=LiveEntry,
    run=lambda on, asked: on.live.each(asked.given.seconds, actor=asked.actor),
)
