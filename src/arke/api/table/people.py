"""The endpoints about one device."""

from __future__ import annotations

from typing import Final

from arke.api.endpoint import NO_BODY, Endpoint
from arke.api.parameters import Device
from arke.operations.explain import Explanation

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
