"""The endpoints about topics of others."""

from __future__ import annotations

from typing import Final

from arke.api.endpoint import NO_BODY, Endpoint
from arke.api.parameters import Newest
from arke.operations.sources import RefusedMessage

REFUSED_OF_SOURCES: Final = Endpoint(
    method="GET",
    path="/v1/sources/refused",
    scope="operate",
    summary="The newest events of topics that were not taken.",
    parameters=Newest,
    body=NO_BODY,
    answer=list[RefusedMessage],
    run=lambda on, asked: on.source_refusals.refused(asked.given.limit),
)
