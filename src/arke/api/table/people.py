"""One device, looked up."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from arke.api.bodies import NO_BODY
from arke.api.endpoint import Endpoint
from arke.operations.people import Explanation


class Device(msgspec.Struct, frozen=True):
    """Who is meant: exactly one of both."""

    uuid: Annotated[str | None, Meta(description="38 decimal digits.")] = None
    id: Annotated[str | None, Meta(description="DPID:ID.", examples=["12345:abc"])] = None


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
